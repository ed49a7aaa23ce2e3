// Words: comparing and folding keywords and names as the two dialects do. Pure, any thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "backends/sql/tokenizer.h"
#include "backends/statement.h"

namespace based::sql {

// Equal but for ASCII case? `upper` is written in capitals.
bool is_word(std::string_view word, std::string_view upper) noexcept;
bool is_one_of(std::string_view word, std::span<const std::string_view> uppers) noexcept;

// Words in capitals that every word of a statement is compared with: first letter, last letter and
// length tell most words from all of them.
class WordSet {
 public:
  // The words outlive the set; none is empty.
  constexpr explicit WordSet(std::span<const std::string_view> uppers) : uppers_(uppers) {
    for (const std::string_view upper : uppers) {
      const std::size_t key = key_of(upper);
      bits_[key / 64] |= std::uint64_t{1} << key % 64;
    }
  }

  // False: it is none of them.
  bool may_have(std::string_view word) const noexcept {
    if (word.empty()) return false;
    const std::size_t key = key_of(word);
    return (bits_[key / 64] >> key % 64 & 1) != 0;
  }
  bool has(std::string_view word) const noexcept {
    return may_have(word) && is_one_of(word, uppers_);
  }

 private:
  static constexpr std::size_t key_of(std::string_view word) {
    const auto first = static_cast<std::size_t>(word.front() & 0x1F);
    const auto last = static_cast<std::size_t>(word.back() & 0x1F);
    return (first * 37 + last * 11 + word.size()) % 512;
  }

  std::span<const std::string_view> uppers_;
  std::array<std::uint64_t, 8> bits_{};  // one for each key
};

// May PostgreSQL not have it as a name without quotes?
bool is_reserved(std::string_view word) noexcept;

std::string lower_ascii(std::string_view text);

// A name as the dialect compares it. PostgreSQL: unquoted in lower case, quoted as it is, cut to 63
// bytes at a character. SQLite: in lower case either way. `token` is a word, a quoted name or, for
// SQLite, a string.
std::string fold_name(const Token& token, std::string_view text, Dialect dialect);

// As PostgreSQL does with one that is too long.
std::string cut_name(std::string name);

// A cursor over the first tokens of one statement.
class Cursor {
 public:
  // `complete`: the span holds all tokens of the statement. `end`: where the statement ends.
  Cursor(std::span<const Token> tokens, std::string_view text, Dialect dialect, bool complete)
      : tokens_(tokens), text_(text), dialect_(dialect), complete_(complete) {}

  Dialect dialect() const { return dialect_; }
  bool done() const { return position_ == tokens_.size() && complete_; }
  // kind == end when no token is left.
  Token token(std::size_t ahead = 0) const;
  std::string_view source(std::size_t ahead = 0) const { return token(ahead).of(text_); }

  bool sees(std::string_view upper, std::size_t ahead = 0) const;
  bool sees(TokenKind kind, std::size_t ahead = 0) const { return token(ahead).kind == kind; }
  bool accept(std::string_view upper);
  bool accept(TokenKind kind);
  bool accept_one_of(std::span<const std::string_view> uppers);
  void skip() { position_ += position_ < tokens_.size() ? 1u : 0u; }
  // Past a parenthesised group whose opening parenthesis is next; to the end when it does not
  // close.
  void skip_group();
  bool sees_name() const;
  // The next token folded as a name, of U&"..." what it says, with its UESCAPE; empty where that
  // cannot be read. REQUIRES sees_name().
  std::string take_name();
  std::string take_whole_name();  // before it is cut
  // The text from the next token to the statement's last one.
  std::string_view rest(std::uint32_t last_end) const;

 private:
  std::span<const Token> tokens_;
  std::string_view text_;
  Dialect dialect_;
  bool complete_;
  std::size_t position_ = 0;
};

}  // namespace based::sql
