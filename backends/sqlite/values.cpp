#include "backends/sqlite/values.h"

#include <cctype>
#include <cmath>
#include <optional>

namespace based::sqlite {
namespace {

Result<void> check_value(const ValueView& value, std::size_t number) {
  const auto which = "parameter " + std::to_string(number);
  if (value.kind == ValueKind::float64 && std::isnan(value.float64)) {
    return Error::make(sqlstate::invalid_parameter_value, which + " is not a number (NaN)")
        .with_detail("SQLite has no NaN and would store NULL in its place");
  }
  if (value.kind == ValueKind::text && !is_valid_utf8(value.data)) {
    return Error::make(sqlstate::character_not_in_repertoire,
                       which + " is a text that is not valid UTF-8")
        .with_hint("send such bytes as bytes");
  }
  return {};
}

int bind_one(sqlite3_stmt* statement, int index, const ValueView& value) {
  // A null pointer would bind NULL: an empty value has to point somewhere.
  const char* data = value.data.empty() ? "" : value.data.data();
  switch (value.kind) {
    case ValueKind::null:
      return sqlite3_bind_null(statement, index);
    case ValueKind::boolean:
      return sqlite3_bind_int(statement, index, value.boolean ? 1 : 0);
    case ValueKind::int64:
      return sqlite3_bind_int64(statement, index, value.int64);
    case ValueKind::float64:
      return sqlite3_bind_double(statement, index, value.float64);
    case ValueKind::text:
      return sqlite3_bind_text64(statement, index, data, value.data.size(), SQLITE_STATIC,
                                 SQLITE_UTF8);
    case ValueKind::bytes:
      return sqlite3_bind_blob64(statement, index, data, value.data.size(), SQLITE_STATIC);
  }
  return SQLITE_MISUSE;
}

std::string_view storage_class(int type) {
  switch (type) {
    case SQLITE_INTEGER:
      return "INTEGER";
    case SQLITE_FLOAT:
      return "REAL";
    case SQLITE_TEXT:
      return "TEXT";
    case SQLITE_BLOB:
      return "BLOB";
    default:
      return "NULL";
  }
}

}  // namespace

Result<void> bind_parameters(sqlite3_stmt* statement, std::span<const ValueView> values) {
  const auto wanted = static_cast<std::size_t>(sqlite3_bind_parameter_count(statement));
  if (wanted != values.size()) {
    return Error::make(sqlstate::protocol_violation,
                       "the statement has " + std::to_string(wanted) + " parameters, but " +
                           std::to_string(values.size()) + " were given");
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (auto checked = check_value(values[i], i + 1); !checked) return checked;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int code = bind_one(statement, static_cast<int>(i + 1), values[i]);
    if (code == SQLITE_OK) continue;
    const bool too_big = code == SQLITE_TOOBIG;
    return Error::make(
        too_big ? sqlstate::program_limit_exceeded : sqlstate::out_of_memory,
        "parameter " + std::to_string(i + 1) + (too_big ? " is too long" : " could not be bound"));
  }
  return {};
}

std::optional<ValueView> column_value(sqlite3_stmt* statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      return ValueView::of(std::int64_t{sqlite3_column_int64(statement, column)});
    case SQLITE_FLOAT:
      return ValueView::of(sqlite3_column_double(statement, column));
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
      if (text == nullptr) return std::nullopt;
      const std::string_view data{
          text, static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
      return is_valid_utf8(data) ? ValueView::text(data) : ValueView::bytes(data);
    }
    case SQLITE_BLOB: {
      const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
      if (size == 0) return ValueView::bytes({});
      const auto* blob = static_cast<const char*>(sqlite3_column_blob(statement, column));
      if (blob == nullptr) return std::nullopt;
      return ValueView::bytes({blob, size});
    }
    default:
      return ValueView::null();
  }
}

bool is_boolean_type(std::string_view type) { return type == "BOOL" || type == "BOOLEAN"; }

ValueView as_boolean(const ValueView& value) {
  if (value.kind != ValueKind::int64 || (value.int64 != 0 && value.int64 != 1)) return value;
  return ValueView::of(value.int64 == 1);
}

std::string column_type(sqlite3_stmt* statement, int column, bool on_row) {
  const char* declared = sqlite3_column_decltype(statement, column);
  if (declared == nullptr || *declared == '\0') {
    return std::string{
        storage_class(on_row ? sqlite3_column_type(statement, column) : SQLITE_NULL)};
  }
  std::string type{declared};
  for (char& c : type) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return type;
}

}  // namespace based::sqlite
