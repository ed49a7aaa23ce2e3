// What a SANDBOX command answers, in PostgreSQL's messages. Pure.
#pragma once

#include <string>

#include "backends/sandbox_answer.h"

namespace based::postgres {

// RowDescription, or NoData.
std::string described(SandboxVerb verb, bool binary);
// DataRows where there are any, and CommandComplete. REQUIRES !sandbox_changes(verb).
std::string answered(SandboxVerb verb, Sandbox& sandbox, bool binary);
// CommandComplete.
std::string completed(SandboxVerb verb);

// The notices of cut_names() (wire_stack_text.h).
std::string noticed_names(const Statement& statement);

}  // namespace based::postgres
