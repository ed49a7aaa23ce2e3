// What a PostgreSQL server says went wrong, as our Error. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/postgres/backend.h"
#include "protocol/result.h"

namespace based::postgres {

// All fields that Error has. `text` is the statement that the position belongs to; empty: none.
Error server_error(const ErrorFields& fields, std::string_view text);

// The server's position (1-based, in characters) as a byte offset into a UTF-8 text; none where it
// lies outside.
std::optional<std::uint32_t> byte_position(std::string_view digits, std::string_view text);

// An error of libpq while it opened a connection, asked to be verbose: the server's SQLSTATE where
// it says one ("FATAL:  28P01: ..."), else 08001; one line without LOCATION. A wrong password or an
// unknown database is told as it is, because trying again cannot help.
Error connect_error(std::string_view libpq_message);

// Is it of no use to try again: authentication, authorisation, no such database?
bool is_permanent(const Error& connect_error);

// What those who wait for a connection to the server of `name` are told of that error.
Error away_error(const Error& connect_error, const std::string& name);

}  // namespace based::postgres
