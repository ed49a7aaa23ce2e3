// The WireStack's settings: those of a transaction, and those that a sandbox's client has for
// itself.
#include <string>
#include <utility>

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

std::string_view warned_outside(const Statement& statement) {
  if (statement.kind != StatementKind::set_transaction) return {};
  const std::string what = word_at(statement.text, 1);
  if (word_at(statement.text, 0) == "reset") return {};
  if (what == "constraints") return "SET CONSTRAINTS";
  const bool by_name = sql::is_mode_of_transaction(statement.name);  // SET transaction_... = x
  if (by_name && what != "local") return {};
  const bool modes = what == "transaction" || word_at(statement.text, 2) == "transaction";
  return modes && !by_name ? "SET TRANSACTION" : "SET LOCAL";
}

Error aborted() {
  return Error::make(
      sqlstate::in_failed_sql_transaction,
      "current transaction is aborted, commands ignored until end of transaction block");
}

namespace {

// A level that is not the transaction's own comes too late behind its first query.
std::optional<Error> refuse_isolation(const ModesNow& now, BeginOptions::Isolation asked) {
  if (asked == BeginOptions::Isolation::unset || asked == now.isolation) return std::nullopt;
  if (now.queried) {
    return Error::make(sqlstate::active_sql_transaction,
                       "SET TRANSACTION ISOLATION LEVEL must be called before any query");
  }
  if (!now.inner) return std::nullopt;
  return Error::make(sqlstate::active_sql_transaction,
                     "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction");
}

}  // namespace

std::optional<Error> refuse_modes(const ModesNow& now, const BeginOptions& asked) {
  if (std::optional<Error> error = refuse_isolation(now, asked.isolation)) return error;
  const char* refused = nullptr;
  if (asked.access == BeginOptions::Access::read_write && now.read_only) {
    if (now.queried) refused = "transaction read-write mode must be set before any query";
    if (now.inner)
      refused = "cannot set transaction read-write mode inside a read-only transaction";
  }
  if (refused == nullptr && asked.deferrable != BeginOptions::Deferrable::unset) {
    if (now.queried) refused = "SET TRANSACTION [NOT] DEFERRABLE must be called before any query";
    if (now.inner) {
      refused = "SET TRANSACTION [NOT] DEFERRABLE cannot be called within a subtransaction";
    }
  }
  if (refused == nullptr) return std::nullopt;
  return Error::make(sqlstate::active_sql_transaction, refused);
}

std::optional<Error> WireStack::refuse(const Level& level, const BeginOptions& asked) const {
  const bool unset = level.isolation == BeginOptions::Isolation::unset;
  return refuse_modes({.isolation = unset ? default_isolation_ : level.isolation,
                       .queried = level.queried,
                       .inner = !level.savepoints.empty(),
                       .read_only = level.read_only},
                      asked);
}

// Of the transaction that is open. A savepoint cannot be made read write again: what may have to be
// has read only in another one.
void WireStack::take_modes(const BeginOptions& asked, Plan& plan) {
  Level& level = levels_.back();
  plan.error = refuse(level, asked);
  if (plan.error) return;
  if (asked.isolation != BeginOptions::Isolation::unset) level.isolation = asked.isolation;
  if (asked.access == BeginOptions::Access::read_only) set_read_only_here(plan.steps);
  if (asked.access == BeginOptions::Access::read_write) end_read_only_here(plan.steps);
}

void WireStack::set_read_only_here(std::vector<StatementRef>& steps) {
  turn_read_only_ = on_turn_;
  if (!levels_.empty()) {
    Level& level = levels_.back();
    if (rules_.rooted && levels_.size() == 1 && level.savepoints.empty() && !level.queried &&
        !level.read_only) {
      level.only_apart = true;
      steps.push_back(step(StatementKind::savepoint, "SAVEPOINT _based_only", "_based_only"));
    }
    level.read_only = true;
  }
  steps.push_back(read_only_statement());
}

void WireStack::end_read_only_here(std::vector<StatementRef>& steps) {
  Level& level = levels_.back();
  if (!level.only_apart) return;
  level.only_apart = level.read_only = turn_read_only_ = false;
  steps.push_back(step(StatementKind::release, "RELEASE SAVEPOINT _based_only", "_based_only"));
}

// SET TRANSACTION, SET LOCAL, SET CONSTRAINTS. Every isolation level is true where sessions run one
// after another.
void WireStack::set_transaction(const StatementRef& statement, bool in_script, Plan& plan) {
  const std::string what = word_at(statement->text, 1);
  const bool constraints = what == "constraints";
  const BeginOptions& said = statement->begin;
  const bool by_name = sql::is_mode_of_transaction(statement->name);  // SET transaction_... = x
  const bool modes = what == "transaction" || word_at(statement->text, 2) == "transaction" ||
                     (by_name && (said.isolation != BeginOptions::Isolation::unset ||
                                  said.access != BeginOptions::Access::unset ||
                                  said.deferrable != BeginOptions::Deferrable::unset));
  plan.tag = constraints ? "SET CONSTRAINTS" : "SET";
  if (failed_) {
    plan.error = aborted();
  } else if (word_at(statement->text, 0) == "reset") {
    plan.tag = "RESET";
  } else if (levels_.empty() && !in_script && !warned_outside(*statement).empty()) {
    plan.warning = outside(warned_outside(*statement));
  }
  if (plan.error || plan.tag == "RESET") return;
  // Also behind a warning, as more of the same implicit transaction may follow.
  if (!modes && !rules_.inside && is_withheld(statement->name)) {
    if (!plan.warning) keep_setting(statement, plan);
  } else if (!modes) {
    plan.steps = {statement};
    if (levels_.empty() && !constraints) local_names_.push_back(statement->name);
  } else if (word_at(statement->text, 2) == "snapshot") {
    plan.steps = {statement};    // the server refuses it in a savepoint
  } else if (levels_.empty()) {  // for the rest of the script
    plan.error = refuse({.queried = guard_queried_}, said);
    if (plan.error) return;
    if (said.access == BeginOptions::Access::read_only) set_read_only_here(plan.steps);
  } else {
    take_modes(said, plan);
  }
}

// What the root has says nothing of what this client has asked for.
void WireStack::show(OwnRow row, Plan& plan) {
  plan.tag = row.tag;
  if (failed_) {
    plan.error = aborted();
    return;
  }
  plan.shows = std::move(row);
  plan.steps = std::move(ending_);
  if (!levels_.empty()) plan.isolation = levels_.back().isolation;
}

void WireStack::reset_all(const StatementRef& statement, Plan& plan) const {
  plan.tag = "RESET";
  if (failed_) {
    plan.error = aborted();
  } else {
    plan.steps = {statement, restore_root_settings()};
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
