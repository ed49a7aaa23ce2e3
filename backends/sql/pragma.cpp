// SQLite's PRAGMA.
#include <array>
#include <string_view>

#include "backends/sql/control.h"

namespace based::sql {

void read_pragma(Cursor cursor, std::uint32_t last_end, Statement& statement) {
  // These change nothing, with or without an argument in parentheses.
  static constexpr std::array<std::string_view, 16> asking{
      "TABLE_INFO",    "TABLE_XINFO",     "TABLE_LIST",       "INDEX_LIST",
      "INDEX_INFO",    "INDEX_XINFO",     "FOREIGN_KEY_LIST", "FOREIGN_KEY_CHECK",
      "DATABASE_LIST", "COLLATION_LIST",  "FUNCTION_LIST",    "MODULE_LIST",
      "PRAGMA_LIST",   "COMPILE_OPTIONS", "INTEGRITY_CHECK",  "QUICK_CHECK"};
  // These act without an argument.
  static constexpr std::array<std::string_view, 4> acting{"OPTIMIZE", "INCREMENTAL_VACUUM",
                                                          "WAL_CHECKPOINT", "SHRINK_MEMORY"};
  cursor.skip();
  if (cursor.sees(TokenKind::dot, 1)) {
    cursor.skip();
    cursor.skip();
  }
  const bool asks = cursor.token().kind == TokenKind::word && is_one_of(cursor.source(), asking);
  const bool acts = cursor.token().kind == TokenKind::word && is_one_of(cursor.source(), acting);
  if (!cursor.sees_name()) return;
  statement.name = cursor.take_name();
  statement.kind = StatementKind::other;
  if ((asks || cursor.done()) && !acts) statement.kind = StatementKind::read;
  if (cursor.done()) return;
  const bool group = cursor.sees(TokenKind::open_paren);
  cursor.skip();
  std::string_view value = cursor.rest(last_end);
  if (group && !value.empty() && value.back() == ')') value.remove_suffix(1);
  statement.setting = value;
}

}  // namespace based::sql
