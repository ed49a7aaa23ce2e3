// Placeholders: finds a statement's parameters and writes them in the backend's own style.
//
// The rules, the same for both backends:
//   - `$1`, `?` and `:name` are placeholders; one statement uses one of the three styles, else
//     42601. SQLite's `?1` is `$1`. SQLite's `@name` and `$name` are refused with 42601.
//   - On PostgreSQL a `?` is a placeholder only where the parameters are given by position and the
//     statement has neither `$n` nor `:name`; there `??` is the operator `?`. Else it is text.
//   - `:name` stands where a value may begin: never in `::type`, `:=`, a slice `a[1:2]`, a string
//   or
//     a comment. After the opening of a slice (`a[:n]`) only where parameters are given by name.
//   - Parameters given by name for `$n` or `?`, or by position for `:name`: 42P02.
//   - What is inside CREATE FUNCTION, CREATE PROCEDURE and PREPARE belongs to them.
// Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "backends/sql/tokenizer.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based::sql {

// A Bind message counts parameters in 16 bits; SQLite's own default limit is lower.
inline constexpr std::uint32_t postgres_parameters_max = 65535;
inline constexpr std::uint32_t sqlite_parameters_max = 32766;
// A placeholder may be written more often than there are parameters.
inline constexpr std::uint32_t placeholders_max = 1u << 18;

class PlaceholderCollector {
 public:
  PlaceholderCollector(std::string_view text, Dialect dialect, ParameterStyle style)
      : text_(text), dialect_(dialect), style_(style) {}

  void observe(const Token& token);
  // Makes statement.text of text[begin, end), with parameters, names and edits. The error's
  // position counts from the start of the client's text.
  std::optional<Error> translate(Statement& statement, std::uint32_t begin, std::uint32_t end);
  // As translate, where no parameter is Based's to see.
  void copy(Statement& statement, std::uint32_t begin, std::uint32_t end) const;
  void restart();

 private:
  enum class Style : std::uint8_t { none, dollar, question, named };

  // One placeholder as the client wrote it.
  struct Place {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    std::uint32_t number = 0;  // the parameter, from 1; 0: an escaped question mark
  };

  void observe_dollar(const Token& token);
  void observe_question_marks(const Token& token);
  bool is_operand_start(const Token& token) const;
  void note_style(Style style, const Token& token);
  void note_place(const Token& token, std::uint32_t number);
  void choose_question_marks();
  void check_given_style();
  void rewrite(Statement& statement, std::uint32_t begin, std::uint32_t end) const;
  void fail(Sqlstate code, std::string message, std::uint32_t position);
  std::uint32_t number_of_name(std::string_view name);
  std::uint32_t parameters_max() const;

  std::string_view text_;
  Dialect dialect_;
  ParameterStyle style_;

  Style found_ = Style::none;
  std::vector<Place> places_;     // $n and :name; SQLite's ? too
  std::vector<Place> questions_;  // PostgreSQL's ?, which may be operators
  std::uint32_t question_parameters_ = 0;
  bool questions_overflow_ = false;
  std::unordered_map<std::string_view, std::uint32_t> names_;
  std::uint32_t highest_ = 0;
  std::uint32_t brackets_ = 0;
  Token previous_;
  std::optional<Error> error_;
};

}  // namespace based::sql
