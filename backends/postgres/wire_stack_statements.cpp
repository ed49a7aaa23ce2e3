// WireStack's other half: what is no transaction control, and depends on the transaction all the
// same.
#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <utility>

#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/wire_stack.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/command_tag.h"
#include "backends/sql/sandbox_form.h"
#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"

namespace based::postgres {

bool is_close_all(const Statement& statement) {
  return statement.kind == StatementKind::other && word_at(statement.text, 0) == "close" &&
         word_at(statement.text, 1) == "all";
}

bool is_query(const Statement& statement) {
  static constexpr std::array<std::string_view, 7> none{"show",   "lock",   "fetch",     "move",
                                                        "notify", "listen", "checkpoint"};
  switch (statement.kind) {
    case StatementKind::empty:
    case StatementKind::setting:
    case StatementKind::set_transaction:
    case StatementKind::listen:
      return false;
    default:
      return std::ranges::find(none, word_at(statement.text, 0)) == none.end();
  }
}

bool is_parsed_by_snapshot(std::string_view text) {
  static constexpr std::array<std::string_view, 10> all{"select",  "insert", "update", "delete",
                                                        "merge",   "values", "table",  "with",
                                                        "declare", "explain"};
  if (sql::Tokenizer(text, Dialect::postgres).next().kind == sql::TokenKind::open_paren)
    return true;
  return std::ranges::find(all, word_at(text, 0)) != all.end();
}

bool holds_back(const StatementRef& statement) {
  const bool names = statement->kind == StatementKind::discard ||
                     (statement->kind == StatementKind::prepare && statement->setting != "execute");
  return statement->may_copy || names;
}

bool runs_in_failed(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::rollback_to:
    case StatementKind::prepare_transaction:
      return true;
    default:
      return false;
  }
}

bool describes_nothing(std::string_view text) {
  static constexpr std::array<std::string_view, 34> none{
      "set",    "reset",     "begin",   "start",      "commit",   "end",       "rollback",
      "abort",  "savepoint", "release", "declare",    "close",    "do",        "lock",
      "vacuum", "analyze",   "discard", "deallocate", "listen",   "unlisten",  "notify",
      "copy",   "create",    "alter",   "drop",       "truncate", "comment",   "grant",
      "revoke", "insert",    "update",  "delete",     "reindex",  "checkpoint"};
  if (std::ranges::find(none, word_at(text, 0)) == none.end()) return false;
  sql::Tokenizer tokens(text, Dialect::postgres);
  for (sql::Token token = tokens.next(); token.kind != sql::TokenKind::end; token = tokens.next()) {
    if (token.kind == sql::TokenKind::dollar || token.kind == sql::TokenKind::invalid) return false;
    if (sql::lower_ascii(token.of(text)) == "returning") return false;
  }
  return true;
}

StatementRef step(StatementKind kind, std::string text, std::string name) {
  auto made = std::make_shared<Statement>();
  made->kind = kind;
  made->text = std::move(text);
  made->name = std::move(name);
  return made;
}

Error refused(Sqlstate code, std::string message) {
  return Error::make(code, std::move(message))
      .with_hint(
          "The database runs with force_rollback: it is one transaction that is never "
          "committed.");
}

void WireStack::Plan::ask_first() {
  if (steps.empty() || !is_restoring(steps.back())) return;
  restoring = std::exchange(steps.back(), restore_question());
}

// What PostgreSQL takes outside of a transaction only.
std::optional<Error> WireStack::refuse_alone(const Statement& statement, bool in_script) const {
  if (failed_) return aborted();
  if (!levels_.empty() || in_script || outer_) return sql::alone_error(statement);
  if (guard_ran_) return sql::alone_error(statement, "cannot be executed within a pipeline");
  return std::nullopt;
}

// It commits at once, and in a pipeline, too.
void WireStack::commit_alone(Plan& plan) {
  if (!guarded_) return;
  plan.committed = true;
  std::ranges::move(let_guard_go(false), std::back_inserter(plan.steps));
}

// In the form that the root's can hold.
void WireStack::run_alone(const Statement& statement, bool in_script, Plan& plan) {
  plan.tag = sql::command_tag(statement.text);
  const bool in_block = in_script || !levels_.empty() || outer_;
  if (in_block && !failed_) {  // the server says what is wrong with it
    plan.steps.push_back(std::make_shared<Statement>(statement));
    return;
  }
  plan.error = refuse_alone(statement, in_script);
  if (plan.error) return;
  if (statement.in_sandbox->text.size() != statement.text.size()) {
    plan.warnings.push_back(sql::vacuum_warning());
  } else {
    auto form = std::make_shared<Statement>(*statement.in_sandbox);
    form->text.insert(0, statement.offset, ' ');  // an error's position is the client's
    plan.steps.push_back(std::move(form));
  }
  commit_alone(plan);
}

void WireStack::discard(const Statement& statement, bool in_script, Plan& plan) {
  const bool all = statement.name == "all";
  plan.tag = all ? "DISCARD ALL" : "DISCARD TEMP";
  if (all) {
    plan.error = refuse_alone(statement, in_script);
  } else if (failed_) {
    plan.error = aborted();
  }
  if (plan.error) return;
  // Where transactions are read only by default it is allowed all the same.
  if (all && guarded_ && unit_.modes.read_only) plan.steps.push_back(go_back(1));
  std::ranges::move(ending_, std::back_inserter(plan.steps));
  if (all) commit_alone(plan);
}

void WireStack::close_all(Plan& plan) {
  plan.tag = "CLOSE CURSOR ALL";
  if (failed_) {
    plan.error = aborted();
  } else {
    plan.steps = std::move(ending_);
  }
}

std::optional<Error> WireStack::check(const Statement& statement, bool in_script) const {
  if (!rules_.rooted || failed_) return std::nullopt;
  const bool in_block = in_script || !levels_.empty();
  if (statement.kind == StatementKind::standalone && !in_block &&
      !outer_) {  // else the server says so
    return alone_in_sandbox_error(statement);
  }
  if (statement.kind != StatementKind::other) return std::nullopt;
  if (closes_root_cursor(statement.text)) {
    return refused(sqlstate::feature_not_supported, "the sandbox's own cursor cannot be closed");
  }
  if (in_block) return std::nullopt;
  const std::string word = word_at(statement.text, 0);
  if (word == "lock") return outside("LOCK TABLE");
  if (word == "declare") return outside("DECLARE CURSOR");
  return std::nullopt;
}

// An error's statement is never noted: what has failed is told by follow().
void WireStack::note_own(const Statement& statement) {
  if (!rules_.nested || rules_.rooted || in_nested()) return;
  switch (statement.kind) {
    case StatementKind::begin:
      if (levels_.empty()) levels_.emplace_back();
      break;
    case StatementKind::prepare_transaction:
      if (word_at(statement.text, 0) != "prepare") break;
      [[fallthrough]];
    case StatementKind::commit:
    case StatementKind::rollback:
      if (!statement.and_chain) levels_.clear();
      failed_ = false;
      break;
    case StatementKind::rollback_to:
      failed_ = false;
      break;
    default:
      break;
  }
}

std::vector<bool> WireStack::controls_in(const Script& script) const {
  std::vector<bool> found;
  WireStack ahead = *this;
  for (const StatementRef& statement : script.statements) {
    found.push_back(ahead.is_control(*statement));
    if (rules_.rooted) continue;
    if (found.back()) {
      ahead.plan(statement);
    } else {
      ahead.note_own(*statement);
    }
  }
  return found;
}

void WireStack::follow(char status) {
  if (!rules_.nested || rules_.rooted || in_nested()) return;
  levels_.resize(status == 'I' ? 0 : 1);
  failed_ = status == 'E';
}

void WireStack::note(const Statement& statement) {
  note_own(statement);
  guard_used_ = true;
  guard_ran_ = guard_ran_ || statement.kind != StatementKind::empty;
  if (is_query(statement)) note_snapshot();
  // What is set for good behind a SET LOCAL stays.
  if (statement.kind == StatementKind::setting) std::erase(local_names_, statement.name);
  if (statement.kind == StatementKind::other && word_at(statement.text, 0) == "declare") {
    cursors_ = true;
  }
}

void WireStack::note_snapshot() {
  here().queried = true;
  if (outer_) outer_->queried = true;
}

void WireStack::note_text(std::string_view text) {
  const bool none = sql::Tokenizer(text, Dialect::postgres).next().kind == sql::TokenKind::end;
  guard_used_ = true;
  guard_ran_ = guard_ran_ || !none;
  if (!none && word_at(text, 0) != "show") note_snapshot();
}

}  // namespace based::postgres
