// What SQLite reported, as an Error: SQLSTATE, SQLite's own code and name, constraint, position.
//
// Pure apart from reading the handle's last error. Lane thread.
#pragma once

#include <sqlite3.h>

#include <string_view>

#include "protocol/result.h"

namespace based::sqlite {

enum class FailedIn : std::uint8_t { open, prepare, step };

// From an extended result code and SQLite's message. `offset` is sqlite3_error_offset(): -1 for
// none.
Error error_from(int code, std::string_view message, int offset, FailedIn where);

// From the handle's last error, which must be that of the call that returned `code`.
Error error_of(sqlite3* db, int code, FailedIn where);

// "SQLITE_CONSTRAINT_UNIQUE"; for codes it does not know the primary code's name, or "".
std::string_view code_name(int code);

}  // namespace based::sqlite
