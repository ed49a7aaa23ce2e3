#include "backends/postgres/wire_stack.h"

#include <utility>

#include "backends/postgres/check_savepoint.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/control.h"
#include "backends/transaction_stack.h"

namespace based::postgres {
namespace {

constexpr const char* turn_name = "_based_turn";

StatementRef enter_named(const std::string& name) {
  return step(StatementKind::savepoint, "SAVEPOINT " + name, name);
}
StatementRef release_named(const std::string& name) {
  return step(StatementKind::release, "RELEASE SAVEPOINT " + name, name);
}

Error no_savepoint(std::string_view name) {
  return Error::make(sqlstate::invalid_savepoint,
                     "savepoint \"" + std::string(name) + "\" does not exist");
}

Error none_in_progress() {
  return Error::make(sqlstate::no_active_sql_transaction, "there is no transaction in progress");
}

// The server is not to tell a second time that the name is cut.
StatementRef with_cut_name(const StatementRef& statement) {
  if (cut_names(*statement).empty()) return statement;
  std::string text = statement->kind == StatementKind::savepoint ? "SAVEPOINT \""
                     : statement->kind == StatementKind::release ? "RELEASE SAVEPOINT \""
                                                                 : "ROLLBACK TO SAVEPOINT \"";
  for (const char c : statement->name) text.append(c == '"' ? 2 : 1, c);
  return step(statement->kind, text + '"', statement->name);
}

bool resets_all(const Statement& statement) {
  return statement.kind == StatementKind::setting && statement.name == "all";
}

// SET and RESET of one that the root must not have.
bool sets_withheld(const Statement& statement) {
  return statement.kind == StatementKind::setting && is_withheld(statement.name);
}

void append(std::vector<StatementRef>& steps, std::vector<StatementRef> more) {
  steps.insert(steps.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
}

}  // namespace

// --- the levels' savepoints

std::string WireStack::name_of(std::size_t level) const {
  return level == 1 && on_turn_ ? turn_name : "_based_t" + std::to_string(level);
}

StatementRef WireStack::enter(std::size_t level) {
  if (level == 1) on_turn_ = false;
  return enter_named(name_of(level));
}

StatementRef WireStack::go_back(std::size_t level) const {
  return step(StatementKind::rollback_to, "ROLLBACK TO SAVEPOINT " + name_of(level),
              name_of(level));
}

// The turn's stays: what comes next in the turn has a savepoint of its own.
std::vector<StatementRef> WireStack::release(std::size_t level) {
  if (level > 1 || !on_turn_) return {release_named(name_of(level))};
  on_turn_ = false;
  renews_turn_ = std::exchange(turn_read_only_, false);
  return {};
}

std::vector<StatementRef> WireStack::undo(std::size_t level) {
  std::vector<StatementRef> steps{go_back(level)};
  if (level == 1) turn_read_only_ = false;
  if (level == 1 && !outer_ && std::exchange(constraints_, false)) {
    append(steps, after_rollback_statements());
  }
  append(steps, release(level));
  return steps;
}

bool WireStack::is_control(const Statement& statement) const {
  if (!rules_.rooted && levels_.size() < 2) {
    return levels_.size() == 1 && !failed_ && statement.kind == StatementKind::begin;
  }
  if (is_transaction_control(statement.kind)) return true;
  switch (statement.kind) {
    case StatementKind::prepare_transaction:
      return true;
    case StatementKind::set_transaction:
      return rules_.rooted;
    case StatementKind::sandbox:
      return rules_.rooted;
    case StatementKind::standalone:
      return rules_.rooted && statement.in_sandbox;
    case StatementKind::discard:
      return rules_.rooted && (statement.name == "all" || statement.name.starts_with("temp"));
    default:
      return rules_.rooted &&
             (is_close_all(statement) || resets_all(statement) ||
              (!rules_.inside && (sets_withheld(statement) || own_row_of(statement))));
  }
}

WireStack::Plan WireStack::plan(const StatementRef& statement, bool in_script,
                                std::vector<StatementRef> ending) {
  Plan plan = planned(statement, in_script, std::move(ending));
  guard_used_ = guard_ran_ = true;
  if (!is_transaction_control(statement->kind) && is_query(*statement)) note_snapshot();
  return plan;
}

WireStack::Plan WireStack::planned(const StatementRef& statement, bool in_script,
                                   std::vector<StatementRef> ending) {
  Plan plan;
  ending_ = std::move(ending);
  switch (statement->kind) {
    case StatementKind::begin:
      begin(*statement, plan);
      break;
    case StatementKind::commit:
      commit(*statement, plan);
      break;
    case StatementKind::rollback:
      roll_back(*statement, plan);
      break;
    case StatementKind::savepoint:
      savepoint(statement, plan);
      break;
    case StatementKind::release:
    case StatementKind::rollback_to:
      named(statement, plan);
      break;
    case StatementKind::set_transaction:
      set_transaction(statement, in_script, plan);
      break;
    case StatementKind::discard:
      discard(*statement, in_script, plan);
      break;
    case StatementKind::prepare_transaction:
      prepare_transaction(statement, in_script, plan);
      break;
    case StatementKind::read:
    case StatementKind::pinning:
      show(*own_row_of(*statement), plan);
      break;
    case StatementKind::setting:
      resets_all(*statement) ? reset_all(plan) : keep_setting(statement, plan);
      break;
    case StatementKind::standalone:
      run_alone(*statement, in_script, plan);
      break;
    default:
      close_all(plan);
      break;
  }
  ending_.clear();
  return plan;
}

void WireStack::begin(const Statement& statement, Plan& plan) {
  plan.tag = word_at(statement.text, 0) == "start" ? "START TRANSACTION" : "BEGIN";
  if (failed_) {
    plan.error = aborted();
    return;
  }
  if (!levels_.empty() && !rules_.nested) return begin_again(statement, plan);
  if (levels_.size() >= rules_.depth_max) {
    plan.error = Error::make(sqlstate::program_limit_exceeded, "too many nested transactions");
    return;
  }
  const bool inner = !levels_.empty();
  if ((outer_ || inner) && statement.begin.isolation != BeginOptions::Isolation::unset) {
    plan.error = Error::make(sqlstate::active_sql_transaction,
                             "a nested transaction cannot have an isolation level of its own")
                     .with_hint("Say it where the outermost one begins.");
    return;
  }
  Level level;
  if (inner) {
    level.modes = level.initial = levels_.back().modes;
  } else if (guarded_) {
    level = unit_;
  }
  const bool was_only = level.modes.read_only;
  const bool was_deferrable = level.modes.deferrable;
  const ModesPlace place{.queried = level.queried};
  plan.error = change_modes(level.modes, modes_asked(statement), place);
  if (outer_) level.modes.deferrable = was_deferrable;
  const bool only = level.modes.read_only;
  if ((inner || outer_) && was_only && !only) plan.error = read_only_around();
  if (plan.error) return;
  levels_.push_back(std::move(level));
  const bool apart = only && on_turn_ && !guard_used_;  // so that its end is that of read only
  if (inner || !guarded_ || apart) plan.steps.push_back(enter(levels_.size()));
  note_guard();
  if (only && !was_only) set_read_only_here(plan.steps);
  if (was_only && !only) end_read_only_here(plan.steps);
}

// The server warns, and sets the modes all the same.
void WireStack::begin_again(const Statement& statement, Plan& plan) {
  plan.warnings.push_back(
      Error::make(sqlstate::active_sql_transaction, "there is already a transaction in progress"));
  if (rules_.rooted) take_modes(statement, plan);
}

void WireStack::commit(const Statement& statement, Plan& plan) {
  if (failed_) return roll_back(statement, plan);
  plan.tag = "COMMIT";
  plan.ends_transaction = true;
  if (levels_.empty()) {
    if (statement.and_chain) {
      plan.error = outside("COMMIT AND CHAIN");
    } else {
      plan.warnings.push_back(none_in_progress());
      plan.steps = let_guard_go(true, std::move(ending_));
    }
    return;
  }
  const std::size_t level = levels_.size();
  if (level == 1 && !outer_) {
    plan.steps = before_commit_statements();
    constraints_ = false;
    append(plan.steps, std::move(ending_));
  }
  append(plan.steps, release(level));
  const Level ended = std::move(levels_.back());
  levels_.pop_back();
  note_guard();
  chain(statement, ended);
}

void WireStack::roll_back(const Statement& statement, Plan& plan) {
  plan.tag = "ROLLBACK";
  plan.ends_transaction = true;
  if (levels_.empty()) {
    if (statement.and_chain) {
      plan.error = outside("ROLLBACK AND CHAIN");
    } else {
      plan.warnings.push_back(none_in_progress());
      if (guarded_) plan.steps = undo(1);
      guarded_ = false;
    }
    return;
  }
  if (lost_) return roll_back_lost(statement);
  const bool failed = std::exchange(failed_, false);
  const std::size_t level = levels_.size();
  plan.steps = undo(level);
  Level ended = std::move(levels_.back());
  levels_.pop_back();
  if (!ended.savepoints.empty()) {
    ended.modes = ended.savepoints.oldest();
  } else if (failed) {
    ended.modes = ended.initial;
  }
  note_guard();
  chain(statement, ended);
}

void WireStack::chain(const Statement& statement, const Level& ended) {
  if (!statement.and_chain) return;
  Level& level = levels_.emplace_back();
  level.modes = level.initial = ended.modes;
  note_guard();
  behind_.push_back(enter(levels_.size()));
  if (ended.modes.read_only) set_read_only_here(behind_);
}

// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED. The first is the transaction's end even
// where it cannot be: a driver sends no ROLLBACK behind it.
void WireStack::prepare_transaction(const StatementRef& statement, bool in_script, Plan& plan) {
  plan.tag = "PREPARE TRANSACTION";
  const bool prepares = word_at(statement->text, 0) == "prepare";
  if (!rules_.rooted) {
    plan.steps = {statement};
    levels_.clear();
  } else if (prepares && (failed_ || (levels_.empty() && !in_script))) {
    commit(*statement, plan);
    plan.tag = "ROLLBACK";  // as the server says where there is nothing to prepare
  } else if (failed_) {
    plan.error = aborted();
  } else {
    plan.error = two_phase_error();
    plan.ends_transaction = prepares;
  }
}

void WireStack::savepoint(const StatementRef& statement, Plan& plan) {
  plan.tag = "SAVEPOINT";
  if (levels_.empty()) {
    plan.error = outside("SAVEPOINT");
  } else if (failed_) {
    plan.error = aborted();
  } else if (statement->name.starts_with("_based_")) {
    plan.error = Error::make(Sqlstate("42939"), "savepoints called _based_... are Based's own");
  } else {
    plan.steps = {with_cut_name(statement)};
    levels_.back().savepoints.add(statement->name, levels_.back().modes);
  }
}

// RELEASE and ROLLBACK TO: the newest savepoint of that name in this level. What is read only ends
// with it either way, the other modes by ROLLBACK TO alone.
void WireStack::named(const StatementRef& statement, Plan& plan) {
  const bool releases = statement->kind == StatementKind::release;
  plan.tag = releases ? "RELEASE" : "ROLLBACK";
  if (levels_.empty()) {
    plan.error = outside(releases ? "RELEASE SAVEPOINT" : "ROLLBACK TO SAVEPOINT");
    return;
  }
  if (failed_ && releases) {
    plan.error = aborted();
    return;
  }
  Savepoints<TransactionModes>& savepoints = levels_.back().savepoints;
  const TransactionModes* found = savepoints.find(statement->name);
  if (found == nullptr) {
    plan.error = no_savepoint(statement->name);
    return;
  }
  TransactionModes& modes = levels_.back().modes;
  modes.read_only = found->read_only;
  if (!releases) modes = *found;
  releases ? savepoints.release(statement->name) : savepoints.go_back_to(statement->name);
  failed_ = false;
  plan.steps = {with_cut_name(statement)};
}

WireStack::Plan WireStack::guard(bool turn_begins, const TransactionModes& defaults) {
  guarded_ = true;
  guard_used_ = guard_ran_ = false;
  unit_ = {.modes = defaults, .initial = defaults};
  if (outer_) {
    unit_.modes = unit_.initial = outer_->modes;
    unit_.queried = outer_->queried;
  }
  on_turn_ = turn_begins && !defaults.read_only;
  turn_read_only_ = false;
  local_names_.clear();
  if (on_turn_) return {.made = {enter_named(turn_name)}};
  Plan plan{.steps = {enter(1)}};
  if (defaults.read_only && !outer_) set_read_only_here(plan.steps);
  return plan;
}

bool WireStack::goes_freely(bool wrote) const {
  return guarded_ && levels_.empty() && on_turn_ && !turn_read_only_ && !wrote && !cursors_ &&
         local_names_.empty();
}

std::vector<StatementRef> WireStack::let_guard_go(bool wrote, std::vector<StatementRef> ending) {
  if (!guarded_ || !levels_.empty()) return {};
  guarded_ = false;
  const bool cursors = std::exchange(cursors_, false);
  std::vector<StatementRef> steps;
  if ((wrote || cursors) && !outer_) steps = before_commit_statements();
  append(steps, std::move(ending));
  append(steps, release(1));
  return steps;
}

bool WireStack::note_executed(const StatementRef& statement) {
  const bool ends =
      statement->kind == StatementKind::commit || statement->kind == StatementKind::rollback;
  const bool begins = statement->kind == StatementKind::begin && levels_.empty();
  const bool fails = failed_ || (ends && statement->and_chain && levels_.empty());
  if (!fails && (begins || ends)) executed_ = statement;
  return !fails && ends;
}

StatementRef WireStack::executed_end() const {
  return executed_ && executed_->kind != StatementKind::begin ? executed_ : nullptr;
}

// What an EXECUTE has begun, or ended, goes with an error behind it.
std::vector<StatementRef> WireStack::recover(bool ending) {
  take_behind();
  ending = ending || executed_;
  executed_.reset();
  const std::size_t level = levels_.size();
  if (ending && (level > 1 || (level > 0 && rules_.rooted))) {
    levels_.pop_back();
    note_guard();
    failed_ = false;
    return undo(level);
  }
  if (level > 0) {
    failed_ = true;
    if (!is_hopeless()) return {};
    guarded_ = false;
    return undo(1);
  }
  if (!guarded_) return {};
  guarded_ = false;
  return undo(1);
}

std::vector<StatementRef> WireStack::take_behind() {
  renews_turn_ = false;
  return std::exchange(behind_, {});
}

std::vector<StatementRef> WireStack::undo_check(bool over) const {
  if (failed_) return {};
  if (levels_.empty()) return guarded_ ? std::vector{go_back(1)} : std::vector<StatementRef>();
  std::vector<StatementRef> steps{back_to_check()};
  if (over) steps.push_back(leave_check());
  return steps;
}

char WireStack::status() const { return levels_.empty() ? 'I' : failed_ ? 'E' : 'T'; }

}  // namespace based::postgres
