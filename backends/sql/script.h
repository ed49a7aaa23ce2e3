// Script: one text of a client, cut into statements, classified and translated.
//
// Pure, any thread.
#pragma once

#include <string_view>

#include "backends/statement.h"
#include "protocol/result.h"

namespace based::sql {

// A script longer than these is refused with 54000.
inline constexpr std::size_t script_bytes_max = 1u << 30;
inline constexpr std::size_t script_statements_max = 1u << 16;

// The statements in order; stretches without a token are left out. Errors, each with its position
// in the client's text where it has one: 42601 for a string, comment or quoted name that does not
// end, for malformed transaction control and for mixed placeholders (backends/sql/placeholders.h);
// 22021 for a NUL; 42P02 for `$0` and for parameters given in another style; 54000 for what is over
// a limit.
Result<ScriptRef> parse_script(std::string_view text, Dialect dialect, ParameterStyle style);

}  // namespace based::sql
