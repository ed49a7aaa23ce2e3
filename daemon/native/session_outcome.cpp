// What a unit has come to: results, the stack's state, and the comparison of both with the
// database's own word.
#include <algorithm>
#include <utility>

#include "daemon/native/native_session.h"

namespace based::native {
namespace {

Error ended_by_itself() {
  return Error::make(sqlstate::invalid_transaction_state,
                     "the database has ended the transaction by itself")
      .with_scope(ErrorScope::transaction)
      .with_executed(Executed::yes);
}

}  // namespace

void Session::process(UnitOutcome outcome) {
  const UnitPurpose purpose = run_->purpose;
  run_->purpose = UnitPurpose::none;
  run_->paused = false;
  if (purpose == UnitPurpose::ending) return ending_done(outcome);
  if (outcome.error || run_->own_error) return steps_failed(outcome);
  steps_succeeded(outcome);
}

void Session::steps_succeeded(const UnitOutcome& outcome) {
  if (!stack_.empty()) {
    stack_.entered();
    if (outcome.transaction == TransactionStatus::failed) stack_.fail();
    if (outcome.transaction == TransactionStatus::idle ||
        outcome.transaction == TransactionStatus::lost) {
      const Error error = ended_by_itself();
      abort_transaction(error);
      return finish_error(error, run_->steps[run_->group_begin].item);
    }
  } else if (outcome.transaction != TransactionStatus::idle) {
    // The text opened a transaction that our reading of it did not see.
    reset_backend();
    return finish_error(Error::make(sqlstate::invalid_transaction_state,
                                    "the statement left a transaction open, it was rolled back")
                            .with_scope(ErrorScope::transaction),
                        run_->steps[run_->group_begin].item);
  }
  advance();
}

void Session::steps_failed(UnitOutcome& outcome) {
  Error error = run_->own_error ? std::move(*run_->own_error) : std::move(*outcome.error);
  const bool in_step = outcome.error && outcome.phase == UnitPhase::step;
  const std::size_t failed = run_->group_begin + (in_step ? outcome.step : 0);
  const PlannedStep& step = run_->steps[std::min(failed, run_->group_end - 1)];
  if (in_step && error.position) error.position = step.statement->client_offset(*error.position);
  if (!in_step) error.position.reset();
  const std::uint32_t item = step.item;
  note_failure(outcome, error);
  if (error.scope == ErrorScope::statement && outcome.transaction == TransactionStatus::lost &&
      !stack_.empty()) {
    error.scope = ErrorScope::transaction;
  }
  if (run_->stop || run_->cancelled || stack_.state() == StackState::aborted) {
    return finish_error(error, item);
  }
  run_->own_error.reset();
  run_->items[item].error = std::make_unique<Error>(std::move(error));
  while (run_->next < run_->steps.size() && run_->steps[run_->next].item == item) ++run_->next;
  advance();
}

// The stack after a unit that failed. What the database never saw changes nothing.
void Session::note_failure(const UnitOutcome& outcome, const Error& error) {
  if (stack_.empty()) {
    const bool open = outcome.transaction == TransactionStatus::open ||
                      outcome.transaction == TransactionStatus::failed;
    if (open) reset_backend();
    return;
  }
  if (outcome.error && outcome.phase == UnitPhase::queue) return;
  switch (outcome.transaction) {
    case TransactionStatus::lost:
      return abort_transaction(error);
    case TransactionStatus::idle:
      if (stack_.entered_depth() > 0) return abort_transaction(error);
      return stack_.fail();  // BEGIN itself failed: nothing is open
    case TransactionStatus::open:
    case TransactionStatus::failed:
      stack_.entered();
      if (run_->guarded && outcome.transaction == TransactionStatus::open)
        return;  // undone by itself
      return stack_.fail();
  }
}

// What a statement's success means for the session itself.
void Session::apply_effects(const Statement& statement) {
  if (statement.kind == StatementKind::pinning) pinned_ = true;
  const bool reset_all = statement.name == "all" &&
                         (statement.kind == StatementKind::discard || statement.setting.empty());
  if (statement.kind == StatementKind::discard && statement.name == "all") {
    profile_.reset();
    pinned_ = false;
    return;
  }
  if (statement.kind != StatementKind::setting) return;
  auto profile = std::make_shared<Profile>();
  if (profile_ != nullptr) *profile = *profile_;
  if (reset_all) {
    profile->settings.clear();
  } else if (statement.setting.empty()) {
    profile->settings.erase(statement.name);
  } else {
    profile->settings[statement.name] = statement.setting;
  }
  profile_ = profile->settings.empty() ? nullptr : std::move(profile);
}

void Session::ending_done(UnitOutcome& outcome) {
  const LevelsEnd& ending = run_->ending;
  const bool whole = ending.depth == 0;
  const bool alive = outcome.transaction == TransactionStatus::open ||
                     outcome.transaction == TransactionStatus::failed;
  if (!outcome.error) {
    if (whole || alive) return complete_ending();
    const Error error = ended_by_itself();
    abort_transaction(error);
    return finish_error(error);
  }
  Error error = std::move(*outcome.error);
  error.position.reset();
  if (whole && ending.kind != LevelsEnd::Kind::commit) {
    // What is gone is rolled back, too.
    reset_backend();
    return complete_ending();
  }
  if (outcome.phase != UnitPhase::queue) {
    error.scope = ErrorScope::transaction;
    failed_ending(outcome.transaction, error);
  }
  if (run_->header.type == MessageType::close) closed_ = true;
  const bool is_step = run_->next < run_->steps.size();
  finish_error(error, is_step ? std::optional(run_->steps[run_->next].item) : std::nullopt);
}

// A commit that failed has rolled its levels back, by itself or by the envelope's recovery.
void Session::failed_ending(TransactionStatus transaction, const Error& error) {
  LevelsEnd rolled_back = run_->ending;
  rolled_back.kind = LevelsEnd::Kind::rollback;
  rolled_back.profile = stack_.levels()[rolled_back.depth].profile;
  const bool alive =
      transaction == TransactionStatus::open || transaction == TransactionStatus::failed;
  if (rolled_back.depth == 0) {
    if (alive) reset_backend();
    return end_levels(rolled_back);
  }
  if (transaction == TransactionStatus::open) return end_levels(rolled_back);
  if (transaction == TransactionStatus::failed) return stack_.fail();
  abort_transaction(error);
}

}  // namespace based::native
