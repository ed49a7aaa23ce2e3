#include "backends/sql/boundary.h"

#include <array>

#include "backends/sql/words.h"

namespace based::sql {

void Boundary::restart() { *this = Boundary(text_, dialect_); }

bool Boundary::observe(const Token& token) {
  if (token.kind == TokenKind::end) return restart(), true;
  if (token.kind == TokenKind::semicolon) {
    const bool postgres = dialect_ == Dialect::postgres;
    const bool inside =
        postgres ? parens_ > 0 || body_depth_ > 0 : head_ == Head::trigger && !after_body_end_;
    if (!inside) return restart(), true;
    after_semicolon_ = true;
    after_begin_ = false;
    name_follows_ = false;
    return false;
  }
  const std::string_view source = token.of(text_);
  const bool word = token.kind == TokenKind::word;
  if (token.kind == TokenKind::open_paren) ++parens_;
  if (token.kind == TokenKind::close_paren && parens_ > 0) --parens_;
  if (word && head_ == Head::routine && parens_ == 0 && !name_follows_) {
    observe_routine_word(source);
  }
  if (word) {
    observe_head(source);
  } else if (head_ == Head::start || head_ == Head::explain) {
    head_ = Head::plain;
  }
  after_body_end_ = word && after_semicolon_ && is_word(source, "END");
  after_semicolon_ = false;
  after_begin_ = word && is_word(source, "BEGIN") && !name_follows_;
  name_follows_ = token.kind == TokenKind::dot || (word && is_word(source, "AS"));
  return false;
}

void Boundary::observe_head(std::string_view word) {
  static constexpr std::array<std::string_view, 6> create_words{"OR",        "REPLACE",    "TEMP",
                                                                "TEMPORARY", "CONSTRAINT", "IF"};
  switch (head_) {
    case Head::start:
      head_ = is_word(word, "CREATE")    ? Head::create
              : is_word(word, "EXPLAIN") ? Head::explain
                                         : Head::plain;
      return;
    case Head::explain:
      if (is_word(word, "QUERY") || is_word(word, "PLAN")) return;
      head_ = is_word(word, "CREATE") ? Head::create : Head::plain;
      return;
    case Head::create:
      if (is_one_of(word, create_words)) return;
      if (dialect_ == Dialect::sqlite) {
        head_ = is_word(word, "TRIGGER") ? Head::trigger : Head::plain;
      } else {
        const bool routine = is_word(word, "FUNCTION") || is_word(word, "PROCEDURE");
        head_ = routine ? Head::routine : Head::plain;
      }
      return;
    case Head::routine:
    case Head::trigger:
    case Head::plain:
      return;
  }
}

void Boundary::observe_routine_word(std::string_view word) {
  if (body_depth_ == 0) {
    if (after_begin_ && is_word(word, "ATOMIC")) body_depth_ = 1;
    return;
  }
  if (is_word(word, "CASE")) ++body_depth_;
  if (is_word(word, "END")) --body_depth_;
}

}  // namespace based::sql
