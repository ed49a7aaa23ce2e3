// What a SANDBOX command, and what a sandbox knows itself, answers, in PostgreSQL's messages. Pure.
#pragma once

#include <string>

#include "backends/postgres/own_row.h"
#include "backends/sandbox_answer.h"
#include "protocol/postgres/backend_writer.h"

namespace based::postgres {

// RowDescription, or NoData.
std::string described(SandboxVerb verb, bool binary);
// DataRows where there are any, and CommandComplete. REQUIRES !sandbox_changes(verb).
std::string answered(SandboxVerb verb, Sandbox& sandbox, bool binary);
// CommandComplete.
std::string completed(SandboxVerb verb);

Field column_of(const OwnRow& row);
// What a Describe of transaction control, or of a SANDBOX command, is answered.
std::string columns_of(const Statement& statement);

// The notices of cut_names() (wire_stack_text.h).
std::string noticed_names(const Statement& statement);

}  // namespace based::postgres
