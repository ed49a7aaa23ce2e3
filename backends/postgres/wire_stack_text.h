// What the parts of WireStack (wire_stack.h) share: reading a statement's words, and its errors.
// Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backends/statement.h"
#include "protocol/result.h"

namespace based::postgres {

// In lower case; empty where that token is no word.
std::string word_at(std::string_view text, int index);

// Does it need a snapshot? Behind such a statement the isolation level is settled.
bool is_query(const Statement& statement);

// Does the server take that to parse and to bind it already?
bool is_parsed_by_snapshot(std::string_view text);

// It may begin to COPY, or makes or drops names of statements, which those behind it may use.
bool holds_back(const StatementRef& statement);

bool is_close_all(const Statement& statement);

// In a failed transaction the server looks at these alone.
bool runs_in_failed(const Statement& statement);

// Has it certainly no rows, and no parameters but those that its Parse has declared?
bool describes_nothing(std::string_view text);

Error outside(std::string_view what);  // of a transaction block
// What the server warns of where a statement of kind set_transaction is in none; behind that it
// does it all the same.
std::vector<Error> warnings_outside(const Statement& set);
// What the server tells of a savepoint's name as soon as it reads it: that it is cut (42622).
std::vector<Error> cut_names(const Statement& statement);
Error read_only_around();
Error taken_error(std::string_view portal);         // there is one of that name
Error aborted();                                    // so is the transaction
Error refused(Sqlstate code, std::string message);  // by the sandbox, which the hint explains

// A statement of Based's own.
StatementRef step(StatementKind kind, std::string text, std::string name = {});

}  // namespace based::postgres
