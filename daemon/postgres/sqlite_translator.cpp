#include "daemon/postgres/sqlite_translator.h"

#include <array>
#include <charconv>

#include "daemon/postgres/sqlite_commands.h"
#include "daemon/postgres/sqlite_impossible.h"
#include "daemon/postgres/sqlite_types.h"
#include "protocol/postgres/type_names.h"

namespace based {
namespace {

using sql::TokenKind;
namespace oid = postgres::type_oid;

struct FunctionRow {
  std::string_view name;
  std::uint32_t oid;
};
constexpr std::array functions{
    FunctionRow{"avg", oid::float8},
    FunctionRow{"changes", oid::int8},
    FunctionRow{"char", oid::text},
    FunctionRow{"count", oid::int8},
    FunctionRow{"date", oid::text},
    FunctionRow{"datetime", oid::text},
    FunctionRow{"dense_rank", oid::int8},
    FunctionRow{"group_concat", oid::text},
    FunctionRow{"hex", oid::text},
    FunctionRow{"instr", oid::int8},
    FunctionRow{"julianday", oid::float8},
    FunctionRow{"last_insert_rowid", oid::int8},
    FunctionRow{"length", oid::int8},
    FunctionRow{"lower", oid::text},
    FunctionRow{"ntile", oid::int8},
    FunctionRow{"printf", oid::text},
    FunctionRow{"quote", oid::text},
    FunctionRow{"random", oid::int8},
    FunctionRow{"randomblob", oid::bytea},
    FunctionRow{"rank", oid::int8},
    FunctionRow{"replace", oid::text},
    FunctionRow{"row_number", oid::int8},
    FunctionRow{"sqlite_version", oid::text},
    FunctionRow{"strftime", oid::text},
    FunctionRow{"substr", oid::text},
    FunctionRow{"substring", oid::text},
    FunctionRow{"time", oid::text},
    FunctionRow{"total", oid::float8},
    FunctionRow{"total_changes", oid::int8},
    FunctionRow{"trim", oid::text},
    FunctionRow{"typeof", oid::text},
    FunctionRow{"unixepoch", oid::int8},
    FunctionRow{"upper", oid::text},
    FunctionRow{"zeroblob", oid::bytea},
};

std::uint32_t type_of_function(std::string_view name) {
  for (const FunctionRow& row : functions) {
    if (row.name == name) return row.oid;
  }
  return 0;
}

}  // namespace

const ClientToken& SqliteTranslator::at(std::size_t ahead) const {
  return next_ + ahead < tokens_.size() ? tokens_[next_ + ahead] : none_;
}

const ClientToken& SqliteTranslator::before(std::size_t back) const {
  return next_ >= back ? tokens_[next_ - back] : none_;
}

// The next token, and what is before it.
void SqliteTranslator::copy() {
  const std::size_t end = at().end();
  result_.text.append(text_.substr(copied_, end - copied_));
  copied_ = end;
  ++next_;
}

Result<TranslatedText> SqliteTranslator::run() {
  result_.text.reserve(text_.size() + 16);
  while (next_ < tokens_.size() && !error_) {
    if (!begun_ && at().kind != TokenKind::semicolon) begin_statement();
    if (raw_ && at().kind != TokenKind::semicolon) {
      copy();
    } else {
      take_token();
    }
  }
  if (error_) return std::move(*error_);
  end_statement();
  result_.text.append(text_.substr(copied_));
  result_.changed = result_.text != text_;
  return std::move(result_);
}

void SqliteTranslator::begin_statement() {
  begun_ = true;
  error_ = impossible_error(std::span(tokens_).subspan(next_));
  raw_ = is_session_command(at().text);
  result_.text.append(text_.substr(copied_, at().begin - copied_));
  copied_ = at().begin;
  notes_.begin = result_.text.size();
  notes_.written_begin = at().begin;
}

void SqliteTranslator::end_statement() {
  if (!begun_) return;
  end_item();
  if (!items_known_) notes_.item_types.clear();
  notes_.written_end = before().end();
  result_.statements.push_back(std::move(notes_));
  notes_ = StatementNotes{};
  parens_.clear();
  primary_ = left_ = item_ = Primary{};
  begun_ = raw_ = items_open_ = values_ = false;
  items_known_ = true;
  insert_columns_.clear();
  between_.clear();
}

void SqliteTranslator::take_token() {
  switch (at().kind) {
    case TokenKind::word:
      return take_word();
    case TokenKind::quoted:
      return take_operand(0);
    case TokenKind::string:
      return take_operand(at().text[0] == 'x' || at().text[0] == 'X' ? oid::bytea : oid::text);
    case TokenKind::number: {
      const bool whole = at().text.find_first_of(".eE") == std::string_view::npos;
      return take_operand(whole ? oid::int8 : oid::float8);
    }
    case TokenKind::dollar:
      return take_parameter();
    case TokenKind::open_paren:
      return open_paren();
    case TokenKind::close_paren:
      return close_paren();
    case TokenKind::comma:
      return take_comma();
    case TokenKind::semicolon:
      if (parens_.empty()) end_statement();
      return copy();
    case TokenKind::dot:
      return copy();
    case TokenKind::operation:
      if (at().text == "::") return take_cast();
      break;
    default:
      break;
  }
  // An operator. `*` as an item is all columns.
  if (at_item_level()) {
    const bool all = !primary_.there || before().kind == TokenKind::dot;
    if (at().text == "*" && all) items_known_ = false;
    item_complex_ = true;
  }
  if (primary_.there) left_ = primary_;
  primary_ = Primary{};
  copy();
}

void SqliteTranslator::set_primary(Primary primary) {
  primary_ = std::move(primary);
  primary_.there = true;
  if (at_item_level() && !item_.there) item_ = primary_;
}

void SqliteTranslator::take_operand(std::uint32_t type) {
  // Two strings or a name behind an operand: an alias, which changes nothing.
  const bool alias = primary_.there && before().kind != TokenKind::dot;
  const bool chained = before().kind == TokenKind::dot && primary_.there;
  Primary made;
  made.oid = type;
  if (type == oid::text) made.literal = value_of(at());
  if (at().is_name()) made.column = value_of(at());
  const bool escaped = at().escaped;
  const std::size_t gap = at().begin - copied_;
  made.begin = chained ? primary_.begin : result_.text.size() + gap;
  if (escaped) {
    result_.text.append(text_.substr(copied_, gap)).append(sqlite_literal(*made.literal));
    copied_ = at().end();
    ++next_;
  } else {
    copy();
  }
  if (alias) return;
  if (chained && at_item_level()) item_ = Primary{};
  set_primary(std::move(made));
}

void SqliteTranslator::take_comma() {
  if (at_item_level()) {
    end_item();
    items_open_ = true;
  }
  if (!parens_.empty() && parens_.back().values) ++parens_.back().position;
  primary_ = left_ = Primary{};
  copy();
}

void SqliteTranslator::end_item() {
  if (!items_open_) return;
  items_open_ = false;
  notes_.item_types.push_back(item_complex_ ? 0 : item_.oid);
  item_complex_ = false;
  item_ = Primary{};
}

void SqliteTranslator::open_paren() {
  Paren paren;
  const bool call = before().kind == TokenKind::word && primary_.there;
  paren.begin = result_.text.size() + (at().begin - copied_);
  if (call) {
    paren.begin = primary_.begin;
    paren.function = primary_.column;
    if (at_item_level()) item_ = Primary{};
  }
  if (before().is("in")) paren.column = left_.column;
  paren.values =
      values_ && (before().is("values") || before().kind == TokenKind::comma) && parens_.empty();
  parens_.push_back(std::move(paren));
  primary_ = left_ = Primary{};
  copy();
}

void SqliteTranslator::close_paren() {
  copy();
  if (parens_.empty()) return;
  const Paren paren = std::move(parens_.back());
  parens_.pop_back();
  Primary made;
  made.begin = paren.begin;
  made.oid = paren.function == "cast" ? oid_of_cast(paren.cast) : type_of_function(paren.function);
  set_primary(std::move(made));
}

void SqliteTranslator::take_parameter() {
  std::uint32_t number = 0;
  const std::string_view digits = at().text.substr(1);
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  note_parameter(number);
  Primary made;
  made.begin = result_.text.size() + (at().begin - copied_);
  made.parameter = number;
  copy();
  set_primary(std::move(made));
}

void SqliteTranslator::hint(ParameterHint hint) {
  for (const ParameterHint& known : notes_.hints) {
    if (known.number == hint.number) return;
  }
  notes_.hints.push_back(std::move(hint));
}

void SqliteTranslator::note_parameter(std::uint32_t number) {
  const auto named = [&](const std::string& column) {
    hint({.number = number, .oid = 0, .column = column});
  };
  if (at(1).kind == TokenKind::operation && at(1).text == "::") return;  // the cast says it
  if (before().is("limit") || before().is("offset")) return hint({number, oid::int8, {}, 0});
  if (before().is("like") || before().is("glob")) return hint({number, oid::text, {}, 0});
  const bool compared = before().kind == TokenKind::operation && left_.there;
  if (compared && left_.oid != 0) return hint({number, left_.oid, {}, 0});
  if (compared && !left_.column.empty()) return named(left_.column);
  if (before().is("between") && !between_.empty()) return named(between_);
  if (before().is("and") && before(3).is("between") && !between_.empty()) return named(between_);
  if (!parens_.empty()) {
    const Paren& paren = parens_.back();
    const bool alone = before().kind == TokenKind::open_paren || before().kind == TokenKind::comma;
    if (alone && !paren.column.empty()) return named(paren.column);
    if (alone && paren.values) {
      if (insert_columns_.empty()) return hint({number, 0, {}, paren.position + 1});
      if (paren.position < insert_columns_.size()) return named(insert_columns_[paren.position]);
    }
  }
  // $1 = name, $1 < 5
  std::size_t ahead = 1;
  while (at(ahead).kind == TokenKind::operation && at(ahead).text != "::") ++ahead;
  if (ahead == 1) return;
  if (at(ahead).kind == TokenKind::number) {
    const bool whole = at(ahead).text.find_first_of(".eE") == std::string_view::npos;
    return hint({number, whole ? oid::int8 : oid::float8, {}, 0});
  }
  if (!at(ahead).is_name()) return;
  if (at(ahead + 1).kind == TokenKind::dot) ahead += 2;
  if (at(ahead + 1).kind != TokenKind::open_paren) named(value_of(at(ahead)));
}

}  // namespace based
