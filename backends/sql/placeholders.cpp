#include "backends/sql/placeholders.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace based::sql {
namespace {

// Saturates: a number too long to hold is certainly over the limit.
std::uint32_t to_number(std::string_view digits) {
  std::uint32_t number = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return code == std::errc::result_out_of_range ? UINT32_MAX : number;
}

std::string_view spelling(std::uint8_t style) {
  static constexpr std::string_view spellings[] = {"", "$1", "?", ":name"};
  return spellings[style];
}

}  // namespace

void PlaceholderCollector::restart() {
  found_ = Style::none;
  places_.clear();
  questions_.clear();
  question_parameters_ = 0;
  questions_overflow_ = false;
  names_.clear();
  highest_ = 0;
  brackets_ = 0;
  previous_ = Token();
  error_.reset();
}

std::uint32_t PlaceholderCollector::parameters_max() const {
  return dialect_ == Dialect::postgres ? postgres_parameters_max : sqlite_parameters_max;
}

void PlaceholderCollector::fail(Sqlstate code, std::string message, std::uint32_t position) {
  if (error_) return;
  error_ = Error::make(code, std::move(message));
  error_->position = position;
}

void PlaceholderCollector::note_style(Style style, const Token& token) {
  if (found_ == Style::none) found_ = style;
  if (found_ == style) return;
  std::string message = "parameters are written in two ways in one statement: ";
  message += spelling(static_cast<std::uint8_t>(found_));
  message += " and ";
  message += spelling(static_cast<std::uint8_t>(style));
  fail(sqlstate::syntax_error, std::move(message), token.begin);
}

void PlaceholderCollector::note_place(const Token& token, std::uint32_t number) {
  if (number > parameters_max() || places_.size() >= placeholders_max) {
    return fail(sqlstate::program_limit_exceeded,
                "a statement may have at most " + std::to_string(parameters_max()) + " parameters",
                token.begin);
  }
  highest_ = std::max(highest_, number);
  places_.push_back({.begin = token.begin, .end = token.end, .number = number});
}

void PlaceholderCollector::observe(const Token& token) {
  if (error_) return;
  switch (token.kind) {
    case TokenKind::dollar:
      observe_dollar(token);
      break;
    case TokenKind::question:
      if (token.end - token.begin > 1) {
        observe_dollar(token);
      } else {
        note_style(Style::question, token);
        note_place(token, highest_ + 1);
      }
      break;
    case TokenKind::named:
      if (is_operand_start(token)) {
        note_style(Style::named, token);
        note_place(token, number_of_name(token.of(text_).substr(1)));
      }
      break;
    case TokenKind::foreign:
      fail(sqlstate::syntax_error,
           "parameters are written $1, ? or :name, not " + std::string(token.of(text_)),
           token.begin);
      break;
    case TokenKind::operation:
      if (dialect_ == Dialect::postgres) observe_question_marks(token);
      break;
    case TokenKind::open_bracket:
      ++brackets_;
      break;
    case TokenKind::close_bracket:
      if (brackets_ > 0) --brackets_;
      break;
    default:
      break;
  }
  previous_ = token;
}

void PlaceholderCollector::observe_dollar(const Token& token) {
  note_style(Style::dollar, token);
  const std::uint32_t number = to_number(token.of(text_).substr(1));
  if (number == 0) {
    return fail(sqlstate::undefined_parameter, "there is no parameter $0", token.begin);
  }
  if (dialect_ == Dialect::postgres && number <= postgres_parameters_max) {
    highest_ = std::max(highest_, number);  // the text stays as it is
  } else {
    note_place(token, number);
  }
}

// Two in a row are one escaped operator character.
void PlaceholderCollector::observe_question_marks(const Token& token) {
  if (style_ != ParameterStyle::positional || found_ == Style::dollar || found_ == Style::named) {
    return;
  }
  for (std::uint32_t at = token.begin; at < token.end; ++at) {
    if (text_[at] != '?') continue;
    if (questions_.size() >= placeholders_max) {
      questions_overflow_ = true;
      return;
    }
    const bool escaped = at + 1 < token.end && text_[at + 1] == '?';
    if (!escaped) ++question_parameters_;
    questions_.push_back({.begin = at,
                          .end = at + (escaped ? 2u : 1u),
                          .number = escaped ? 0 : question_parameters_});
    if (escaped) ++at;
  }
}

// In a slice, `:n` is the upper bound. A value never follows another without something between.
bool PlaceholderCollector::is_operand_start(const Token& token) const {
  if (dialect_ == Dialect::sqlite) return true;
  bool follows_operand = false;
  switch (previous_.kind) {
    case TokenKind::word:
    case TokenKind::quoted:
    case TokenKind::string:
    case TokenKind::number:
    case TokenKind::dollar:
    case TokenKind::named:
    case TokenKind::close_paren:
    case TokenKind::close_bracket:
      follows_operand = true;
      break;
    default:
      break;
  }
  if (follows_operand && (previous_.end == token.begin || brackets_ > 0)) return false;
  const bool opens_slice = previous_.kind == TokenKind::open_bracket;
  return !opens_slice || style_ == ParameterStyle::named;
}

std::uint32_t PlaceholderCollector::number_of_name(std::string_view name) {
  const auto next = static_cast<std::uint32_t>(names_.size()) + 1;
  return names_.try_emplace(name, next).first->second;
}

void PlaceholderCollector::choose_question_marks() {
  if (found_ != Style::none || questions_.empty()) return;
  if (question_parameters_ > postgres_parameters_max || questions_overflow_) {
    return fail(sqlstate::program_limit_exceeded, "a statement may have at most 65535 parameters",
                questions_.back().begin);
  }
  found_ = Style::question;
  highest_ = question_parameters_;
  places_.swap(questions_);
}

void PlaceholderCollector::check_given_style() {
  if (places_.empty() && highest_ == 0) return;
  const bool named = found_ == Style::named;
  const std::uint32_t position = places_.empty() ? 0 : places_.front().begin;
  if (style_ == ParameterStyle::named && !named) {
    fail(sqlstate::undefined_parameter,
         "parameters are given by name, but the statement has " +
             std::string(spelling(static_cast<std::uint8_t>(found_))),
         position);
  } else if (style_ == ParameterStyle::positional && named) {
    fail(sqlstate::undefined_parameter,
         "parameters are given by position, but the statement has :name", position);
  }
}

std::optional<Error> PlaceholderCollector::translate(Statement& statement, std::uint32_t begin,
                                                     std::uint32_t end) {
  choose_question_marks();
  check_given_style();
  if (error_) return std::move(error_);
  statement.parameter_count = highest_;
  statement.parameter_names.resize(names_.size());
  for (const auto& [name, number] : names_) statement.parameter_names[number - 1] = name;
  rewrite(statement, begin, end);
  const std::string_view written = text_.substr(begin, end - begin);
  if (statement.text != written) statement.written = written;
  return std::nullopt;
}

void PlaceholderCollector::copy(Statement& statement, std::uint32_t begin,
                                std::uint32_t end) const {
  statement.text.assign(text_.substr(begin, end - begin));
}

void PlaceholderCollector::rewrite(Statement& statement, std::uint32_t begin,
                                   std::uint32_t end) const {
  std::string& text = statement.text;
  text.reserve(end - begin + 2 * places_.size());
  std::uint32_t copied = begin;
  for (const Place& place : places_) {
    text.append(text_.substr(copied, place.begin - copied));
    const auto translated_begin = static_cast<std::uint32_t>(text.size());
    if (place.number == 0) {
      text.push_back('?');
    } else {
      // `LIMIT?` must not become the name `LIMIT$1`, nor `?5` the parameter `$15`.
      const bool postgres = dialect_ == Dialect::postgres;
      const bool glued_before = place.begin > begin && is_name_byte(text_[place.begin - 1]);
      const bool glued_behind = place.end < end && is_name_byte(text_[place.end]);
      if (postgres && glued_before) text.push_back(' ');
      text.push_back(postgres ? '$' : '?');
      text.append(std::to_string(place.number));
      if (postgres && glued_behind) text.push_back(' ');
    }
    const auto translated_end = static_cast<std::uint32_t>(text.size());
    if (translated_end - translated_begin != place.end - place.begin) {
      statement.edits.push_back({.translated_begin = translated_begin,
                                 .translated_end = translated_end,
                                 .original_begin = place.begin - begin,
                                 .original_end = place.end - begin});
    }
    copied = place.end;
  }
  text.append(text_.substr(copied, end - copied));
}

}  // namespace based::sql
