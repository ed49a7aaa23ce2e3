#include "backends/postgres/own_row.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "backends/sql/control.h"
#include "backends/sql/session_calls.h"
#include "backends/sql/setting_value.h"
#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"

namespace based::postgres {
namespace {

constexpr std::array<std::string_view, 7> names{"transaction_isolation",
                                                "transaction_deferrable",
                                                "default_transaction_read_only",
                                                "statement_timeout",
                                                "idle_in_transaction_session_timeout",
                                                "transaction_timeout",
                                                "idle_session_timeout"};
constexpr std::array<std::string_view, 4> functions{"PG_CATALOG", "CURRENT_SETTING", "SET_CONFIG",
                                                    "PG_ADVISORY_UNLOCK_ALL"};
constexpr std::size_t tokens_max = 20;  // of the longest that is read

bool is_own(std::string_view name) { return std::ranges::find(names, name) != names.end(); }

std::optional<OwnRow> read_show(sql::Cursor cursor) {
  if (cursor.accept("TRANSACTION") && cursor.accept("ISOLATION") && cursor.accept("LEVEL")) {
    if (!cursor.done()) return std::nullopt;
    return OwnRow{"transaction_isolation", "transaction_isolation", "SHOW"};
  }
  if (!cursor.sees_name()) return std::nullopt;
  const std::string name = sql::lower_ascii(cursor.take_name());
  if (!cursor.done() || !is_own(name)) return std::nullopt;
  return OwnRow{name, name, "SHOW"};
}

bool read_string(sql::Cursor& cursor, std::string& value) {
  if (!sql::read_string_constant(cursor.source(), value)) return false;
  cursor.skip();
  return true;
}

bool read_bool(sql::Cursor& cursor) { return cursor.accept("TRUE") || cursor.accept("FALSE"); }

// ['::' text] [AS name]: false where there is something else.
bool read_rest(sql::Cursor& cursor, std::string& column) {
  if (cursor.sees(sql::TokenKind::operation) && cursor.source() == "::") {
    cursor.skip();
    if (cursor.accept("PG_CATALOG") && !cursor.accept(sql::TokenKind::dot)) return false;
    if (!cursor.accept("TEXT")) return false;
  }
  if (cursor.accept("AS")) {
    if (!cursor.sees_name()) return false;
    column = cursor.take_name();
  }
  return cursor.done() && !column.empty();
}

// The mode that set_config sets; none where only the server can say what is wrong with it.
BeginOptions mode_set(std::string_view name, std::string_view value) {
  BeginOptions mode;
  const bool quoted = value.find_first_of("'\"$") != value.npos;
  if (quoted || !sql::is_mode_of_transaction(name)) return mode;
  const std::optional<bool> on = sql::bool_of(value);
  if (name == "transaction_isolation") {
    mode.isolation = sql::isolation_named(value);
  } else if (on && name == "transaction_read_only") {
    mode.access = *on ? BeginOptions::Access::read_only : BeginOptions::Access::read_write;
  } else if (on) {
    mode.deferrable =
        *on ? BeginOptions::Deferrable::deferrable : BeginOptions::Deferrable::not_deferrable;
  }
  return mode;
}

std::optional<OwnRow> read_call(sql::Cursor cursor) {
  using enum sql::TokenKind;
  if (cursor.sees("PG_CATALOG") && cursor.sees(dot, 1)) {
    cursor.skip();
    cursor.skip();
  }
  OwnRow row{sql::lower_ascii(cursor.source()), "", "SELECT 1"};
  const bool unlocks = cursor.accept("PG_ADVISORY_UNLOCK_ALL");
  const bool sets = !unlocks && cursor.accept("SET_CONFIG");
  if (!unlocks && !sets && !cursor.accept("CURRENT_SETTING")) return std::nullopt;
  if (!cursor.accept(open_paren)) return std::nullopt;
  if (unlocks) {
    if (!cursor.accept(close_paren) || !cursor.done()) return std::nullopt;
    return row;
  }
  std::string value;
  if (!read_string(cursor, row.setting)) return std::nullopt;
  row.setting = sql::lower_ascii(row.setting);
  if (sets && (!cursor.accept(comma) || !read_string(cursor, value))) return std::nullopt;
  const bool more = cursor.accept(comma);
  if (more != (more && read_bool(cursor)) || (sets && !more)) return std::nullopt;
  if (!cursor.accept(close_paren) || !read_rest(cursor, row.column)) return std::nullopt;
  if (sets) row.sets = mode_set(row.setting, value);
  if (sets ? row.sets == BeginOptions() : !is_own(row.setting)) return std::nullopt;
  return row;
}

}  // namespace

bool may_ask_setting(std::string_view text) {
  constexpr std::size_t bytes_max = 120;
  if (text.size() > bytes_max) return false;
  const std::string lower = sql::lower_ascii(text);
  return lower.find("current_setting") != lower.npos || lower.find("set_config") != lower.npos ||
         lower.find("pg_advisory_unlock_all") != lower.npos;
}

bool asks_unlock_all(const Statement& statement) {
  const std::optional<OwnRow> row = own_row_of(statement);
  return row && row->setting.empty();
}

std::optional<OwnRow> own_row_of(const Statement& statement) {
  const bool pins = statement.kind == StatementKind::pinning;  // a set_config for the session
  if (statement.kind != StatementKind::read && !pins) return std::nullopt;
  const std::string_view text = statement.text;
  sql::Tokenizer tokenizer(text, Dialect::postgres);
  std::array<sql::Token, tokens_max> tokens;
  std::size_t count = 0;
  for (sql::Token token = tokenizer.next(); token.kind != sql::TokenKind::end;
       token = tokenizer.next()) {
    const bool other = count == 1 && !sql::is_word(tokens[0].of(text), "SHOW") &&
                       !sql::is_one_of(token.of(text), functions);
    if (other || count == tokens.size()) return std::nullopt;
    tokens[count++] = token;
  }
  sql::Cursor cursor(std::span(tokens.data(), count), text, Dialect::postgres, true);
  if (cursor.accept("SHOW")) return read_show(cursor);
  return cursor.accept("SELECT") ? read_call(cursor) : std::nullopt;
}

}  // namespace based::postgres
