#include "backends/sql/traits.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "backends/sql/words.h"

namespace based::sql {
namespace {

using Names = std::span<const std::string_view>;

// State of the session that no setting can carry to another connection.
constexpr std::array<std::string_view, 10> pinning_functions{
    "PG_ADVISORY_LOCK",
    "PG_ADVISORY_LOCK_SHARED",
    "PG_TRY_ADVISORY_LOCK",
    "PG_TRY_ADVISORY_LOCK_SHARED",
    "CURRVAL",
    "LASTVAL",
    "SETSEED",
    "DBLINK_CONNECT",
    "DBLINK_CONNECT_U",
    "PG_CREATE_LOGICAL_REPLICATION_SLOT",
};
constexpr std::array<std::string_view, 17> impure_functions{
    "NEXTVAL",
    "SETVAL",
    "PG_NOTIFY",
    "TXID_CURRENT",
    "PG_BACKEND_PID",
    "PG_CURRENT_XACT_ID",
    "SET_CONFIG",
    "PG_TERMINATE_BACKEND",
    "PG_RELOAD_CONF",
    "PG_CANCEL_BACKEND",
    "PG_EXPORT_SNAPSHOT",
    "PG_SWITCH_WAL",
    "LOWRITE",
    "PG_CREATE_RESTORE_POINT",
    "PG_ROTATE_LOGFILE",
    "PG_PROMOTE",
    "PG_LOGICAL_EMIT_MESSAGE",
};
constexpr WordSet pinning(pinning_functions);
constexpr WordSet impure(impure_functions);
constexpr std::array<std::string_view, 6> impure_prefixes{
    "PG_ADVISORY_", "PG_TRY_ADVISORY_", "LO_", "DBLINK", "PG_REPLICATION_", "PG_STAT_RESET",
};
constexpr std::array<std::string_view, 4> impure_sqlite_functions{
    "LAST_INSERT_ROWID",
    "CHANGES",
    "TOTAL_CHANGES",
    "LOAD_EXTENSION",
};

// Every word that observe_word() looks for.
constexpr std::array<std::string_view, 15> telling_words{
    "INSERT", "DELETE", "MERGE",     "UPDATE",       "SHARE", "NO",      "KEY",     "INTO",
    "TEMP",   "HOLD",   "TEMPORARY", "CONCURRENTLY", "COPY",  "PG_TEMP", "EXECUTE",
};
constexpr WordSet telling(telling_words);

// Every word that tells anything of a statement that reads or writes.
constexpr auto plain_telling_words = [] {
  std::array<std::string_view, pinning_functions.size() + 6> words{
      "SET_CONFIG", "COPY", "PG_TEMP", "TEMP", "TEMPORARY", "INTO"};
  std::copy(pinning_functions.begin(), pinning_functions.end(), words.begin() + 6);
  return words;
}();
constexpr WordSet plain_telling(plain_telling_words);

bool starts_with_one_of(std::string_view word, Names prefixes) {
  for (const std::string_view prefix : prefixes) {
    if (word.size() >= prefix.size() && is_word(word.substr(0, prefix.size()), prefix)) return true;
  }
  return false;
}

// A function's name as written, without the quotes of a quoted identifier.
std::string_view bare_name(const Token& token, std::string_view text) {
  std::string_view source = token.of(text);
  if (token.kind != TokenKind::quoted) return source;
  const std::size_t quote_at = source.find_first_of("\"`[");
  return source.substr(quote_at + 1, source.size() - quote_at - 2);
}

// A literal that names a setting.
bool is_harmless(std::string_view source) {
  if (source.size() < 2 || source.front() != '\'' || source.back() != '\'') return false;
  const std::string_view name = source.substr(1, source.size() - 2);
  return name.find('\'') == name.npos && !decides_literals(lower_ascii(name));
}

}  // namespace

bool TraitCollector::previous_is(std::string_view upper) const {
  return previous_.kind == TokenKind::word && is_word(previous_.of(text_), upper);
}

bool TraitCollector::may_tell(std::string_view word) { return plain_telling.has(word); }

bool decides_literals(std::string_view name) {
  static constexpr std::array<std::string_view, 8> names{
      "timezone",  "datestyle",   "intervalstyle",   "standard_conforming_strings",
      "xmloption", "lc_monetary", "backslash_quote", "default_text_search_config",
  };
  return std::ranges::find(names, name) != names.end();
}

void TraitCollector::observe(const Token& token) {
  if (config_.open) observe_config_argument(token);
  if (std::exchange(names_executed_, false)) {
    const bool names = token.kind == TokenKind::word || token.kind == TokenKind::quoted;
    if (names) traits_.executes = fold_name(token, text_, dialect_);
  }
  if (target_ != Target::none) observe_target(token);
  const bool qualified = previous_.kind == TokenKind::dot;
  if (token.kind == TokenKind::word && !qualified) observe_word(token.of(text_));
  if (token.kind == TokenKind::quoted && bare_name(token, text_) == "pg_temp") traits_.pins = true;
  if (token.kind == TokenKind::open_paren) {
    ++depth_;
    if (previous_.kind == TokenKind::word || previous_.kind == TokenKind::quoted) observe_call();
  }
  if (token.kind == TokenKind::close_paren && depth_ > 0) --depth_;
  previous_qualified_ = qualified;
  previous_ = token;
}

void TraitCollector::observe_word(std::string_view word) {
  static constexpr std::array<std::string_view, 3> modifying{"INSERT", "DELETE", "MERGE"};
  static constexpr std::array<std::string_view, 4> locking{"UPDATE", "SHARE", "NO", "KEY"};
  static constexpr std::array<std::string_view, 5> before_target{"INSERT", "MERGE", "REPLACE",
                                                                 "IGNORE", "ABORT"};
  if (!telling.may_have(word)) return;
  names_executed_ = previous_is("AS") && is_word(word, "EXECUTE");
  if (previous_is("FOR") && is_one_of(word, locking)) traits_.locks_rows = true;
  const bool row_lock = previous_is("FOR") || previous_is("KEY");
  if (is_one_of(word, modifying) || (is_word(word, "UPDATE") && !row_lock)) traits_.modifies = true;
  if (is_word(word, "INTO")) {
    if (previous_is("REPLACE")) traits_.modifies = true;
    const bool target =
        previous_.kind == TokenKind::word && is_one_of(previous_.of(text_), before_target);
    if (!target) traits_.into = true;
    if (!target && dialect_ == Dialect::postgres) target_ = Target::next;
  }
  const bool temporary = is_word(word, "TEMP") || is_word(word, "TEMPORARY");
  if (temporary && (previous_is("INTO") || previous_is("LOCAL") || previous_is("GLOBAL"))) {
    traits_.into_temporary = traits_.into;
  }
  if (is_word(word, "CONCURRENTLY")) traits_.concurrently = true;
  if (is_word(word, "HOLD") && previous_is("WITH")) traits_.with_hold = true;
  if (is_word(word, "COPY")) traits_.copies = true;
  if (is_word(word, "PG_TEMP")) traits_.pins = true;  // it may make something there
}

// INTO [LOCAL] [TEMPORARY | UNLOGGED] [TABLE] [schema.]name
void TraitCollector::observe_target(const Token& token) {
  static constexpr std::array<std::string_view, 6> before{"LOCAL",     "GLOBAL",   "TEMP",
                                                          "TEMPORARY", "UNLOGGED", "TABLE"};
  const bool word = token.kind == TokenKind::word;
  if (target_ == Target::named) {
    target_ = token.kind == TokenKind::dot ? Target::qualified : Target::none;
  } else if (target_ == Target::next && word && is_one_of(token.of(text_), before)) {
    return;
  } else if (word || token.kind == TokenKind::quoted) {
    if (target_ == Target::qualified && traits_.into_name == "pg_temp") {
      traits_.into_temporary = true;
    }
    traits_.into_name = fold_name(token, text_, dialect_);
    target_ = Target::named;
  } else {
    target_ = Target::none;
  }
}

void TraitCollector::observe_call() {
  const std::string_view name = bare_name(previous_, text_);
  if (dialect_ == Dialect::sqlite) {
    if (is_one_of(name, impure_sqlite_functions)) traits_.impure = true;
    return;
  }
  if (pinning.has(name)) traits_.pins = traits_.impure = true;
  if (impure.has(name) || starts_with_one_of(name, impure_prefixes)) {
    traits_.impure = true;
  }
  if (is_word(name, "SET_CONFIG")) {
    if (config_.open) traits_.pins = true;  // one in another's arguments: too clever to follow
    config_ = {.open = true, .depth = depth_};
  }
}

void TraitCollector::observe_config_argument(const Token& token) {
  const bool own = depth_ == config_.depth;
  if (own && token.kind == TokenKind::close_paren) {
    const bool local = config_.commas == 2 && config_.tokens == 1 && config_.literal_true;
    if (!local) traits_.pins = true;
    if (local && !config_.harmless) traits_.sets_local = true;
    config_.open = false;
  } else if (own && token.kind == TokenKind::comma) {
    if (config_.commas == 0) config_.harmless = config_.harmless && config_.tokens == 1;
    ++config_.commas;
    config_.tokens = 0;
  } else {
    static constexpr std::array<std::string_view, 5> truths{"TRUE", "'TRUE'", "'T'", "'ON'", "'1'"};
    ++config_.tokens;
    config_.literal_true = is_one_of(token.of(text_), truths);
    if (config_.commas == 0) config_.harmless = is_harmless(token.of(text_));
  }
}

}  // namespace based::sql
