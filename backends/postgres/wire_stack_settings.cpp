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

Error aborted() {
  return Error::make(
      sqlstate::in_failed_sql_transaction,
      "current transaction is aborted, commands ignored until end of transaction block");
}

// A level that is not the transaction's own comes too late behind its first query.
std::optional<Error> WireStack::refuse_isolation(const Level& level,
                                                 BeginOptions::Isolation asked) const {
  using Isolation = BeginOptions::Isolation;
  const Isolation now = level.isolation == Isolation::unset ? default_isolation_ : level.isolation;
  if (asked == Isolation::unset || asked == now) return std::nullopt;
  if (level.queried) {
    return Error::make(sqlstate::active_sql_transaction,
                       "SET TRANSACTION ISOLATION LEVEL must be called before any query");
  }
  if (level.savepoints.empty()) return std::nullopt;
  return Error::make(sqlstate::active_sql_transaction,
                     "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction");
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
  } else if (levels_.empty() && !in_script && !by_name) {
    plan.warning = outside(constraints ? "SET CONSTRAINTS"
                           : modes     ? "SET TRANSACTION"
                                       : "SET LOCAL");
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
    if (said.access == BeginOptions::Access::read_only) plan.steps = {set_read_only_here()};
  } else {
    plan.error = refuse_isolation(levels_.back(), said.isolation);
    if (plan.error) return;
    if (said.isolation != BeginOptions::Isolation::unset) {
      levels_.back().isolation = said.isolation;
    }
    if (said.access == BeginOptions::Access::read_only) {
      levels_.back().read_only = true;
      plan.steps = {set_read_only_here()};
    }
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
