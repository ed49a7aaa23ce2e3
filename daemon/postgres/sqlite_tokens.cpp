#include "daemon/postgres/sqlite_tokens.h"

#include <algorithm>
#include <cctype>

namespace based {
namespace {

using sql::TokenKind;

// The end of an E'...' whose quote is at `quote`; npos: it does not end.
std::size_t end_of_escaped(std::string_view text, std::size_t quote) {
  for (std::size_t i = quote + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '\'') {
      if (i + 1 >= text.size() || text[i + 1] != '\'') return i + 1;
      ++i;
    }
  }
  return std::string_view::npos;
}

std::string unescaped(std::string_view body) {
  std::string result;
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body[i] == '\'') {
      result += body[i++];
      continue;
    }
    if (body[i] != '\\' || i + 1 >= body.size()) {
      result += body[i];
      continue;
    }
    const char c = body[++i];
    constexpr std::string_view letters = "bfnrt";
    constexpr std::string_view meanings = "\b\f\n\r\t";
    if (const auto at = letters.find(c); at != std::string_view::npos) {
      result += meanings[at];
    } else if (c >= '0' && c <= '7') {
      unsigned value = 0;
      std::size_t count = 0;
      for (; count < 3 && i < body.size() && body[i] >= '0' && body[i] <= '7'; ++count, ++i) {
        value = value * 8 + static_cast<unsigned>(body[i] - '0');
      }
      --i;
      result += static_cast<char>(value & 0xFF);
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

bool ClientToken::is(std::string_view lower_word) const {
  return kind == TokenKind::word &&
         std::ranges::equal(text, lower_word,
                            [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
}

std::vector<ClientToken> tokens_of(std::string_view text) {
  std::vector<ClientToken> tokens;
  std::size_t base = 0;
  sql::Tokenizer tokenizer(text, Dialect::sqlite);
  while (true) {
    const sql::Token token = tokenizer.next();
    if (token.kind == TokenKind::end || token.kind == TokenKind::invalid) return tokens;
    ClientToken made{token.kind, false, text.substr(base + token.begin, token.end - token.begin),
                     base + token.begin};
    const std::size_t end = made.end();
    if (made.is("e") && end < text.size() && text[end] == '\'') {
      const std::size_t last = end_of_escaped(text, end);
      if (last == std::string_view::npos) return tokens;
      made.kind = TokenKind::string;
      made.escaped = true;
      made.text = text.substr(made.begin, last - made.begin);
      base = last;
      tokenizer = sql::Tokenizer(text.substr(base), Dialect::sqlite);
    }
    tokens.push_back(made);
  }
}

std::string value_of(const ClientToken& token) {
  std::string_view body = token.text;
  if (token.kind == TokenKind::word) return lower_case(body);
  if (token.escaped) return unescaped(body.substr(2, body.size() - 3));
  if (token.kind != TokenKind::string && token.kind != TokenKind::quoted) return std::string(body);
  const char quote = body.back();
  body.remove_suffix(1);
  body.remove_prefix(body.find_first_of("'\"`[") + 1);
  std::string result;
  for (std::size_t i = 0; i < body.size(); ++i) {
    result += body[i];
    if (quote != ']' && body[i] == quote) ++i;
  }
  return result;
}

}  // namespace based
