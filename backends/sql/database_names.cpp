#include "backends/sql/database_names.h"

#include <vector>

#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"

namespace based::sql {
namespace {

constexpr std::size_t tokens_max = 64;  // of the options of CREATE DATABASE, too

std::string read(Cursor cursor) {
  const bool drops = cursor.sees("DROP");
  const bool alters = cursor.sees("ALTER");
  cursor.skip();
  if (!cursor.accept("DATABASE")) return {};
  if (drops && cursor.accept("IF")) cursor.skip();  // EXISTS
  if (!cursor.sees_name()) return {};
  std::string name = cursor.take_name();
  if (drops) return name;
  if (alters) {
    const bool leaves =
        cursor.sees("RENAME") || (cursor.sees("SET") && cursor.sees("TABLESPACE", 1));
    return leaves ? name : std::string();
  }
  for (; !cursor.sees(TokenKind::end) && !cursor.sees(TokenKind::semicolon); cursor.skip()) {
    if (!cursor.sees("TEMPLATE")) continue;
    cursor.skip();
    if (cursor.source() == "=") cursor.skip();
    return cursor.sees_name() ? cursor.take_name() : std::string();
  }
  return {};
}

}  // namespace

std::string database_to_leave(std::string_view text) {
  Tokenizer tokenizer(text, Dialect::postgres);
  const char first = text.empty() ? '\0' : static_cast<char>(text.front() | 0x20);
  if (first > 'd' || first == 'b') return {};
  std::vector<Token> tokens;
  for (Token token = tokenizer.next(); token.kind != TokenKind::end && tokens.size() < tokens_max;
       token = tokenizer.next()) {
    tokens.push_back(token);
    const bool goes_on = tokens.size() != 1 || is_word(token.of(text), "DROP") ||
                         is_word(token.of(text), "ALTER") || is_word(token.of(text), "CREATE");
    if (!goes_on || token.kind == TokenKind::invalid) return {};
    if (tokens.size() == 2 && !is_word(token.of(text), "DATABASE")) return {};
  }
  if (tokens.size() < 3) return {};
  return read(Cursor(tokens, text, Dialect::postgres, true));
}

}  // namespace based::sql
