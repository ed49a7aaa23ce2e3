// SplitText: what only the whole of a client's text can say, where it is sent to the server in
// parts. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "backends/sql/statement_table.h"
#include "backends/statement.h"

namespace based::postgres {

// How many characters stand before text[at], as the server counts them in an error's position; not
// `utf8`: each byte is one.
std::uint32_t characters_before(std::string_view text, std::size_t at, bool utf8);

// One statement, never to be executed, that PostgreSQL 14 and later can parse if they can parse
// each statement of the script, but for BEGIN, COMMIT, savepoints and their like, which are read
// here. Empty: there is nothing else in it.
std::string as_one_body(const Script& script);

// Why Based cannot read a text; nullopt: it can. In a sandbox nothing runs that was not read: there
// may be an end of the root in it.
std::optional<Error> unreadable(sql::StatementTable& texts, std::string_view text);

// Its statements, where there are several; null: there are not, or Based cannot read it.
ScriptRef several_in(sql::StatementTable& texts, std::string_view text);

// The script's text with something of the same length for each SANDBOX command, which the server
// would not know.
std::string without_commands(std::string text, const Script& script);

}  // namespace based::postgres
