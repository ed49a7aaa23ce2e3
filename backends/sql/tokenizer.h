// Tokenizer: the lexical structure of a client's SQL, for both dialects.
//
// Pure, any thread, allocates nothing. It never decides what a text means; it finds where strings,
// comments and names begin and end exactly as the backend's own scanner does (PostgreSQL with
// standard_conforming_strings on), because a boundary seen elsewhere than the backend sees it is
// how a COMMIT hides. White space and comments are skipped. Every token ends after it began, so a
// caller that loops ends.
#pragma once

#include <cstdint>
#include <string_view>

#include "backends/statement.h"

namespace based::sql {

enum class TokenKind : std::uint8_t {
  word,       // identifier or keyword, unquoted
  quoted,     // "name", U&"name"; SQLite's `name` and [name] too
  string,     // '...', E'...', $tag$...$tag$, N'...', U&'...', B'...', X'...'
  number,     // also what PostgreSQL would refuse as trailing junk
  dollar,     // $12
  question,   // SQLite's ? and ?12
  named,      // :name
  foreign,    // SQLite's @name and $name, which Based refuses
  operation,  // operators: ->>, ?|, ::, :=, a lone colon
  open_paren,
  close_paren,
  open_bracket,
  close_bracket,
  comma,
  dot,
  semicolon,
  invalid,  // see TokenError; the last token of its text
  end,
};

enum class TokenError : std::uint8_t {
  none,
  unterminated_string,
  unterminated_quoted_identifier,
  unterminated_dollar_string,
  unterminated_comment,
  unexpected_character,
};

struct Token {
  TokenKind kind = TokenKind::end;
  TokenError error = TokenError::none;
  std::uint32_t begin = 0;  // byte offsets into the text
  std::uint32_t end = 0;

  std::string_view of(std::string_view text) const { return text.substr(begin, end - begin); }
};

class Tokenizer {
 public:
  // The text must outlive the tokenizer and be shorter than 2^32 - 1 bytes.
  Tokenizer(std::string_view text, Dialect dialect) : text_(text), dialect_(dialect) {}

  // The next token; at the end of the text, and after an invalid token, kind == end for ever.
  Token next();

 private:
  bool at(std::uint32_t position, char character) const {
    return position < text_.size() && text_[position] == character;
  }
  char peek(std::uint32_t ahead) const {
    return ahead < text_.size() - position_ ? text_[position_ + ahead] : '\0';
  }
  std::uint32_t behind_name(std::uint32_t position) const;
  bool skip_space_and_comments(Token& failure);
  bool skip_block_comment(std::uint32_t& position) const;

  Token finish(TokenKind kind, std::uint32_t begin, std::uint32_t end);
  Token fail(TokenError error, std::uint32_t begin);
  Token quoted(std::uint32_t begin, std::uint32_t quote_at, char quote, TokenKind kind);
  Token escape_string(std::uint32_t begin);
  bool continues_string(std::uint32_t after, std::uint32_t& quote_at) const;
  Token bracketed(std::uint32_t begin);
  Token dollar(std::uint32_t begin);
  Token dollar_string(std::uint32_t begin, std::uint32_t tag_end);
  Token colon(std::uint32_t begin);
  Token number(std::uint32_t begin);
  Token word(std::uint32_t begin);
  Token word_or_string(std::uint32_t begin);
  Token operation(std::uint32_t begin);
  Token sqlite_operation(std::uint32_t begin);

  std::string_view text_;
  Dialect dialect_;
  std::uint32_t position_ = 0;
};

// Is this a byte of an identifier? Both dialects: letters, digits, underscore, dollar, not ASCII.
bool is_name_byte(char character) noexcept;
// May it begin one? No digit and no dollar.
bool is_name_start(char character) noexcept;

}  // namespace based::sql
