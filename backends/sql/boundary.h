// Boundary: which semicolon ends a statement, and which belongs to a body.
//
// PostgreSQL: none inside parentheses (CREATE RULE), none inside BEGIN ATOMIC ... END of a function
// or procedure. SQLite: in CREATE TRIGGER only the one after the END that follows a semicolon, and
// parentheses do not matter. Pure, any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "backends/sql/tokenizer.h"

namespace based::sql {

class Boundary {
 public:
  Boundary(std::string_view text, Dialect dialect) : text_(text), dialect_(dialect) {}

  // Is this token the end of the statement whose earlier tokens were observed? A true answer starts
  // the next statement.
  bool observe(const Token& token);

  // Does the statement define a function or procedure, whose body has parameters of its own?
  bool in_routine() const { return head_ == Head::routine; }

 private:
  // How far the first words have led.
  enum class Head : std::uint8_t { start, explain, create, routine, trigger, plain };

  void observe_head(std::string_view word);
  void observe_routine_word(std::string_view word);
  void restart();

  std::string_view text_;
  Dialect dialect_;
  Head head_ = Head::start;
  std::uint32_t parens_ = 0;
  std::uint32_t body_depth_ = 0;  // BEGIN ATOMIC and the CASEs in it
  bool after_begin_ = false;      // the last word was BEGIN
  bool name_follows_ = false;     // after a dot or AS, a keyword is a name
  // SQLite's triggers: what the last two tokens were.
  bool after_semicolon_ = false;
  bool after_body_end_ = false;
};

}  // namespace based::sql
