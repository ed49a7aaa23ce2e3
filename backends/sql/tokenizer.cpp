#include "backends/sql/tokenizer.h"

#include <array>

namespace based::sql {
namespace {

// What a byte may be, as bits: every byte of every statement is looked up here.
constexpr std::uint8_t space = 1;
constexpr std::uint8_t digit = 2;
constexpr std::uint8_t name_start = 4;
constexpr std::uint8_t name_byte = 8;
constexpr std::uint8_t postgres_operator = 16;
constexpr std::uint8_t skippable = 32;  // white space, or perhaps a comment or byte order mark

constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

constexpr std::array<std::uint8_t, 256> make_bytes() {
  std::array<std::uint8_t, 256> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const bool letter = i < 0x80 && is_letter(static_cast<char>(i));
    if (letter || i == '_' || i >= 0x80) bytes[i] = name_start | name_byte;
    if (i >= '0' && i <= '9') bytes[i] = digit | name_byte;
  }
  bytes['$'] = name_byte;
  for (const char c : std::string_view(" \t\n\r\f\v")) bytes[static_cast<std::size_t>(c)] = space;
  for (const char c : std::string_view("~!@#^&|`?+-*/%<>=")) {
    bytes[static_cast<std::size_t>(c)] = postgres_operator;
  }
  for (const char c : std::string_view(" \t\n\r\f\v-/\xEF")) {
    bytes[static_cast<unsigned char>(c)] |= skippable;
  }
  return bytes;
}
constexpr std::array<std::uint8_t, 256> bytes = make_bytes();

bool is(std::uint8_t what, char c) { return (bytes[static_cast<unsigned char>(c)] & what) != 0; }
bool is_digit(char c) { return is(digit, c); }
bool is_space(char c) { return is(space, c); }
bool is_newline(char c) { return c == '\n' || c == '\r'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// A byte order mark is white space to SQLite wherever a token may start; inside a word it is a part
// of it, as all bytes above 0x7F are.
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

}  // namespace

bool is_name_start(char c) noexcept { return is(name_start, c); }
bool is_name_byte(char c) noexcept { return is(name_byte, c); }

Token Tokenizer::finish(TokenKind kind, std::uint32_t begin, std::uint32_t end) {
  position_ = end;
  return {.kind = kind, .begin = begin, .end = end};
}

Token Tokenizer::fail(TokenError error, std::uint32_t begin) {
  position_ = static_cast<std::uint32_t>(text_.size());
  return {.kind = TokenKind::invalid, .error = error, .begin = begin, .end = position_};
}

// The end of the name whose bytes begin at `position`.
std::uint32_t Tokenizer::behind_name(std::uint32_t position) const {
  const char* const begin = text_.data();
  const char* const end = begin + text_.size();
  const char* at = begin + position;
  while (at != end && is(name_byte, *at)) ++at;
  return static_cast<std::uint32_t>(at - begin);
}

// `position` is at the slash. PostgreSQL's comments nest and must end; SQLite's do neither.
bool Tokenizer::skip_block_comment(std::uint32_t& position) const {
  std::uint32_t depth = 1;
  position += 2;
  while (position < text_.size()) {
    if (at(position, '*') && at(position + 1, '/')) {
      position += 2;
      if (--depth == 0) return true;
    } else if (dialect_ == Dialect::postgres && at(position, '/') && at(position + 1, '*')) {
      position += 2;
      ++depth;
    } else {
      ++position;
    }
  }
  return dialect_ == Dialect::sqlite;
}

bool Tokenizer::skip_space_and_comments(Token& failure) {
  while (position_ < text_.size() && is(skippable, text_[position_])) {
    const char c = text_[position_];
    // SQLite's white space has no vertical tab; there it stays an unexpected character.
    if (is_space(c) && !(c == '\v' && dialect_ == Dialect::sqlite)) {
      ++position_;
    } else if (c == '-' && peek(1) == '-') {
      const bool carriage_return_ends = dialect_ == Dialect::postgres;
      while (position_ < text_.size() && text_[position_] != '\n' &&
             !(carriage_return_ends && text_[position_] == '\r')) {
        ++position_;
      }
    } else if (c == '/' && peek(1) == '*') {
      // To SQLite the two characters at the very end are operators, and an error anyway.
      const std::uint32_t begin = position_;
      if (!skip_block_comment(position_)) {
        failure = fail(TokenError::unterminated_comment, begin);
        return false;
      }
    } else if (dialect_ == Dialect::sqlite &&
               text_.substr(position_, byte_order_mark.size()) == byte_order_mark) {
      position_ += static_cast<std::uint32_t>(byte_order_mark.size());
    } else {
      break;
    }
  }
  return true;
}

Token Tokenizer::next() {
  Token failure;
  if (!skip_space_and_comments(failure)) return failure;
  const std::uint32_t begin = position_;
  if (begin >= text_.size()) return {.kind = TokenKind::end, .begin = begin, .end = begin};
  const bool sqlite = dialect_ == Dialect::sqlite;
  const char c = text_[begin];
  if (is(name_start, c)) return word(begin);
  switch (c) {
    case '(':
      return finish(TokenKind::open_paren, begin, begin + 1);
    case ')':
      return finish(TokenKind::close_paren, begin, begin + 1);
    case ',':
      return finish(TokenKind::comma, begin, begin + 1);
    case ';':
      return finish(TokenKind::semicolon, begin, begin + 1);
    case ']':
      return finish(TokenKind::close_bracket, begin, begin + 1);
    case '[':
      return sqlite ? bracketed(begin) : finish(TokenKind::open_bracket, begin, begin + 1);
    case '\'':
      return quoted(begin, begin, '\'', TokenKind::string);
    case '"':
      return quoted(begin, begin, '"', TokenKind::quoted);
    case '`':
      return sqlite ? quoted(begin, begin, '`', TokenKind::quoted) : operation(begin);
    case '$':
      return dollar(begin);
    case ':':
      return colon(begin);
    case '.':
      if (is_digit(peek(1))) return number(begin);
      return finish(TokenKind::dot, begin, begin + 1);
    default:
      break;
  }
  if (is_digit(c)) return number(begin);
  return sqlite ? sqlite_operation(begin) : operation(begin);
}

Token Tokenizer::quoted(std::uint32_t begin, std::uint32_t quote_at, char quote, TokenKind kind) {
  std::uint32_t position = quote_at + 1;
  while (position < text_.size()) {
    if (text_[position] != quote) {
      ++position;
    } else if (at(position + 1, quote)) {
      position += 2;
    } else {
      return finish(kind, begin, position + 1);
    }
  }
  return fail(kind == TokenKind::string ? TokenError::unterminated_string
                                        : TokenError::unterminated_quoted_identifier,
              begin);
}

// E'...': a backslash takes the next byte with it. Strings separated by a line break are one
// string, and the second part is scanned with escapes too.
Token Tokenizer::escape_string(std::uint32_t begin) {
  std::uint32_t position = begin + 2;
  while (position < text_.size()) {
    if (text_[position] == '\\') {
      position += 2;
    } else if (text_[position] != '\'') {
      ++position;
    } else if (at(position + 1, '\'')) {
      position += 2;
    } else {
      std::uint32_t quote_at = 0;
      if (!continues_string(position + 1, quote_at)) {
        return finish(TokenKind::string, begin, position + 1);
      }
      position = quote_at + 1;
    }
  }
  return fail(TokenError::unterminated_string, begin);
}

// Between the parts stand white space and line comments with at least one line break.
bool Tokenizer::continues_string(std::uint32_t after, std::uint32_t& quote_at) const {
  bool newline_seen = false;
  std::uint32_t position = after;
  while (position < text_.size()) {
    if (is_space(text_[position])) {
      newline_seen = newline_seen || is_newline(text_[position]);
      ++position;
    } else if (at(position, '-') && at(position + 1, '-')) {
      while (position < text_.size() && !is_newline(text_[position])) ++position;
    } else {
      break;
    }
  }
  quote_at = position;
  return newline_seen && at(position, '\'');
}

Token Tokenizer::bracketed(std::uint32_t begin) {
  const std::size_t close = text_.find(']', begin);
  if (close == std::string_view::npos) {
    return fail(TokenError::unterminated_quoted_identifier, begin);
  }
  return finish(TokenKind::quoted, begin, static_cast<std::uint32_t>(close) + 1);
}

Token Tokenizer::dollar(std::uint32_t begin) {
  std::uint32_t position = begin + 1;
  if (position < text_.size() && is_digit(text_[position])) {
    while (position < text_.size() && is_digit(text_[position])) ++position;
    // To SQLite `$1a` is one name.
    const bool longer = position < text_.size() && is_name_byte(text_[position]);
    if (dialect_ == Dialect::postgres || !longer) return finish(TokenKind::dollar, begin, position);
  }
  if (dialect_ == Dialect::sqlite) {
    while (position < text_.size() && is_name_byte(text_[position])) ++position;
    if (position == begin + 1) return fail(TokenError::unexpected_character, begin);
    return finish(TokenKind::foreign, begin, position);
  }
  if (position < text_.size() && is_name_start(text_[position])) {
    while (position < text_.size() && is_name_byte(text_[position]) && text_[position] != '$') {
      ++position;
    }
  }
  if (at(position, '$')) return dollar_string(begin, position + 1);
  return fail(TokenError::unexpected_character, begin);
}

Token Tokenizer::dollar_string(std::uint32_t begin, std::uint32_t tag_end) {
  const std::string_view tag = text_.substr(begin, tag_end - begin);
  const std::size_t close = text_.find(tag, tag_end);
  if (close == std::string_view::npos) return fail(TokenError::unterminated_dollar_string, begin);
  return finish(TokenKind::string, begin, static_cast<std::uint32_t>(close + tag.size()));
}

Token Tokenizer::colon(std::uint32_t begin) {
  if (peek(1) == ':' || peek(1) == '=') return finish(TokenKind::operation, begin, begin + 2);
  std::uint32_t position = begin + 1;
  const bool name = position < text_.size() && is_name_start(text_[position]);
  if (!name) return finish(TokenKind::operation, begin, position);
  // A dollar may stand in an identifier, but `:a$1` is more likely a slip than a name.
  while (position < text_.size() && is_name_byte(text_[position])) ++position;
  return finish(TokenKind::named, begin, position);
}

// Digits, letters and dots in one piece, with the sign of an exponent: never more than the backend
// takes for a number or refuses as junk behind one. Two dots are PostgreSQL's range, not a
// fraction.
Token Tokenizer::number(std::uint32_t begin) {
  std::uint32_t position = begin;
  bool fraction = false;
  const bool hexadecimal = text_[begin] == '0' && lower(peek(1)) == 'x';
  while (position < text_.size()) {
    const char c = text_[position];
    if (is_digit(c) || is_letter(c) || c == '_') {
      ++position;
      const bool exponent = !hexadecimal && lower(c) == 'e';
      const bool sign = at(position, '+') || at(position, '-');
      if (exponent && sign && position + 1 < text_.size() && is_digit(text_[position + 1])) {
        ++position;
      }
    } else if (c == '.' && !fraction && !at(position + 1, '.')) {
      fraction = true;
      ++position;
    } else {
      break;
    }
  }
  return finish(TokenKind::number, begin, position);
}

Token Tokenizer::word(std::uint32_t begin) {
  const char second = peek(1);
  if (second == '\'' || second == '&') return word_or_string(begin);
  return finish(TokenKind::word, begin, behind_name(begin));
}

// A word, or a string or quoted name with a prefix: E'a', U&"a".
Token Tokenizer::word_or_string(std::uint32_t begin) {
  const char first = lower(text_[begin]);
  const char second = peek(1);
  if (second == '\'') {
    if (dialect_ == Dialect::postgres && first == 'e') return escape_string(begin);
    const bool binary = dialect_ == Dialect::postgres && (first == 'b' || first == 'n');
    if (binary || first == 'x') return quoted(begin, begin + 1, '\'', TokenKind::string);
  }
  if (dialect_ == Dialect::postgres && first == 'u' && second == '&') {
    if (peek(2) == '\'') return quoted(begin, begin + 2, '\'', TokenKind::string);
    if (peek(2) == '"') return quoted(begin, begin + 2, '"', TokenKind::quoted);
  }
  return finish(TokenKind::word, begin, behind_name(begin));
}

// The longest run of operator characters, which ends before a comment.
Token Tokenizer::operation(std::uint32_t begin) {
  std::uint32_t position = begin;
  while (position < text_.size() && is(postgres_operator, text_[position])) {
    const bool comment = (at(position, '-') && at(position + 1, '-')) ||
                         (at(position, '/') && at(position + 1, '*'));
    if (comment) break;
    ++position;
  }
  if (position == begin) return fail(TokenError::unexpected_character, begin);
  return finish(TokenKind::operation, begin, position);
}

Token Tokenizer::sqlite_operation(std::uint32_t begin) {
  std::uint32_t position = begin + 1;
  switch (text_[begin]) {
    case '?':
      while (position < text_.size() && is_digit(text_[position])) ++position;
      return finish(TokenKind::question, begin, position);
    case '@':
    case '#':
      while (position < text_.size() && is_name_byte(text_[position])) ++position;
      if (position == begin + 1) return fail(TokenError::unexpected_character, begin);
      return finish(TokenKind::foreign, begin, position);
    case '-':  // ->, ->>
    case '<':
    case '>':
    case '=':
    case '!':
    case '|':
    case '+':
    case '*':
    case '/':
    case '%':
    case '&':
    case '~':
      // One character at a time is enough: no run of these hides a string or a comment, and a
      // comment's start is looked for before each of them.
      return finish(TokenKind::operation, begin, position);
    default:
      return fail(TokenError::unexpected_character, begin);
  }
}

}  // namespace based::sql
