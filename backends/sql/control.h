// Control: reads transaction control and settings given as SQL text. Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "backends/sql/words.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based::sql {

// Fills kind, name, begin and and_chain of transaction control, in every spelling of both dialects
// (SQLite is given PostgreSQL's too, since its stack is ours): 42601 with the offending token for
// what is neither. No error and kind == other: the statement is not transaction control.
std::optional<Error> read_transaction_control(Cursor cursor, Statement& statement);

// Fills kind, name, setting and begin of PostgreSQL's SET, RESET, DISCARD, PREPARE, EXECUTE and
// DEALLOCATE, name and setting of LISTEN and UNLISTEN. What cannot be said as SET name TO value
// again is `pinning`; what is malformed is left as `other` to the server.
void read_setting(Cursor cursor, std::uint32_t last_end, Statement& statement);

// How many values a text gives that is an EXECUTE.
std::size_t count_executed_values(std::string_view text);
// The statement that a text prepares that is a PREPARE; empty: none.
std::string_view prepared_body(std::string_view text);

// Is the setting one that SET TRANSACTION sets, and that ends with the transaction however it is
// set?
bool is_mode_of_transaction(std::string_view name);
// The modes of PostgreSQL's BEGIN, SET TRANSACTION and SET transaction_... as they follow each
// other, each with one mode of `begin` set.
std::vector<BeginOptions> modes_in_order(const Statement& statement);
// "repeatable read", in any case; unset for what is no isolation level.
BeginOptions::Isolation isolation_named(std::string_view name);

// Fills kind, verb and name of SANDBOX ..., in both dialects: 42601 for a verb that there is not.
std::optional<Error> read_sandbox(Cursor cursor, Statement& statement);

// SQLite's PRAGMA: `read` when it only asks, else `other`; its name and its value's text.
void read_pragma(Cursor cursor, std::uint32_t last_end, Statement& statement);

}  // namespace based::sql
