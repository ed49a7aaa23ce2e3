#include "backends/sql/session_calls.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"

namespace based::sql {
namespace {

constexpr std::size_t calls_max = 64;

bool is_plain_escape(char c, char& value) {
  switch (c) {
    case 'b':
      value = '\b';
      return true;
    case 'f':
      value = '\f';
      return true;
    case 'n':
      value = '\n';
      return true;
    case 'r':
      value = '\r';
      return true;
    case 't':
      value = '\t';
      return true;
    default:
      value = c;
      return !(c >= '0' && c <= '7') && c != 'x' && c != 'u' && c != 'U';
  }
}

// Reads the tokens of one statement after another.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text), tokens_(text, Dialect::postgres) { next(); }

  SessionCalls read() {
    while (token_.kind != TokenKind::end && token_.kind != TokenKind::invalid) step();
    return std::move(found_);
  }

 private:
  void next() { token_ = tokens_.next(); }
  std::string_view source() const { return token_.of(text_); }
  bool is_word_of(std::string_view upper) const {
    return token_.kind == TokenKind::word && is_word(source(), upper);
  }

  void step() {
    static constexpr std::array<std::string_view, 12> conditions{
        "WHERE",  "CASE", "FROM",   "UNION", "LIMIT",  "WITH",
        "HAVING", "IF",   "EXCEPT", "DO",    "CREATE", "OFFSET"};
    if (token_.kind == TokenKind::semicolon) {
      depth_ = 0;
      conditional_ = false;
    }
    if (token_.kind == TokenKind::open_paren) ++depth_;
    if (token_.kind == TokenKind::close_paren) --depth_;
    if (token_.kind == TokenKind::word && is_one_of(source(), conditions)) conditional_ = true;
    if (token_.kind == TokenKind::string && names_one()) found_.unclear = true;
    const bool named = token_.kind == TokenKind::word || token_.kind == TokenKind::quoted;
    if (named && names_one()) return read_call();
    next();
    if (conditional_ && !found_.calls.empty()) found_.unclear = true;
  }

  bool names_one() const {
    return contains_word(source(), "SET_CONFIG") || contains_word(source(), "PG_NOTIFY");
  }

  void read_call() {
    SessionCall call;
    const bool notifies = contains_word(source(), "PG_NOTIFY");
    call.function = notifies ? SessionCall::Function::pg_notify : SessionCall::Function::set_config;
    next();
    if (token_.kind != TokenKind::open_paren || depth_ > 0 || conditional_ ||
        found_.calls.size() == calls_max) {
      found_.unclear = true;
      return;
    }
    next();
    do {
      call.arguments.push_back(read_argument());
    } while (call.arguments.size() <= 3 && accept(TokenKind::comma));
    const std::size_t wanted = notifies ? 2 : 3;
    if (!accept(TokenKind::close_paren) || call.arguments.size() != wanted) {
      found_.unclear = true;
      return;
    }
    found_.calls.push_back(std::move(call));
  }

  bool accept(TokenKind kind) {
    if (token_.kind != kind) return false;
    next();
    return true;
  }

  Argument read_argument() {
    Argument argument;
    const std::string_view first = source();
    if (names_one()) found_.unclear = true;
    if (token_.kind == TokenKind::string && read_string_constant(first, argument.text)) {
      argument.kind = Argument::Kind::literal;
    } else if (token_.kind == TokenKind::dollar) {
      const auto read =
          std::from_chars(first.data() + 1, first.data() + first.size(), argument.number);
      if (read.ec == std::errc()) argument.kind = Argument::Kind::parameter;
    } else if (is_word_of("TRUE") || is_word_of("FALSE")) {
      argument.kind = Argument::Kind::literal;
      argument.text = lower_ascii(first);
    }
    if (token_.kind != TokenKind::comma && token_.kind != TokenKind::close_paren) next();
    while (token_.kind == TokenKind::operation && source() == "::") {
      next();
      if (token_.kind == TokenKind::word) next();
    }
    if (token_.kind != TokenKind::comma && token_.kind != TokenKind::close_paren) {
      argument.kind = Argument::Kind::unknown;
      skip_expression();
    }
    return argument;
  }

  // Up to the comma or parenthesis that ends it.
  void skip_expression() {
    std::size_t depth = 0;
    while (token_.kind != TokenKind::end && token_.kind != TokenKind::invalid) {
      if (depth == 0 && (token_.kind == TokenKind::comma || token_.kind == TokenKind::close_paren))
        return;
      if (token_.kind == TokenKind::open_paren) ++depth;
      if (token_.kind == TokenKind::close_paren) --depth;
      if (names_one()) found_.unclear = true;
      next();
    }
  }

  std::string_view text_;
  Tokenizer tokens_;
  Token token_;
  SessionCalls found_;
  int depth_ = 0;
  bool conditional_ = false;
};

}  // namespace

bool contains_word(std::string_view text, std::string_view upper) {
  const auto same = [](char a, char b) { return (a >= 'a' && a <= 'z' ? a - 'a' + 'A' : a) == b; };
  return std::search(text.begin(), text.end(), upper.begin(), upper.end(), same) != text.end();
}

SessionCalls find_session_calls(std::string_view text) {
  if (!contains_word(text, "SET_CONFIG") && !contains_word(text, "PG_NOTIFY")) return {};
  return Reader(text).read();
}

bool read_string_constant(std::string_view source, std::string& value) {
  value.clear();
  if (source.starts_with('$')) {
    const std::size_t tag = source.find('$', 1);
    if (tag == source.npos || source.size() < 2 * (tag + 1)) return false;
    value = source.substr(tag + 1, source.size() - 2 * (tag + 1));
    return true;
  }
  const bool escapes = source.starts_with('E') || source.starts_with('e');
  if (escapes) source.remove_prefix(1);
  if (source.size() < 2 || source.front() != '\'' || source.back() != '\'') return false;
  source = source.substr(1, source.size() - 2);
  for (std::size_t at = 0; at < source.size(); ++at) {
    char c = source[at];
    if (escapes && c == '\\') {
      if (++at == source.size() || !is_plain_escape(source[at], c)) return false;
    } else if (c == '\'' && (++at == source.size() || source[at] != '\'')) {
      return false;  // it goes on on another line
    }
    value += c;
  }
  return true;
}

}  // namespace based::sql
