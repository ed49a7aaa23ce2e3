#include "backends/sql/ordinary.h"

#include <array>

#include "backends/sql/tokenizer.h"
#include "backends/sql/traits.h"
#include "backends/sql/words.h"

namespace based::sql {

bool is_ordinary(std::string_view text) {
  static constexpr std::array<std::string_view, 7> words{"SELECT", "INSERT", "UPDATE", "DELETE",
                                                         "VALUES", "WITH",   "MERGE"};
  Tokenizer tokenizer(text, Dialect::postgres);
  TraitCollector collector(text, Dialect::postgres);
  Token token = tokenizer.next();
  if (token.kind != TokenKind::word || !is_one_of(token.of(text), words)) return false;
  while (token.kind != TokenKind::end && token.kind != TokenKind::semicolon) {
    if (token.kind == TokenKind::invalid) return false;
    collector.observe(token);
    token = tokenizer.next();
  }
  if (token.kind == TokenKind::semicolon && tokenizer.next().kind != TokenKind::end) return false;
  const Traits& traits = collector.traits();
  return !traits.pins && !traits.into_temporary && !traits.copies && !traits.sets_local;
}

}  // namespace based::sql
