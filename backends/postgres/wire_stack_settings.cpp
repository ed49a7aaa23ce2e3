// The WireStack's settings: those of a transaction, and those that a sandbox's client has for
// itself.
#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "backends/postgres/check_savepoint.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/wire_stack.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/control.h"
#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"

namespace based::postgres {

std::string word_at(std::string_view text, int index) {
  sql::Tokenizer tokens(text, Dialect::postgres);
  sql::Token token = tokens.next();
  for (int i = 0; i < index; ++i) token = tokens.next();
  std::string word = sql::lower_ascii(token.of(text));
  return token.kind == sql::TokenKind::word ? word : "";
}

Error outside(std::string_view what) {
  return Error::make(sqlstate::no_active_sql_transaction,
                     std::string(what) + " can only be used in transaction blocks");
}

Error aborted() {
  return Error::make(
      sqlstate::in_failed_sql_transaction,
      "current transaction is aborted, commands ignored until end of transaction block");
}

Error taken_error(std::string_view portal) {
  return Error::make(Sqlstate("42P03"), "cursor \"" + std::string(portal) + "\" already exists");
}

std::vector<Error> cut_names(const Statement& statement) {
  std::vector<Error> notices;
  const bool names = statement.kind == StatementKind::savepoint ||
                     statement.kind == StatementKind::release ||
                     statement.kind == StatementKind::rollback_to;
  constexpr std::size_t cut_bytes_min = 60;  // at a character
  if (!names || statement.name.size() < cut_bytes_min) return notices;
  std::vector<sql::Token> tokens;
  sql::Tokenizer tokenizer(statement.text, Dialect::postgres);
  for (auto t = tokenizer.next(); t.kind != sql::TokenKind::end; t = tokenizer.next()) {
    tokens.push_back(t);
  }
  sql::Cursor cursor(tokens, statement.text, Dialect::postgres, true);
  while (cursor.sees_name()) {
    const std::string whole = cursor.take_whole_name();  // the words before it are names, too
    const std::string cut = sql::cut_name(whole);
    if (cut == whole) continue;
    notices.push_back(Error::make(
        Sqlstate("42622"), "identifier \"" + whole + "\" will be truncated to \"" + cut + "\""));
  }
  return notices;
}

std::vector<Error> warnings_outside(const Statement& set) {
  const std::string first = word_at(set.text, 1);
  const bool transaction = first == "transaction" || word_at(set.text, 2) == "transaction";
  const bool mode = sql::is_mode_of_transaction(set.name);
  std::vector<Error> warnings;
  if (set.kind != StatementKind::set_transaction) return warnings;
  if (set.name == "session characteristics") return warnings;
  if (first == "constraints") {
    warnings.push_back(outside("SET CONSTRAINTS"));
  } else if (transaction && !mode) {
    warnings.push_back(outside("SET TRANSACTION"));
  } else if (first == "local") {
    warnings.push_back(outside("SET LOCAL"));
  }
  if (set.name == "transaction_isolation" && is_default(set.setting)) {
    warnings.push_back(outside("RESET TRANSACTION"));
  }
  return warnings;
}

Error read_only_around() {
  return Error::make(sqlstate::active_sql_transaction,
                     "cannot set transaction read-write mode inside a read-only transaction");
}

// Of a BEGIN. Where the transaction around it is another session's and read only, so is it: what it
// writes is refused, and not that it wants to.
std::vector<BeginOptions> WireStack::modes_asked(const Statement& begin) const {
  std::vector<BeginOptions> asked = sql::modes_in_order(begin);
  if (outer_ && outer_->modes.read_only) {
    std::erase_if(asked, [](const BeginOptions& mode) {
      return mode.access == BeginOptions::Access::read_write;
    });
  }
  return asked;
}

// Of the transaction that is open. A savepoint cannot be made read write again: what may have to be
// has read only in another one.
void WireStack::take_modes(const Statement& statement, Plan& plan) {
  Level& level = here();
  TransactionModes modes = level.modes;
  const ModesPlace place{.queried = level.queried, .in_savepoint = in_savepoint()};
  plan.error = change_modes(modes, sql::modes_in_order(statement), place);
  if (plan.error) return;
  if (modes.read_only && !level.modes.read_only) set_read_only_here(plan.steps);
  if (!modes.read_only && level.modes.read_only && !end_read_only_here(plan.steps)) {
    plan.error = read_only_around();
    return;
  }
  level.modes = modes;
}

void WireStack::set_read_only_here(std::vector<StatementRef>& steps) {
  turn_read_only_ = on_turn_;
  Level& level = here();
  if (rules_.rooted && levels_.size() < 2 && !in_savepoint() && !level.queried) {
    level.only_apart = true;
    steps.push_back(step(StatementKind::savepoint, "SAVEPOINT _based_only", "_based_only"));
  }
  steps.push_back(read_only_statement());
}

// False: that is read only as a savepoint which nothing can end.
bool WireStack::end_read_only_here(std::vector<StatementRef>& steps) {
  if (!std::exchange(here().only_apart, false)) return false;
  turn_read_only_ = false;
  steps.push_back(step(StatementKind::release, "RELEASE SAVEPOINT _based_only", "_based_only"));
  return true;
}

// The server refuses to where it is a newer one. The root's own isolation level stays.
void WireStack::reset_mode(const StatementRef& statement, Plan& plan) {
  plan.steps = {statement};
  if (statement->name == "transaction_isolation") {
    plan.steps = {enter_check(), statement, back_to_check(), leave_check()};
  }
  postgres::reset_mode(here().modes, statement->name);
}

// SET TRANSACTION, SET LOCAL, SET CONSTRAINTS. Every isolation level is true where sessions run one
// after another. What is in effect behind a warning, is so for what else is in the same unit.
void WireStack::set_transaction(const StatementRef& statement, bool in_script, Plan& plan) {
  const bool constraints = word_at(statement->text, 1) == "constraints";
  const bool by_name = sql::is_mode_of_transaction(statement->name);  // SET transaction_... = x
  plan.tag = constraints ? "SET CONSTRAINTS" : "SET";
  if (word_at(statement->text, 0) == "reset") plan.tag = "RESET";
  if (failed_) {
    plan.error = aborted();
    return;
  }
  if (levels_.empty() && !in_script) plan.warnings = warnings_outside(*statement);
  if (statement->name == "session characteristics") {
    return set_local_defaults(statement->begin, plan);
  }
  // It would be of the other session's transaction.
  const bool modes = constraints || statement->begin != BeginOptions();
  if (outer_ && modes && !plan.warnings.empty()) return;
  if (by_name && is_default(statement->setting)) return reset_mode(statement, plan);
  if (statement->begin != BeginOptions() && !rules_.inside) return take_modes(*statement, plan);
  if (!rules_.inside && is_withheld(statement->name)) {
    return keep_setting(statement, plan);
  }
  if (constraints && (in_savepoint() || in_nested())) constraints_ = true;
  plan.steps = {statement};  // a snapshot: the server refuses it in a savepoint
  if (levels_.empty() && !statement->name.empty()) local_names_.push_back(statement->name);
}

// They are for transactions that do not begin before they are over, and are shown.
void WireStack::set_local_defaults(const BeginOptions& modes, Plan& plan) {
  for (StatementRef& set : local_defaults(modes)) {
    if (!rules_.inside && is_withheld(set->name)) {
      plan.setting = std::move(set);
      continue;
    }
    if (levels_.empty()) local_names_.push_back(set->name);
    plan.steps.push_back(std::move(set));
  }
}

// What the root has says nothing of what this client has asked for. A set_config of a mode is SET
// TRANSACTION, but for its row.
void WireStack::show(OwnRow row, Plan& plan) {
  plan.tag = row.tag;
  if (failed_) {
    plan.error = aborted();
    return;
  }
  if (row.sets != BeginOptions()) {
    Statement asked;
    asked.begin = row.sets;
    note_snapshot();  // by its SELECT
    take_modes(asked, plan);
  }
  plan.shows = std::move(row);
  if (plan.error) return;
  std::ranges::move(ending_, std::back_inserter(plan.steps));
  plan.modes = here().modes;
}

void WireStack::note_read_only() {
  here().modes.read_only = true;
  turn_read_only_ = on_turn_;
}

void WireStack::reset_all(Plan& plan) const {
  plan.tag = "RESET";
  if (failed_) {
    plan.error = aborted();
  } else {
    plan.steps = {rules_.inside ? reset_all_inside() : reset_all_in_root()};
  }
}

void WireStack::keep_setting(const StatementRef& statement, Plan& plan) const {
  plan.tag = statement->setting.empty() ? "RESET" : "SET";
  const Result<std::string> shown = shown_withheld(statement->name, statement->setting);
  if (failed_) {
    plan.error = aborted();
  } else if (!shown) {
    plan.error = shown.error();
  } else {
    plan.setting = statement;
  }
}

}  // namespace based::postgres
