// PostgreSQL's PREPARE and EXECUTE.
#include "backends/sql/control.h"
#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"

namespace based::sql {

std::size_t count_executed_values(std::string_view text) {
  Tokenizer tokens(text, Dialect::postgres);
  std::size_t depth = 0;
  std::size_t count = 0;
  for (Token token = tokens.next(); token.kind != TokenKind::end; token = tokens.next()) {
    const bool closes =
        token.kind == TokenKind::close_paren || token.kind == TokenKind::close_bracket;
    if (closes && depth > 0) --depth;
    if (depth > 0 && count == 0) count = 1;
    if (depth == 1 && token.kind == TokenKind::comma) ++count;
    if (token.kind == TokenKind::open_paren || token.kind == TokenKind::open_bracket) ++depth;
  }
  return count;
}

std::string_view prepared_body(std::string_view text) {
  Tokenizer tokens(text, Dialect::postgres);
  Token token = tokens.next();
  for (int before = 0; before < 2; ++before) token = tokens.next();  // its name
  for (; token.kind != TokenKind::end && token.kind != TokenKind::invalid; token = tokens.next()) {
    if (token.kind != TokenKind::word || !is_word(token.of(text), "AS")) continue;
    const std::string_view word = token.of(text);
    return text.substr(static_cast<std::size_t>(word.data() + word.size() - text.data()));
  }
  return {};
}

}  // namespace based::sql
