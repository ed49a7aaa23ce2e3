#include "backends/postgres/sandbox_rules.h"

#include <memory>
#include <string>

#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/sandbox_form.h"
#include "backends/sql/tokenizer.h"

namespace based::postgres {
namespace {

// The statement that fires them, and ALL DEFERRED behind it, are also for constraints that are yet
// to be made; those declared INITIALLY IMMEDIATE are set back by their names.
constexpr const char* restore_all =
    "DO $based$ DECLARE names text; cursor_name text; BEGIN "
    "SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, c.conname), ', ') "
    "INTO names FROM pg_catalog.pg_constraint c "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace "
    "WHERE c.condeferrable AND NOT c.condeferred; "
    "IF names IS NOT NULL THEN EXECUTE 'SET CONSTRAINTS ' || names || ' IMMEDIATE'; END IF; "
    "FOREACH cursor_name IN ARRAY ARRAY(SELECT name FROM pg_catalog.pg_cursors "
    "WHERE NOT is_holdable AND name NOT IN ('', '_based_root') "
    // Not those of who has been joined.
    "AND extract(epoch FROM creation_time) > COALESCE(NULLIF(pg_catalog.current_setting("
    "'_based.since', true), ''), '0')::pg_catalog.float8) LOOP "
    "EXECUTE pg_catalog.format('CLOSE %I', cursor_name); END LOOP; END $based$";

// There is no index for such constraints, and a schema may have thousands of others. So it is noted
// for what state of the catalogue there were none: for what others had committed, which the
// snapshot says, and how many rows of it this root had written. Who rolls back to a savepoint has
// the note, too, as it was there.
constexpr const char* ask_all =
    "SELECT FROM (SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text || ' ' || "
    "pg_catalog.pg_stat_get_xact_tuples_inserted(catalogue) || ' ' || "
    "pg_catalog.pg_stat_get_xact_tuples_updated(catalogue) AS state "
    "FROM (SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid AS catalogue) c "
    "OFFSET 0) s WHERE CASE "
    "WHEN EXISTS (SELECT FROM pg_catalog.pg_cursor() WHERE NOT is_holdable AND name <> '') THEN "
    "true "
    "WHEN state = pg_catalog.current_setting('_based.none_immediate', true) "
    "AND pg_catalog.current_setting('track_counts') = 'on' THEN false "
    "WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE condeferrable AND NOT condeferred) "
    "THEN true "
    "ELSE pg_catalog.set_config('_based.none_immediate', state, true) IS NULL END";

StatementRef make(const char* text, StatementKind kind) {
  auto statement = std::make_shared<Statement>();
  statement->text = text;
  statement->kind = kind;
  return statement;
}

struct BeforeCommit {
  StatementRef fire = make("SET CONSTRAINTS ALL IMMEDIATE", StatementKind::other);
  StatementRef defer = make("SET CONSTRAINTS ALL DEFERRED", StatementKind::other);
  StatementRef restore = make(restore_all, StatementKind::other);
  StatementRef ask = make(ask_all, StatementKind::other);
};

const BeforeCommit& before_commit() {
  static const BeforeCommit statements;
  return statements;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

Error refused(std::string message) {
  return Error::make(sqlstate::feature_not_supported, std::move(message))
      .with_hint(
          "The database runs with force_rollback: it is one transaction that is never "
          "committed.");
}

// `alone`: outside of a transaction, and its unit's only statement.
Result<void> check_statement(const Statement& statement, bool alone) {
  switch (statement.kind) {
    case StatementKind::standalone:
      if (!statement.in_sandbox) return alone_in_sandbox_error(statement);
      if (!alone) return sql::alone_error(statement);
      break;
    case StatementKind::prepare_transaction:
      return two_phase_error();
    case StatementKind::begin:
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::savepoint:
    case StatementKind::release:
    case StatementKind::rollback_to:
      return refused("transaction control goes through the session's transaction stack");
    case StatementKind::sandbox:
      return refused("SANDBOX is Based's own command, sent by itself");
    case StatementKind::discard:
    case StatementKind::empty:
    case StatementKind::read:
    case StatementKind::write:
    case StatementKind::definition:
    case StatementKind::set_transaction:
    case StatementKind::setting:
    case StatementKind::prepare:
    case StatementKind::listen:
    case StatementKind::copy:
    case StatementKind::pinning:
    case StatementKind::other:
      break;
  }
  const bool limit =
      statement.name == "statement_timeout" || statement.name == "transaction_timeout";
  const bool acted_on = limit || statement.name == "default_transaction_read_only" ||
                        (statement.kind == StatementKind::setting &&
                         statement.name == "idle_in_transaction_session_timeout");
  if (is_withheld(statement.name) && !acted_on) {
    return refused(statement.name + " cannot be set so: it would be of all who share the sandbox");
  }
  if (closes_root_cursor(statement.text) && !is_close_all(statement)) {
    return refused("the sandbox's own cursor cannot be closed");
  }
  return {};
}

}  // namespace

std::optional<Error> needs_block(const Unit& unit) {
  if (!unit.alone || unit.steps.front().describe) return std::nullopt;
  const Statement& only = *unit.steps.front().statement;
  if (only.kind != StatementKind::other) return std::nullopt;
  const std::string word = word_at(only.text, 0);
  if (word == "lock") return outside("LOCK TABLE");
  if (word == "declare") return outside("DECLARE CURSOR");
  return std::nullopt;
}

Error two_phase_error() {
  return Error::make(sqlstate::feature_not_supported,
                     "two-phase commit is not possible in a sandbox: a prepared transaction would "
                     "outlive it")
      .with_hint("Use COMMIT; or connect to the database itself.");
}

Error user_error(Error reason, const std::string& user) {
  const bool missing = reason.sqlstate == sqlstate::invalid_parameter_value &&
                       reason.message == "role \"" + user + "\" does not exist";
  const bool denied = reason.message.find("session authorization") != std::string::npos &&
                      reason.sqlstate == sqlstate::insufficient_privilege;
  if (!missing && !denied) return reason;
  reason.sqlstate = sqlstate::invalid_authorization;
  reason.hint =
      "The database's url names no user, so each client is in the sandbox by its own name, "
      "on one connection: that has to be a superuser's, or name the user in the url.";
  return reason;
}

Error alone_in_sandbox_error(const Statement& statement) {
  return sql::alone_error(statement).with_hint(
      "The database runs with force_rollback: it is one transaction that is never "
      "committed. Run this on the database itself.");
}

std::string_view sandbox_hint(std::string_view sqlstate) {
  if (sqlstate == "55P04") {  // unsafe_new_enum_value_usage
    return "A value that ALTER TYPE ... ADD VALUE has added can be used once its transaction is "
           "committed, which a sandbox's never is: run the migration on the database itself.";
  }
  if (sqlstate == "2D000") {  // invalid_transaction_termination
    return "In a sandbox a transaction is a savepoint, which no procedure can end: run it on the "
           "database itself.";
  }
  if (sqlstate == "53200") {  // out_of_memory, also of the table of locks
    return "A sandbox is one transaction, which keeps every lock: SANDBOX RESET gives them back, "
           "or "
           "raise the server's max_locks_per_transaction.";
  }
  return {};
}

bool closes_root_cursor(std::string_view text) {
  sql::Tokenizer tokens(text, Dialect::postgres);
  const sql::Token verb = tokens.next();
  if (verb.kind != sql::TokenKind::word || lower(verb.of(text)) != "close") return false;
  const sql::Token what = tokens.next();
  const std::string name = lower(what.of(text));
  if (what.kind == sql::TokenKind::word) return name == "all" || name == "_based_root";
  // A quoted name may spell it with escapes: what is quoted and ends so is not worth a risk.
  return what.kind == sql::TokenKind::quoted &&
         (name.find("_based_root") != std::string::npos || name.starts_with("u&"));
}

Result<void> check_sandbox_unit(const Unit& unit) {
  for (const Step& step : unit.steps) {
    if (Result<void> checked = check_statement(*step.statement, unit.alone); !checked)
      return checked;
  }
  return {};
}

std::vector<StatementRef> before_commit_statements() {
  const BeforeCommit& all = before_commit();
  return {all.fire, all.defer, all.restore};
}

std::vector<StatementRef> after_rollback_statements() {
  const BeforeCommit& all = before_commit();
  return {all.defer, all.restore};
}

const StatementRef& restore_question() { return before_commit().ask; }
bool is_restoring(const StatementRef& statement) { return statement == before_commit().restore; }

StatementRef read_only_statement() {
  return make("SET TRANSACTION READ ONLY", StatementKind::set_transaction);
}

}  // namespace based::postgres
