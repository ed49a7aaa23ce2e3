#include "backends/sql/control.h"

#include <array>
#include <string>

#include "backends/sql/setting_value.h"

namespace based::sql {
namespace {

constexpr std::array<std::string_view, 2> block_words{"WORK", "TRANSACTION"};

Error unexpected(const Cursor& cursor) {
  const Token token = cursor.token();
  if (token.kind == TokenKind::end) {
    return Error::make(sqlstate::syntax_error, "syntax error at end of input");
  }
  Error error = Error::make(sqlstate::syntax_error,
                            "syntax error at or near \"" + std::string(cursor.source()) + "\"");
  error.position = token.begin;
  return error;
}

// Is the word before it a setting's name: `name TO`, `name =`, `name.`?
bool sees_assignment(const Cursor& cursor, std::size_t ahead) {
  const bool equals = cursor.sees(TokenKind::operation, ahead) && cursor.source(ahead) == "=";
  return equals || cursor.sees("TO", ahead) || cursor.sees(TokenKind::dot, ahead);
}

std::optional<Error> at_end(const Cursor& cursor) {
  if (cursor.done()) return std::nullopt;
  return unexpected(cursor);
}

bool read_isolation(Cursor& cursor, BeginOptions& options) {
  using enum BeginOptions::Isolation;
  if (cursor.accept("SERIALIZABLE")) return options.isolation = serializable, true;
  if (cursor.accept("REPEATABLE")) {
    return options.isolation = repeatable_read, cursor.accept("READ");
  }
  if (!cursor.accept("READ")) return false;
  if (cursor.accept("COMMITTED")) return options.isolation = read_committed, true;
  return options.isolation = read_uncommitted, cursor.accept("UNCOMMITTED");
}

// One mode; false and nothing read when the next token begins none.
bool read_mode(Cursor& cursor, BeginOptions& options, bool& malformed) {
  if (cursor.accept("ISOLATION")) {
    malformed = !cursor.accept("LEVEL") || !read_isolation(cursor, options);
    return true;
  }
  if (cursor.accept("READ")) {
    if (cursor.accept("ONLY")) {
      options.access = BeginOptions::Access::read_only;
    } else {
      options.access = BeginOptions::Access::read_write;
      malformed = !cursor.accept("WRITE");
    }
    return true;
  }
  if (cursor.accept("NOT")) {
    options.deferrable = BeginOptions::Deferrable::not_deferrable;
    malformed = !cursor.accept("DEFERRABLE");
    return true;
  }
  if (cursor.accept("DEFERRABLE")) {
    options.deferrable = BeginOptions::Deferrable::deferrable;
    return true;
  }
  return false;
}

// Modes in any order, with or without commas between them, to the end of the statement.
std::optional<Error> read_modes(Cursor& cursor, BeginOptions& options, bool required) {
  bool malformed = false;
  bool after_comma = required;
  while (!malformed && read_mode(cursor, options, malformed)) {
    after_comma = cursor.accept(TokenKind::comma);
  }
  if (malformed || after_comma) return unexpected(cursor);
  return at_end(cursor);
}

void read_sqlite_locking(Cursor& cursor, BeginOptions& options) {
  using enum BeginOptions::Locking;
  if (cursor.accept("DEFERRED")) options.locking = deferred;
  if (options.locking == unset && cursor.accept("IMMEDIATE")) options.locking = immediate;
  if (options.locking == unset && cursor.accept("EXCLUSIVE")) options.locking = exclusive;
}

std::optional<Error> read_begin(Cursor cursor, Statement& statement) {
  statement.kind = StatementKind::begin;
  const bool start = cursor.accept("START");
  if (start) {
    if (!cursor.accept("TRANSACTION")) return unexpected(cursor);
    return read_modes(cursor, statement.begin, false);
  }
  cursor.skip();
  if (cursor.dialect() == Dialect::sqlite) read_sqlite_locking(cursor, statement.begin);
  cursor.accept_one_of(block_words);
  return read_modes(cursor, statement.begin, false);
}

// What follows COMMIT, END, ROLLBACK and ABORT: [WORK | TRANSACTION] [AND [NO] CHAIN].
std::optional<Error> read_block_end(Cursor& cursor, Statement& statement) {
  if (cursor.accept("AND")) {
    statement.and_chain = !cursor.accept("NO");
    if (!cursor.accept("CHAIN")) return unexpected(cursor);
  }
  return at_end(cursor);
}

std::optional<Error> read_name(Cursor& cursor, Statement& statement) {
  if (!cursor.sees_name()) return unexpected(cursor);
  statement.name = cursor.take_name();
  const bool none = statement.name.empty() && cursor.dialect() == Dialect::postgres;
  if (none) return unexpected(cursor);  // or one that is for the server to refuse
  return at_end(cursor);
}

// [SAVEPOINT] name, where the name itself may be `savepoint`.
std::optional<Error> read_savepoint_name(Cursor& cursor, Statement& statement) {
  if (cursor.sees("SAVEPOINT") && !cursor.sees(TokenKind::end, 1)) cursor.skip();
  return read_name(cursor, statement);
}

std::optional<Error> read_prepared(Cursor& cursor, Statement& statement) {
  statement.kind = StatementKind::prepare_transaction;
  if (!cursor.sees(TokenKind::string)) return unexpected(cursor);
  cursor.skip();
  return at_end(cursor);
}

std::optional<Error> read_commit(Cursor cursor, Statement& statement) {
  statement.kind = StatementKind::commit;
  const bool commit = cursor.accept("COMMIT");
  if (!commit) cursor.skip();
  if (commit && cursor.accept("PREPARED")) return read_prepared(cursor, statement);
  cursor.accept_one_of(block_words);
  return read_block_end(cursor, statement);
}

std::optional<Error> read_rollback(Cursor cursor, Statement& statement) {
  statement.kind = StatementKind::rollback;
  const bool rollback = cursor.accept("ROLLBACK");
  if (!rollback) cursor.skip();
  if (rollback && cursor.accept("PREPARED")) return read_prepared(cursor, statement);
  cursor.accept_one_of(block_words);
  if (rollback && cursor.accept("TO")) {
    statement.kind = StatementKind::rollback_to;
    return read_savepoint_name(cursor, statement);
  }
  return read_block_end(cursor, statement);
}

std::optional<Error> read_set_transaction(Cursor cursor, Statement& statement) {
  statement.kind = StatementKind::set_transaction;
  cursor.skip();                                          // SET
  if (cursor.accept("CONSTRAINTS")) return std::nullopt;  // the server reads the rest
  if (!cursor.accept("LOCAL")) cursor.accept("SESSION");
  cursor.skip();  // TRANSACTION
  if (cursor.sees("SNAPSHOT")) return std::nullopt;
  return read_modes(cursor, statement.begin, true);
}

void set(Statement& statement, std::string name, std::string_view value) {
  statement.name = std::move(name);
  statement.setting = value;
  if (statement.kind == StatementKind::other) statement.kind = StatementKind::setting;
}

// The forms of SET that have no TO; false when this is none of them.
bool read_special_setting(Cursor& cursor, std::uint32_t last_end, Statement& statement) {
  const auto rest = [&] { return cursor.rest(last_end); };
  if (cursor.sees("SESSION") && cursor.sees("AUTHORIZATION", 1)) {
    cursor.skip();
    cursor.skip();
    return set(statement, "session_authorization", rest()), true;
  }
  if (cursor.sees("TIME") && cursor.sees("ZONE", 1)) {
    cursor.skip();
    cursor.skip();
    if (cursor.sees("INTERVAL") && statement.kind == StatementKind::other) {
      statement.kind = StatementKind::pinning;  // SET timezone TO has no way to say it
    }
    return set(statement, "timezone", cursor.sees("LOCAL") ? "DEFAULT" : rest()), true;
  }
  if (cursor.sees("XML") && cursor.sees("OPTION", 1)) {
    cursor.skip();
    cursor.skip();
    return set(statement, "xmloption", rest()), true;
  }
  if (sees_assignment(cursor, 1)) return false;
  if (cursor.accept("ROLE")) return set(statement, "role", rest()), true;
  if (cursor.accept("SCHEMA")) return set(statement, "search_path", rest()), true;
  if (cursor.accept("NAMES")) {
    return set(statement, "client_encoding", cursor.done() ? "DEFAULT" : rest()), true;
  }
  return false;
}

void read_characteristics(Cursor& cursor, std::uint32_t last_end, Statement& statement) {
  const std::string_view value = cursor.rest(last_end);
  if (!cursor.accept("AS") || !cursor.accept("TRANSACTION")) return;
  if (read_modes(cursor, statement.begin, true)) return;
  set(statement, "session characteristics", value);
}

// SET transaction_isolation and its kin say what SET TRANSACTION says, for the transaction only.
// Where the value is not one of these the server says what is wrong with it.
void read_mode_value(std::string_view name, std::string_view value, Statement& statement) {
  using Access = BeginOptions::Access;
  using Deferrable = BeginOptions::Deferrable;
  statement.kind = StatementKind::set_transaction;
  statement.name = name;
  statement.setting = value;
  BeginOptions& modes = statement.begin;
  const std::optional<bool> on = bool_of(value);
  if (name == "transaction_isolation") {
    modes.isolation = isolation_named(plain_value(value));
  } else if (on && name == "transaction_read_only") {
    modes.access = *on ? Access::read_only : Access::read_write;
  } else if (on) {
    modes.deferrable = *on ? Deferrable::deferrable : Deferrable::not_deferrable;
  }
}

// name[.name] TO value, name = value
void read_assignment(Cursor& cursor, std::uint32_t last_end, Statement& statement) {
  if (!cursor.sees_name()) return;
  std::string name = lower_ascii(cursor.take_name());
  while (cursor.accept(TokenKind::dot)) {
    if (!cursor.sees_name()) return;
    name += '.';
    name += lower_ascii(cursor.take_name());
  }
  const bool equals = cursor.sees(TokenKind::operation) && cursor.source() == "=";
  if (!equals && !cursor.sees("TO")) return;
  cursor.skip();
  if (cursor.done()) return;
  if (is_mode_of_transaction(name)) {
    return read_mode_value(name, cursor.rest(last_end), statement);
  }
  set(statement, std::move(name), cursor.rest(last_end));
}

void read_set(Cursor& cursor, std::uint32_t last_end, Statement& statement) {
  const bool to_follows = sees_assignment(cursor, 1);
  if (!to_follows && cursor.accept("LOCAL")) {
    statement.kind = StatementKind::set_transaction;
  } else if (!to_follows && cursor.sees("SESSION") && !cursor.sees("AUTHORIZATION", 1) &&
             !cursor.sees("CHARACTERISTICS", 1)) {
    cursor.skip();
  }
  if (cursor.sees("SESSION") && cursor.sees("CHARACTERISTICS", 1)) {
    cursor.skip();
    cursor.skip();
    return read_characteristics(cursor, last_end, statement);
  }
  if (!read_special_setting(cursor, last_end, statement)) {
    read_assignment(cursor, last_end, statement);
  }
}

void read_reset(Cursor& cursor, Statement& statement) {
  if (cursor.sees("SESSION") && cursor.sees("AUTHORIZATION", 1)) {
    return set(statement, "session_authorization", "");
  }
  if (cursor.sees("TIME") && cursor.sees("ZONE", 1)) return set(statement, "timezone", "");
  if (!cursor.sees_name()) return;
  const bool level = cursor.sees("TRANSACTION") && cursor.sees("ISOLATION", 1);
  std::string name = lower_ascii(cursor.take_name());
  if (level && cursor.accept("ISOLATION") && cursor.accept("LEVEL")) {
    name = "transaction_isolation";
  }
  while (cursor.accept(TokenKind::dot)) {
    if (!cursor.sees_name()) return;
    name += '.';
    name += lower_ascii(cursor.take_name());
  }
  if (!cursor.done()) return;
  if (is_mode_of_transaction(name)) {
    statement.kind = StatementKind::set_transaction;
    statement.name = name;
    return;
  }
  set(statement, std::move(name), "");
}

// DEALLOCATE [PREPARE] name | ALL. Based answers it itself, so what the server cannot parse is not
// taken for one.
void read_deallocate(Cursor& cursor, Statement& statement) {
  cursor.skip();
  if (!cursor.sees(TokenKind::end, 1)) cursor.accept("PREPARE");
  const bool all = cursor.sees("ALL");
  const bool reserved = cursor.sees(TokenKind::word) && is_reserved(cursor.source());
  if (!cursor.sees_name() || (reserved && !all)) return;
  std::string name = cursor.take_name();
  if (!cursor.done() || name.empty()) return;
  statement.setting = "deallocate";
  if (!all) statement.name = std::move(name);
}

// PREPARE name, EXECUTE name.
void read_prepared_name(Cursor& cursor, Statement& statement) {
  if (cursor.sees("DEALLOCATE")) return read_deallocate(cursor, statement);
  std::string word = lower_ascii(cursor.source());
  cursor.skip();
  if (!cursor.sees_name()) return;
  statement.kind = StatementKind::prepare;
  statement.setting = std::move(word);
  statement.name = cursor.take_name();
}

// A name with Unicode escapes is left to the server.
void read_channel(Cursor& cursor, Statement& statement) {
  const bool all = cursor.sees("UNLISTEN") && cursor.source(1) == "*";
  const std::string word = lower_ascii(cursor.source());
  cursor.skip();
  const std::string_view source = cursor.source();
  const bool escaped = source.size() > 2 && source[1] == '&' && source[2] == '"';
  if (!all && (!cursor.sees_name() || escaped)) return;
  statement.setting = word;
  if (!all) statement.name = cursor.take_name();
}

}  // namespace

bool is_mode_of_transaction(std::string_view name) {
  return name == "transaction_isolation" || name == "transaction_read_only" ||
         name == "transaction_deferrable";
}

std::vector<BeginOptions> modes_in_order(const Statement& statement) {
  static constexpr std::array<std::string_view, 4> starts{"ISOLATION", "READ", "NOT", "DEFERRABLE"};
  std::vector<BeginOptions> modes;
  std::vector<Token> tokens;
  Tokenizer tokenizer(statement.text, Dialect::postgres);
  for (Token t = tokenizer.next(); t.kind != TokenKind::end; t = tokenizer.next()) {
    if (tokens.empty() && !is_one_of(t.of(statement.text), starts)) continue;
    tokens.push_back(t);
  }
  Cursor cursor(tokens, statement.text, Dialect::postgres, true);
  bool malformed = false;
  for (BeginOptions mode; read_mode(cursor, mode, malformed); mode = {}) {
    modes.push_back(mode);
    cursor.accept(TokenKind::comma);
  }
  if (modes.empty()) modes.push_back(statement.begin);  // it says them in another way
  return modes;
}

BeginOptions::Isolation isolation_named(std::string_view name) {
  using enum BeginOptions::Isolation;
  const std::string lower = lower_ascii(name);
  if (lower == "serializable") return serializable;
  if (lower == "repeatable read") return repeatable_read;
  if (lower == "read committed") return read_committed;
  return lower == "read uncommitted" ? read_uncommitted : unset;
}

std::optional<Error> read_transaction_control(Cursor cursor, Statement& statement) {
  statement.kind = StatementKind::other;
  const bool postgres = cursor.dialect() == Dialect::postgres;
  if (cursor.sees("BEGIN") || cursor.sees("START")) return read_begin(cursor, statement);
  if (cursor.sees("COMMIT") || cursor.sees("END")) return read_commit(cursor, statement);
  if (cursor.sees("ROLLBACK") || cursor.sees("ABORT")) return read_rollback(cursor, statement);
  if (cursor.accept("SAVEPOINT")) {
    statement.kind = StatementKind::savepoint;
    return read_name(cursor, statement);
  }
  if (cursor.accept("RELEASE")) {
    statement.kind = StatementKind::release;
    return read_savepoint_name(cursor, statement);
  }
  if (cursor.sees("PREPARE") && cursor.sees("TRANSACTION", 1)) {
    cursor.skip();
    cursor.skip();
    return read_prepared(cursor, statement);
  }
  if (!cursor.sees("SET")) return std::nullopt;
  const std::size_t at = cursor.sees("LOCAL", 1) || cursor.sees("SESSION", 1) ? 2 : 1;
  const bool modes = cursor.sees("TRANSACTION", at) && !sees_assignment(cursor, at + 1);
  if (modes || (postgres && cursor.sees("CONSTRAINTS", 1))) {
    return read_set_transaction(cursor, statement);
  }
  return std::nullopt;
}

void read_setting(Cursor cursor, std::uint32_t last_end, Statement& statement) {
  if (cursor.accept("DISCARD")) {
    statement.kind = StatementKind::discard;
    statement.name = lower_ascii(cursor.source());
  } else if (cursor.accept("RESET")) {
    read_reset(cursor, statement);
  } else if (cursor.accept("SET")) {
    read_set(cursor, last_end, statement);
  } else if (cursor.sees("PREPARE") || cursor.sees("EXECUTE") || cursor.sees("DEALLOCATE")) {
    read_prepared_name(cursor, statement);
  } else if (cursor.sees("LISTEN") || cursor.sees("UNLISTEN")) {
    read_channel(cursor, statement);
  }
}

std::optional<Error> read_sandbox(Cursor cursor, Statement& statement) {
  struct Verb {
    std::string_view word;
    SandboxVerb verb;
  };
  static constexpr std::array verbs{
      Verb{"STATUS", SandboxVerb::status}, Verb{"LIST", SandboxVerb::list},
      Verb{"LOG", SandboxVerb::log},       Verb{"RESET", SandboxVerb::reset},
      Verb{"MARK", SandboxVerb::mark},     Verb{"DROP", SandboxVerb::drop},
  };
  if (!cursor.accept("SANDBOX")) return std::nullopt;
  for (const Verb& row : verbs) {
    if (!cursor.accept(row.word)) continue;
    statement.kind = StatementKind::sandbox;
    statement.verb = row.verb;
    const bool named =
        row.verb == SandboxVerb::mark || (row.verb == SandboxVerb::reset && cursor.accept("TO"));
    if (named) {
      if (!cursor.sees_name()) return unexpected(cursor);
      statement.name = cursor.take_name();
    }
    return at_end(cursor);
  }
  return unexpected(cursor);
}

}  // namespace based::sql
