// Values in and out of SQLite, exact in both directions. Lane thread.
//
// In: a boolean is bound as 1 or 0. NaN is refused (22023), because SQLite would store NULL; text
// that is not UTF-8 is refused (22021). Text may contain NUL.
// Out: INTEGER, REAL, TEXT, BLOB and NULL become int64, float64, text, bytes and null. TEXT that is
// not valid UTF-8 (SQLite stores what it is given) is delivered as bytes, so that text always is.
// The integers 0 and 1 of a column declared BOOL or BOOLEAN are booleans.
#pragma once

#include <sqlite3.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "protocol/value.h"

namespace based::sqlite {

// Checks all before it binds one: nothing has happened after an error. The values must live until
// the bindings are cleared. 08P01 where the number of values does not fit.
Result<void> bind_parameters(sqlite3_stmt* statement, std::span<const ValueView> values);

// Valid until the statement is stepped or reset. No result only where memory is short.
std::optional<ValueView> column_value(sqlite3_stmt* statement, int column);

// Whether a column of this type (of column_type) holds booleans.
bool is_boolean_type(std::string_view type);

// The value as a column of booleans gives it: 0 and 1 change, all others stay.
ValueView as_boolean(const ValueView& value);

// The declared type in upper case as written, else the storage class of the current row's value;
// "NULL" where there is neither.
std::string column_type(sqlite3_stmt* statement, int column, bool on_row);

}  // namespace based::sqlite
