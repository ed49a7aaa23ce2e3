#include "backends/sql/script.h"

#include <array>
#include <utility>
#include <vector>

#include "backends/sql/boundary.h"
#include "backends/sql/classify.h"
#include "backends/sql/placeholders.h"
#include "backends/sql/tokenizer.h"
#include "backends/sql/traits.h"
#include "backends/sql/words.h"

namespace based::sql {
namespace {

// Enough for every statement that is read token by token: control, settings, the head of EXPLAIN;
// but for a transaction's modes, of which there may be any number.
constexpr std::size_t head_tokens_max = 64;

std::string_view describe(TokenError error) {
  switch (error) {
    case TokenError::unterminated_string:
      return "unterminated quoted string";
    case TokenError::unterminated_quoted_identifier:
      return "unterminated quoted identifier";
    case TokenError::unterminated_dollar_string:
      return "unterminated dollar-quoted string";
    case TokenError::unterminated_comment:
      return "unterminated /* comment";
    case TokenError::unexpected_character:
    case TokenError::none:
      break;
  }
  return "unexpected character";
}

Error error_at(Sqlstate code, std::string_view message, std::uint32_t position) {
  Error error = Error::make(code, std::string(message));
  error.position = position;
  return error;
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

class ScriptParser {
 public:
  ScriptParser(std::string_view text, Dialect dialect, ParameterStyle style)
      : text_(text),
        dialect_(dialect),
        tokenizer_(text, dialect),
        boundary_(text, dialect),
        traits_(text, dialect),
        verbatim_(style == ParameterStyle::verbatim),
        placeholders_(text, dialect, style) {}

  Result<ScriptRef> run() {
    auto script = std::make_shared<Script>();
    while (true) {
      const Token token = tokenizer_.next();
      if (token.kind == TokenKind::invalid) {
        return error_at(sqlstate::syntax_error, describe(token.error), token.begin);
      }
      const bool routine = boundary_.in_routine();
      if (boundary_.observe(token)) {
        if (tokens_count_ > 0) {
          if (auto error = finish_statement(*script, token.begin, routine)) return *error;
        }
        if (token.kind == TokenKind::end) return ScriptRef(std::move(script));
        start_statement(token.end);
      } else {
        observe(token);
      }
    }
  }

 private:
  void observe(const Token& token) {
    if (head_.size() < head_tokens_max || continues_modes()) head_.push_back(token);
    ++tokens_count_;
    last_end_ = token.end;
    traits_.observe(token);
    if (!verbatim_) placeholders_.observe(token);
  }

  // Whatever comes behind a mode, or the comma behind it, is looked at, too.
  bool continues_modes() const {
    static constexpr std::array<std::string_view, 3> verbs{"BEGIN", "START", "SET"};
    static constexpr std::array<std::string_view, 11> modes{
        "ISOLATION", "LEVEL", "SERIALIZABLE", "REPEATABLE", "READ", "COMMITTED",
        "ONLY",      "WRITE", "UNCOMMITTED",  "DEFERRABLE", "NOT"};
    if (tokens_count_ != head_.size() || !is_one_of(head_.front().of(text_), verbs)) return false;
    const Token& last = head_.back();
    if (last.kind == TokenKind::comma) return head_[head_.size() - 2].kind != TokenKind::comma;
    return last.kind == TokenKind::word && is_one_of(last.of(text_), modes);
  }

  void start_statement(std::uint32_t begin) {
    begin_ = begin;
    tokens_count_ = 0;
    head_.clear();
    traits_.restart();
    placeholders_.restart();
  }

  std::optional<Error> finish_statement(Script& script, std::uint32_t end, bool routine) {
    while (is_space(text_[begin_])) ++begin_;
    while (is_space(text_[end - 1])) --end;
    if (script.statements.size() >= script_statements_max) {
      return error_at(sqlstate::program_limit_exceeded,
                      "a script may have at most 65536 statements", begin_);
    }
    auto statement = std::make_shared<Statement>();
    statement->offset = begin_;
    const Cursor cursor(head_, text_, dialect_, tokens_count_ == head_.size());
    if (auto error = classify(cursor, traits_.traits(), last_end_, *statement)) return error;
    const bool own_parameters = routine || statement->kind == StatementKind::prepare;
    if (verbatim_ || (own_parameters && dialect_ == Dialect::postgres)) {
      placeholders_.copy(*statement, begin_, end);
    } else if (auto error = placeholders_.translate(*statement, begin_, end)) {
      return error;
    }
    script.statements.push_back(std::move(statement));
    return std::nullopt;
  }

  std::string_view text_;
  Dialect dialect_;
  Tokenizer tokenizer_;
  Boundary boundary_;
  TraitCollector traits_;
  bool verbatim_;
  PlaceholderCollector placeholders_;

  // The statement that is being read.
  std::uint32_t begin_ = 0;
  std::uint32_t last_end_ = 0;
  std::size_t tokens_count_ = 0;
  std::vector<Token> head_;
};

}  // namespace

Result<ScriptRef> parse_script(std::string_view text, Dialect dialect, ParameterStyle style) {
  if (text.size() > script_bytes_max) {
    return Error::make(sqlstate::program_limit_exceeded, "a text may have at most 1 GiB");
  }
  if (const std::size_t at = text.find('\0'); at != std::string_view::npos) {
    return error_at(sqlstate::character_not_in_repertoire, "a zero byte in SQL text",
                    static_cast<std::uint32_t>(at));
  }
  return ScriptParser(text, dialect, style).run();
}

}  // namespace based::sql
