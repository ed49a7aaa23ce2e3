// Words: clauses, tables, the functions that are answered here, and casts.
#include <algorithm>
#include <array>
#include <deque>

#include "daemon/postgres/sqlite_impossible.h"
#include "daemon/postgres/sqlite_parameters.h"
#include "daemon/postgres/sqlite_translator.h"
#include "daemon/postgres/sqlite_types.h"
#include "protocol/postgres/type_names.h"

namespace based {
namespace {

using sql::TokenKind;
namespace oid = postgres::type_oid;

// Words that go on with an expression, or begin one of several operands.
constexpr std::array<std::string_view, 23> operator_words{
    "and",    "or",      "not",     "is",     "in",     "like",    "glob", "match",
    "regexp", "between", "collate", "escape", "isnull", "notnull", "case", "when",
    "over",   "filter",  "exists",  "then",   "else",   "end",     "ilike"};
// Words after which another clause or operand begins.
constexpr std::array<std::string_view, 30> clause_words{
    "where",  "group", "having", "order",     "by",     "limit",   "offset",   "window",
    "values", "set",   "on",     "using",     "with",   "insert",  "replace",  "delete",
    "left",   "right", "inner",  "outer",     "cross",  "natural", "distinct", "all",
    "asc",    "desc",  "do",     "recursive", "select", "nothing"};
constexpr std::array<std::string_view, 4> table_words{"from", "join", "into", "update"};
constexpr std::array<std::string_view, 3> compound_words{"union", "intersect", "except"};

template <typename Words>
bool is_any(const ClientToken& token, const Words& words) {
  return std::ranges::any_of(words, [&token](std::string_view word) { return token.is(word); });
}

std::string blob_literal(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string result = "X'";
  for (const char c : bytes) {
    result += digits[static_cast<unsigned char>(c) >> 4];
    result += digits[static_cast<unsigned char>(c) & 15];
  }
  return result += '\'';
}

}  // namespace

void SqliteTranslator::take_word() {
  if (before().kind == TokenKind::dot) return take_operand(0);
  const std::string word = lower_case(at().text);
  if (take_function(word)) return;
  const bool top = parens_.empty();
  if (word == "as") return take_as();
  if (is_any(at(), operator_words)) {
    if (at_item_level()) item_complex_ = true;
    left_ = primary_;
    if (word == "between") between_ = primary_.column;
    primary_ = Primary{};
    return copy();
  }
  if (top && is_any(at(), compound_words)) {
    end_item();
    items_known_ = false;
  }
  const bool table = is_any(at(), table_words);
  const bool returning = word == "returning";
  if (!table && !returning && !is_any(at(), clause_words) && !is_any(at(), compound_words)) {
    const bool truth = word == "true" || word == "false";
    return take_operand(truth ? oid::boolean : word == "current_timestamp" ? oid::timestamptz : 0);
  }
  const bool opens = word == "select" && notes_.item_types.empty() && items_known_;
  if (top && word != "distinct" && word != "all") end_item();
  if (top && (opens || returning)) {
    notes_.item_types.clear();
    notes_.returning = returning;
    items_open_ = true;
  }
  if (top && word == "values") values_ = true;
  if (top && (word == "on" || returning)) values_ = false;
  primary_ = left_ = Primary{};
  copy();
  if (table) take_table();
}

// In CAST(x AS type), and before an item's name.
void SqliteTranslator::take_as() {
  copy();
  if (!parens_.empty() && parens_.back().function == "cast") {
    while (at().kind == TokenKind::word) {
      parens_.back().cast += (parens_.back().cast.empty() ? "" : " ") + lower_case(at().text);
      copy();
    }
  } else if (at().is_name() || at().kind == TokenKind::string) {
    copy();
  }
}

void SqliteTranslator::take_table() {
  const bool into = before().is("into");
  if (!at().is_name()) return;
  std::string schema;
  std::string name = value_of(at());
  copy();
  if (at().kind == TokenKind::dot && at(1).is_name()) {
    schema = name;
    copy();
    name = value_of(at());
    copy();
  }
  const bool own = schema.empty() && name.starts_with("pg_");
  if (own || schema == "pg_catalog" || schema == "information_schema") notes_.catalogue = true;
  notes_.tables.push_back(std::move(name));
  if (into) take_insert_columns();
}

void SqliteTranslator::take_insert_columns() {
  if (at().is("as") && at(1).is_name()) {
    copy();
    copy();
  }
  if (at().kind != TokenKind::open_paren || at(1).is("select") || at(1).is("with")) return;
  while (at().kind != TokenKind::close_paren && at().kind != TokenKind::end) {
    if (at().is_name()) insert_columns_.push_back(value_of(at()));
    copy();
  }
  if (at().kind == TokenKind::close_paren) copy();
}

// --- functions about the session

void SqliteTranslator::put_literal(std::size_t end, std::string_view name,
                                   const std::string& literal, std::uint32_t type) {
  const bool first =
      before().is("select") || before().is("distinct") || before().kind == TokenKind::comma;
  result_.text.append(text_.substr(copied_, at().begin - copied_));
  Primary made;
  made.begin = result_.text.size();
  made.oid = type;
  result_.text += literal;
  next_ = end;
  copied_ = before().end();
  const bool last = at().kind == TokenKind::end || at().kind == TokenKind::comma ||
                    at().kind == TokenKind::semicolon || at().is("from");
  if (at_item_level() && first && last) result_.text.append(" AS \"").append(name).append("\"");
  set_primary(std::move(made));
}

bool SqliteTranslator::take_function(const std::string& word) {
  std::size_t begin = next_;
  std::string name = word;
  if (word == "pg_catalog" && at(1).kind == TokenKind::dot) {
    if (!at(2).is_name() || at(3).kind != TokenKind::open_paren) return false;
    begin += 2;
    name = value_of(at(2));
    notes_.catalogue = true;  // what it has no answer to
  }
  const std::size_t ahead = begin - next_;
  const bool call = at(ahead + 1).kind == TokenKind::open_paren;
  notes_.catalogue = notes_.catalogue || (call && asks_catalogue(name));
  const bool empty_call = call && at(ahead + 2).kind == TokenKind::close_paren;
  const std::size_t end = begin + (empty_call ? 3 : 1);
  const auto text = [&](const std::string& value) {
    put_literal(end, name, sqlite_literal(value), oid::text);
    return true;
  };
  if (name == "current_user" || name == "session_user") {
    return !call && !primary_.there && text(facts_.user);
  }
  if (name == "current_catalog" && !call) return !primary_.there && text(facts_.database);
  if (name == "current_schema" && (empty_call || (!call && !primary_.there))) return text("main");
  if (call && (name == "current_setting" || name == "set_config")) {
    return take_setting_function(name, begin);
  }
  if (!empty_call) return false;
  if (name == "version") return text(facts_.version);
  if (name == "current_database") return text(facts_.database);
  if (name == "pg_advisory_unlock_all") return text("");
  if (name == "pg_backend_pid") {
    put_literal(end, name, std::to_string(facts_.process_id), oid::int4);
    return true;
  }
  if (name == "pg_is_in_recovery") {
    put_literal(end, name, "0", oid::boolean);
    return true;
  }
  return false;
}

// With literal arguments; else SQLite says that it has no such function.
bool SqliteTranslator::take_setting_function(const std::string& word, std::size_t begin) {
  std::vector<std::string> arguments;
  std::size_t i = begin + 2;
  for (; i < tokens_.size() && tokens_[i].kind != TokenKind::close_paren; ++i) {
    const ClientToken& token = tokens_[i];
    if (token.kind == TokenKind::comma) continue;
    if (token.kind != TokenKind::string && token.kind != TokenKind::word) return false;
    arguments.push_back(value_of(token));
  }
  const bool sets = word == "set_config";
  if (i == tokens_.size() || arguments.empty() || arguments.size() > 3) return false;
  if (sets != (arguments.size() == 3)) return false;
  if (sets) {
    notes_.set_configs.push_back(
        {lower_case(arguments[0]), arguments[1], arguments[2].starts_with('t')});
    put_literal(i + 1, word, sqlite_literal(arguments[1]), oid::text);
    return true;
  }
  notes_.reads_settings = true;
  const auto value = facts_.setting(lower_case(arguments[0]));
  const bool missing_ok = arguments.size() == 2 && arguments[1].starts_with('t');
  if (!value && !missing_ok) {
    error_ = Error::make(Sqlstate("42704"),
                         "unrecognized configuration parameter \"" + arguments[0] + "\"");
  }
  put_literal(i + 1, word, value ? sqlite_literal(*value) : "NULL", oid::text);
  return true;
}

// --- x::type

void SqliteTranslator::take_cast() {
  if (!primary_.there) return copy();
  const std::size_t last = copied_;
  std::size_t i = next_ + 1;
  if (i + 1 < tokens_.size() && tokens_[i].is("pg_catalog")) i += 2;
  std::string type;
  const auto word_at = [&](std::size_t place, std::string_view word) {
    return place < tokens_.size() && tokens_[place].is(word);
  };
  if (i < tokens_.size() && tokens_[i].is_name()) type = value_of(tokens_[i++]);
  if ((type == "double" && word_at(i, "precision")) ||
      (type == "character" && word_at(i, "varying"))) {
    type += " " + value_of(tokens_[i++]);
  }
  if (i < tokens_.size() && tokens_[i].kind == TokenKind::open_paren) {
    while (i < tokens_.size() && tokens_[i].kind != TokenKind::close_paren) ++i;
    ++i;
  }
  const bool zone = word_at(i, "with") || word_at(i, "without");
  if (zone && word_at(i + 1, "time") && word_at(i + 2, "zone")) {
    type += (tokens_[i].is("with") ? " with" : " without") + std::string(" time zone");
    i += 3;
  }
  const bool array = i < tokens_.size() && (tokens_[i].kind == TokenKind::open_bracket ||
                                            tokens_[i].text.starts_with('['));
  const std::uint32_t target = array ? 0 : oid_of_cast(type);
  if (type.starts_with("reg")) {
    error_ = catalogue_error();
    return;
  }
  if (target == 0 || i > tokens_.size()) {
    error_ = Error::make(sqlstate::feature_not_supported,
                         "SQLite has no type " + type + (array ? "[]" : "") + " to cast to")
                 .with_hint("Use CAST(... AS ...) with a type of SQLite's.");
    error_->position = static_cast<std::uint32_t>(at().begin);
    return;
  }
  const auto made = cast(result_.text.substr(primary_.begin), target);
  if (!made) return;
  result_.text.resize(primary_.begin);
  result_.text += *made;
  next_ = i;
  copied_ = std::max(last, before().end());
  primary_.oid = target;
  primary_.column.clear();
  primary_.literal.reset();
  if (at_item_level() && item_.there && item_.begin == primary_.begin) item_ = primary_;
}

std::optional<std::string> SqliteTranslator::cast(const std::string& operand, std::uint32_t type) {
  if (primary_.parameter != 0) hint({primary_.parameter, type, {}, 0});
  if (primary_.literal && type != oid::text) {
    // As PostgreSQL: what the literal says is checked here.
    std::deque<std::string> storage;
    auto value = read_parameter(1, type, 0, *primary_.literal, storage);
    if (!value) {
      error_ = std::move(value).error();
      error_->detail.clear();
      return std::nullopt;
    }
    if (type == oid::boolean) return value->boolean ? "1" : "0";
    if (type == oid::bytea) return blob_literal(value->data);
  }
  const bool plain = primary_.parameter != 0 || primary_.literal;
  const auto as = [&operand](const char* name) { return "CAST(" + operand + " AS " + name + ")"; };
  switch (type) {
    case oid::int2:
    case oid::int4:
    case oid::int8:
    case oid::oid:
      return as("INTEGER");
    case oid::float4:
    case oid::float8:
      return as("REAL");
    case oid::numeric:
      return as("NUMERIC");
    case oid::text:
      return as("TEXT");
    case oid::bytea:
      return plain ? operand : as("BLOB");
    case oid::boolean:
      if (plain) return operand;
      return "(CASE typeof(" + operand + ") WHEN 'text' THEN lower(" + operand +
             ") IN ('t','true','y','yes','on','1') ELSE (" + operand + ") <> 0 END)";
    case oid::date:
      return plain ? operand : "date(" + operand + ")";
    case oid::time:
      return plain ? operand : "time(" + operand + ")";
    default:
      return operand;
  }
}

}  // namespace based
