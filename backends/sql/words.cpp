#include "backends/sql/words.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "protocol/check.h"

namespace based::sql {
namespace {

constexpr std::size_t postgres_name_bytes_max = 63;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

std::string unquote(std::string_view quoted) {
  const char close = quoted.front() == '[' ? ']' : quoted.front();
  std::string name;
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    name.push_back(quoted[i]);
    if (quoted[i] == close && quoted[i + 1] == close) ++i;
  }
  return name;
}

void clip_to_bytes(std::string& name, std::size_t bytes_max) {
  if (name.size() <= bytes_max) return;
  std::size_t length = bytes_max;
  while (length > 0 && (static_cast<unsigned char>(name[length]) & 0xC0) == 0x80) --length;
  name.resize(length);
}

// The number that so many hexadecimal digits of the text are; nullopt: they are none.
std::optional<std::uint32_t> hexadecimal(std::string_view text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value, 16);
  if (error != std::errc() || end != text.data() + digits) return std::nullopt;
  return value;
}

void append_utf8(std::string& text, std::uint32_t code) {
  const auto add = [&text](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    add(0xE0 | code >> 12);
    add(0x80 | (code >> 6 & 0x3F));
  } else {
    add(0xF0 | code >> 18);
    add(0x80 | (code >> 12 & 0x3F));
    add(0x80 | (code >> 6 & 0x3F));
  }
  add(0x80 | (code & 0x3F));
}

// What U&"..." says; nullopt: the server would not take it.
std::optional<std::string> decode_unicode(std::string_view text, char escape) {
  std::string decoded;
  std::uint32_t high = 0;  // the first half of a surrogate pair
  while (!text.empty()) {
    const bool escapes = text.front() == escape;
    if (!escapes || text.substr(1).starts_with(escape)) {
      if (high != 0) return std::nullopt;
      decoded.push_back(text.front());
      text.remove_prefix(escapes ? 2 : 1);
      continue;
    }
    const bool longer = text.substr(1).starts_with('+');
    const std::size_t digits = longer ? 6 : 4;
    const std::size_t before = longer ? 2 : 1;
    const std::optional<std::uint32_t> code =
        text.size() < before ? std::nullopt : hexadecimal(text.substr(before), digits);
    if (!code || *code == 0 || *code > 0x10FFFF) return std::nullopt;
    const bool second = *code >= 0xDC00 && *code < 0xE000;
    if (second != (high != 0)) return std::nullopt;
    if (*code >= 0xD800 && *code < 0xDC00) {
      high = *code;
    } else {
      const std::uint32_t pair = 0x10000 + ((high & 0x3FF) << 10 | (*code & 0x3FF));
      append_utf8(decoded, std::exchange(high, 0) != 0 ? pair : *code);
    }
    text.remove_prefix(before + digits);
  }
  if (high != 0) return std::nullopt;
  return decoded;
}

// PostgreSQL's, of all its versions; those that name functions and types only among them.
constexpr std::string_view reserved =
    " ALL ANALYSE ANALYZE AND ANY ARRAY AS ASC ASYMMETRIC AUTHORIZATION BINARY BOTH CASE CAST "
    "CHECK COLLATE COLLATION COLUMN CONCURRENTLY CONSTRAINT CREATE CROSS CURRENT_CATALOG "
    "CURRENT_DATE CURRENT_ROLE CURRENT_SCHEMA CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER "
    "DEFAULT DEFERRABLE DESC DISTINCT DO ELSE END EXCEPT FALSE FETCH FOR FOREIGN FREEZE FROM "
    "FULL GRANT GROUP HAVING ILIKE IN INITIALLY INNER INTERSECT INTO IS ISNULL JOIN LATERAL "
    "LEADING LEFT LIKE LIMIT LOCALTIME LOCALTIMESTAMP NATURAL NOT NOTNULL NULL OFFSET ON ONLY "
    "OR ORDER OUTER OVERLAPS PLACING PRIMARY REFERENCES RETURNING RIGHT SELECT SESSION_USER "
    "SIMILAR SOME SYMMETRIC SYSTEM_USER TABLE TABLESAMPLE THEN TO TRAILING TRUE UNION UNIQUE "
    "USER USING VARIADIC VERBOSE WHEN WHERE WINDOW WITH ";

}  // namespace

bool is_reserved(std::string_view word) noexcept {
  std::string sought(1, ' ');
  for (const char c : word) sought += upper(c);
  return reserved.find(sought + ' ') != std::string_view::npos;
}

bool is_word(std::string_view word, std::string_view uppers) noexcept {
  return word.size() == uppers.size() && std::equal(word.begin(), word.end(), uppers.begin(),
                                                    [](char a, char b) { return upper(a) == b; });
}

bool is_one_of(std::string_view word, std::span<const std::string_view> uppers) noexcept {
  return std::any_of(uppers.begin(), uppers.end(),
                     [word](std::string_view each) { return is_word(word, each); });
}

std::string lower_ascii(std::string_view text) {
  std::string folded(text);
  std::transform(folded.begin(), folded.end(), folded.begin(), lower);
  return folded;
}

namespace {

std::string whole_name(const Token& token, std::string_view text, Dialect dialect) {
  const std::string_view source = token.of(text);
  if (token.kind == TokenKind::word) return lower_ascii(source);
  const std::size_t quote_at = source.find_first_of("\"'`[");
  INVARIANT(quote_at != std::string_view::npos);
  std::string name = unquote(source.substr(quote_at));
  return dialect == Dialect::sqlite ? lower_ascii(name) : name;
}

}  // namespace

std::string cut_name(std::string name) {
  clip_to_bytes(name, postgres_name_bytes_max);
  return name;
}

std::string fold_name(const Token& token, std::string_view text, Dialect dialect) {
  std::string name = whole_name(token, text, dialect);
  return dialect == Dialect::postgres ? cut_name(std::move(name)) : name;
}

Token Cursor::token(std::size_t ahead) const {
  return ahead < tokens_.size() - position_ ? tokens_[position_ + ahead] : Token{};
}

bool Cursor::sees(std::string_view uppers, std::size_t ahead) const {
  const Token next = token(ahead);
  return next.kind == TokenKind::word && is_word(next.of(text_), uppers);
}

bool Cursor::accept(std::string_view uppers) {
  if (!sees(uppers)) return false;
  ++position_;
  return true;
}

bool Cursor::accept(TokenKind kind) {
  if (kind == TokenKind::end || token().kind != kind) return false;
  ++position_;
  return true;
}

bool Cursor::accept_one_of(std::span<const std::string_view> uppers) {
  const bool found = token().kind == TokenKind::word && is_one_of(source(), uppers);
  if (found) ++position_;
  return found;
}

void Cursor::skip_group() {
  std::size_t depth = 0;
  while (position_ < tokens_.size()) {
    const TokenKind kind = tokens_[position_++].kind;
    if (kind == TokenKind::open_paren) ++depth;
    if (kind == TokenKind::close_paren && depth > 0) --depth;
    if (depth == 0) return;
  }
}

bool Cursor::sees_name() const {
  const TokenKind kind = token().kind;
  return kind == TokenKind::word || kind == TokenKind::quoted ||
         (kind == TokenKind::string && dialect_ == Dialect::sqlite);
}

std::string Cursor::take_whole_name() {
  INVARIANT(sees_name());
  std::string name = whole_name(token(), text_, dialect_);
  const std::string_view quoted = source();
  skip();
  const bool unicode = dialect_ == Dialect::postgres && quoted.size() > 2 && quoted[1] == '&';
  if (!unicode) return name;
  char escape = '\\';
  if (sees("UESCAPE") && sees(TokenKind::string, 1) && source(1).size() == 3) {
    escape = source(1)[1];
    skip();
    skip();
  }
  // The server refuses what cannot be read, as it does a name without anything.
  return decode_unicode(name, escape).value_or("");
}

std::string Cursor::take_name() {
  std::string name = take_whole_name();
  return dialect_ == Dialect::postgres ? cut_name(std::move(name)) : name;
}

std::string_view Cursor::rest(std::uint32_t last_end) const {
  const Token first = token();
  return first.kind == TokenKind::end ? std::string_view()
                                      : text_.substr(first.begin, last_end - first.begin);
}

}  // namespace based::sql
