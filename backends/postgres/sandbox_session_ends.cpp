// SandboxSession's other half: what its transactions end, keep and leave to others.
#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "backends/postgres/check_savepoint.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/sandbox_session.h"
#include "backends/postgres/sandbox_settings.h"

namespace based::postgres {

// What SET LOCAL has set goes with its savepoint, and with the transaction.
void SandboxSession::follow(const Statement& step) {
  if (step.kind == StatementKind::commit) {
    if (outer_) {
      left_.objects = objects_.leave_to_outer();
    } else {
      objects_.committed();
    }
  }
  if (step.kind == StatementKind::rollback) objects_.rolled_back();
  objects_.note_savepoint(step);
  notifications_.done(step, step.kind == StatementKind::rollback ? "ROLLBACK" : "");
  if (step.kind == StatementKind::savepoint) {
    savepoints_.push_back({step.name, local_, modes_});
  } else if (step.kind == StatementKind::set_transaction) {  // read only, as Based itself says it
    modes_.read_only = true;
  } else if (step.kind == StatementKind::commit || step.kind == StatementKind::rollback) {
    local_.clear();
    savepoints_.clear();
  } else if (step.kind == StatementKind::release || step.kind == StatementKind::rollback_to) {
    const auto newest = std::find_if(savepoints_.rbegin(), savepoints_.rend(),
                                     [&step](const Savepoint& s) { return s.name == step.name; });
    if (newest == savepoints_.rend()) return;
    const bool back = step.kind == StatementKind::rollback_to;
    modes_.read_only = newest->modes.read_only;
    if (back) local_ = newest->local;
    if (back) modes_ = newest->modes;
    savepoints_.erase(back ? newest.base() : std::prev(newest.base()), savepoints_.end());
  }
}

void SandboxSession::take_over(LeftToOuter left) {
  objects_.take_over(std::move(left.objects));
  queried_ = queried_ || left.queried;
  constraints_ = constraints_ || left.constraints;
  tainted_ = tainted_ || left.tainted;
  for (ListenJournal::Action& said : left.said) {
    if (said.payload) notifications_.notify(std::move(said.channel), *std::move(said.payload));
  }
}

std::optional<LeftToOuter> SandboxSession::leave_to_outer() {
  if (!outer_) return std::nullopt;
  LeftToOuter left = std::exchange(left_, {});
  left.said = notifications_.take();
  left.queried = queried_;
  left.constraints = constraints_;
  left.tainted = tainted_;
  return left;
}

void SandboxSession::step_over(std::size_t step, std::uint64_t rows) {
  if (step >= sayings_.size()) return;
  objects_.done(*asked_[step]);
  for (const StatementRef& set : made_[step]) {
    const bool local = set->kind == StatementKind::set_transaction && is_withheld(set->name);
    if (local && rows > 0) local_after_[set->name] = set->setting;
  }
  Saying saying = std::exchange(sayings_[step], {});
  if (saying.notify) said_.push_back(*std::move(saying.notify));
  if (rows > 0) std::ranges::move(saying.calls, std::back_inserter(said_));
}

void SandboxSession::done(const Envelope& envelope, bool failed, std::size_t reached) {
  if (failed && first_query_ && *first_query_ >= reached) queried_ = false;
  if (!failed) local_ = local_after_;
  if (failed) objects_.failed();
  for (SaidNotify& said : std::exchange(said_, {})) {
    if (!failed) notifications_.notify(std::move(said.channel), std::move(said.payload));
  }
  for (const StatementRef& step : failed ? envelope.recovery : envelope.epilogue) follow(*step);
}

// Once more, behind the ROLLBACK TO.
void SandboxSession::restore_constraints(Envelope& envelope) const {
  for (std::vector<StatementRef>* steps : {&envelope.epilogue, &envelope.recovery}) {
    const auto end = std::ranges::find_if(
        *steps, [](const StatementRef& s) { return s->kind == StatementKind::rollback; });
    if (end == steps->end()) continue;
    const std::vector<StatementRef> restoring = after_rollback_statements();
    steps->insert(end, restoring.begin(), restoring.end());
  }
}

// Fires deferred constraints while what was set for the transaction is still there. The question
// has a name, which a function of the client's may have dropped: UnitRun then goes back to the
// check's savepoint, and on without the question.
void SandboxSession::add_ending(Envelope& envelope, bool writes) const {
  const auto commit = std::ranges::find_if(
      envelope.epilogue, [](const StatementRef& s) { return s->kind == StatementKind::commit; });
  if (commit == envelope.epilogue.end() || outer_) return;
  std::vector<StatementRef> before;
  if (writes) {
    before = before_commit_statements();
    before.back() = enter_check();
    before.push_back(restore_question());
    before.push_back(leave_check());
    std::ranges::move(objects_.ending(), std::back_inserter(before));
  }
  if (tainted_) before.push_back(reset_all_in_root());
  envelope.epilogue.insert(commit, before.begin(), before.end());
}

}  // namespace based::postgres
