// The tokens of a PostgreSQL client's text for SQLite: SQLite's own, and E'...' as one string.
// Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backends/sql/tokenizer.h"

namespace based {

struct ClientToken {
  sql::TokenKind kind = sql::TokenKind::end;
  bool escaped = false;  // E'...'
  std::string_view text;
  std::size_t begin = 0;

  bool is(std::string_view lower_word) const;  // in any case
  bool is_name() const { return kind == sql::TokenKind::word || kind == sql::TokenKind::quoted; }
  std::size_t end() const { return begin + text.size(); }
};

// Up to the first thing that is no token. The views point into the text.
std::vector<ClientToken> tokens_of(std::string_view text);

// What a string token says; a name without its quotes, unquoted in lower case.
std::string value_of(const ClientToken& token);

std::string lower_case(std::string_view text);

}  // namespace based
