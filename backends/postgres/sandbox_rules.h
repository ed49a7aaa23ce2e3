// What must not reach a sandbox's root, by the class of its text, and what Based adds. Pure.
//
// These rules make refusals clear and early. Nothing depends on them for safety: the nets below
// them (sandbox_root.h) hold whatever a text turns out to be.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/statement.h"
#include "backends/unit.h"
#include "protocol/result.h"

namespace based::postgres {

// Refuses what would end the root, what cannot run inside it, and what would take a net away.
Result<void> check_sandbox_unit(const Unit& unit);

// 25P01 of what needs a transaction, and is in none but ours or another session's: the server can
// parse it first.
std::optional<Error> needs_block(const Unit& unit);

// 0A000 of PREPARE TRANSACTION and its like.
Error two_phase_error();
// Where the root's connection may not act as a client's user: 28000. Other errors are as they were.
Error user_error(Error reason, const std::string& user);
// 25001 of what runs outside of a transaction only, and has no form for a sandbox.
Error alone_in_sandbox_error(const Statement& statement);

// What helps where the server refuses something because of the root; empty: nothing.
std::string_view sandbox_hint(std::string_view sqlstate);

// Closes the root's cursor: CLOSE ALL, CLOSE _based_root, in any spelling.
bool closes_root_cursor(std::string_view text);

// Fires deferred constraints, then brings them back to how they were declared, and closes cursors.
std::vector<StatementRef> before_commit_statements();
// Behind a ROLLBACK TO: it does not bring back constraints that were set in a savepoint which has
// been released.
std::vector<StatementRef> after_rollback_statements();
// The last of both, which is dear, has something to do only if this brings a row. It is dear to
// plan.
bool is_restoring(const StatementRef& statement);
const StatementRef& restore_question();
StatementRef read_only_statement();

}  // namespace based::postgres
