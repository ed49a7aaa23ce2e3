// What SANDBOX ... answers, for every front end: its columns, its rows, its tag. Loop thread only.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "backends/sandbox.h"
#include "backends/statement.h"
#include "protocol/value.h"

namespace based {

struct SandboxColumn {
  std::string_view name;
  bool number = false;  // int8 (oid 20); else text (oid 25)
};

// "SANDBOX RESET"
std::string_view sandbox_tag(SandboxVerb verb);
// None: the command answers with its tag only.
std::span<const SandboxColumn> sandbox_columns(SandboxVerb verb);
// RESET, MARK and DROP: they change the sandbox, come back later, and are refused inside of a
// transaction. The others are answered at once, by sandbox_rows(), and need no turn.
constexpr bool sandbox_changes(SandboxVerb verb) {
  return verb == SandboxVerb::reset || verb == SandboxVerb::mark || verb == SandboxVerb::drop;
}

// One value for each column: an int64, text or null. REQUIRES !sandbox_changes(verb).
std::vector<ValueList> sandbox_rows(SandboxVerb verb, Sandbox& sandbox);
// REQUIRES kind == sandbox and sandbox_changes(verb).
void change_sandbox(const Statement& statement, Sandbox& sandbox, Sandbox::Done done);

}  // namespace based
