#include "backends/sql/ordinary.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "backends/sql/tokenizer.h"
#include "backends/sql/traits.h"
#include "backends/sql/words.h"

namespace based::sql {
namespace {

constexpr std::array<std::string_view, 7> first_words{"SELECT", "INSERT", "UPDATE", "DELETE",
                                                      "VALUES", "WITH",   "MERGE"};

// A byte as far as a plain text needs it told from others.
enum class Byte : std::uint8_t {
  other,
  gap,
  letter,
  digit,
  quote,
  minus,
  slash,
  dollar,
  semicolon
};

constexpr std::array<Byte, 256> make_bytes() {
  std::array<Byte, 256> bytes{};
  for (std::size_t i = 0x80; i < bytes.size(); ++i) bytes[i] = Byte::letter;
  for (std::size_t i = 'a'; i <= 'z'; ++i) bytes[i] = bytes[i - 'a' + 'A'] = Byte::letter;
  for (std::size_t i = '0'; i <= '9'; ++i) bytes[i] = Byte::digit;
  for (const char c : std::string_view(" \t\n\r\f\v,.()[]:~!@#^&|?+*%<>=")) {
    bytes[static_cast<std::size_t>(c)] = Byte::gap;
  }
  bytes['_'] = Byte::letter;
  bytes['\''] = Byte::quote;
  bytes['-'] = Byte::minus;
  bytes['/'] = Byte::slash;
  bytes['$'] = Byte::dollar;
  bytes[';'] = Byte::semicolon;
  return bytes;
}
constexpr std::array<Byte, 256> bytes = make_bytes();

Byte byte(char c) { return bytes[static_cast<unsigned char>(c)]; }

constexpr std::array<bool, 256> make_word_bytes() {
  std::array<bool, 256> of_word{};
  for (std::size_t i = 0; i < of_word.size(); ++i) {
    of_word[i] = bytes[i] == Byte::letter || bytes[i] == Byte::digit || bytes[i] == Byte::dollar;
  }
  return of_word;
}
constexpr std::array<bool, 256> word_bytes = make_word_bytes();

const char* behind_word(const char* at, const char* end) {
  while (at != end && word_bytes[static_cast<unsigned char>(*at)]) ++at;
  return at;
}

// Most of them differ in their first letter.
bool is_first_word(std::string_view word) {
  return std::ranges::any_of(first_words, [word](std::string_view each) {
    return (word[0] & 0x5F) == each[0] && is_word(word, each);
  });
}

bool is_followed_by(const char* at, const char* end, char next) {
  return end - at > 1 && at[1] == next;
}

bool is_space(const char* at, const char* end) {
  return std::string_view(at, static_cast<std::size_t>(end - at))
             .find_first_not_of(" \t\n\r\f\v") == std::string_view::npos;
}

// A literal's end, or null. Two quotes inside it are the ends of two literals, which is all the
// same here.
const char* behind_literal(const char* at, const char* end) {
  const std::string_view rest(at + 1, static_cast<std::size_t>(end - at - 1));
  const std::size_t quote = rest.find('\'');
  return quote == rest.npos ? nullptr : at + quote + 2;
}

// The end of the word if it is digits and nothing else, or null: with a letter or a dollar in it,
// the tokenizer has rules.
const char* behind_digits(const char* at, const char* end) {
  const char* const begin = at;
  while (at != end && *at >= '0' && *at <= '9') ++at;
  const bool ends = at == end || !word_bytes[static_cast<unsigned char>(*at)];
  return at != begin && ends ? at : nullptr;
}

// Ordinary by a look at its bytes alone, a third of the tokenizer's work: words that tell nothing,
// numbers, parameters, literals without a prefix, operators. No comment, no quoted name.
bool is_plain(std::string_view text) {
  if (text.empty() || byte(text[0]) != Byte::letter) return false;
  const char* at = text.data();
  const char* const end = at + text.size();
  const char* const first = behind_word(at, end);
  const bool inserts = is_word({at, first}, "INSERT");
  if (!is_first_word({at, first})) return false;
  for (at = first; at != end;) {
    switch (byte(*at)) {
      case Byte::gap:
        ++at;
        break;
      case Byte::letter: {
        const char* const begin = at;
        at = behind_word(at, end);
        if (at != end && *at == '\'') return false;
        if (TraitCollector::may_tell({begin, at}) && !(inserts && is_word({begin, at}, "INTO"))) {
          return false;
        }
        break;
      }
      case Byte::dollar:
        at = behind_digits(at + 1, end);
        if (at == nullptr) return false;
        break;
      case Byte::digit:
        at = behind_digits(at, end);
        if (at == nullptr) return false;
        break;
      case Byte::quote:
        at = behind_literal(at, end);
        if (at == nullptr) return false;
        break;
      case Byte::minus:
        if (is_followed_by(at++, end, '-')) return false;
        break;
      case Byte::slash:
        if (is_followed_by(at++, end, '*')) return false;
        break;
      case Byte::semicolon:
        return is_space(at + 1, end);
      case Byte::other:
        return false;
    }
  }
  return true;
}

}  // namespace

bool is_ordinary(std::string_view text) {
  if (is_plain(text)) return true;
  Tokenizer tokenizer(text, Dialect::postgres);
  TraitCollector collector(text, Dialect::postgres);
  Token token = tokenizer.next();
  if (token.kind != TokenKind::word || !is_one_of(token.of(text), first_words)) return false;
  while (token.kind != TokenKind::end && token.kind != TokenKind::semicolon) {
    if (token.kind == TokenKind::invalid) return false;
    collector.observe(token);
    token = tokenizer.next();
  }
  if (token.kind == TokenKind::semicolon && tokenizer.next().kind != TokenKind::end) return false;
  const Traits& traits = collector.traits();
  return !traits.pins && !traits.into && !traits.copies && !traits.sets_local;
}

bool names_moving_time(std::string_view text) {
  static constexpr std::array<std::string_view, 4> times{"now", "today", "tomorrow", "yesterday"};
  Tokenizer tokenizer(text, Dialect::postgres);
  for (;;) {
    const Token token = tokenizer.next();
    if (token.kind == TokenKind::end) return false;
    if (token.kind == TokenKind::invalid) return true;
    if (token.kind != TokenKind::string) continue;
    const std::string literal = lower_ascii(token.of(text));
    // With escapes in it, it may spell anything.
    const bool told = literal.front() == '\'' || literal.front() == '$';
    const bool moves = std::ranges::any_of(
        times, [&literal](std::string_view time) { return literal.find(time) != literal.npos; });
    if (!told || moves) return true;
  }
}

bool begins_with_select(std::string_view text) {
  if (!text.empty() && byte(text[0]) == Byte::letter) {
    return is_word({text.data(), behind_word(text.data(), text.data() + text.size())}, "SELECT");
  }
  Tokenizer tokens(text, Dialect::postgres);
  return is_word(tokens.next().of(text), "SELECT");
}

}  // namespace based::sql
