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
  if (purpose == UnitPurpose::sandbox) return sandbox_done(outcome);
  if (run_->cancelled && run_->dropped && !outcome.error && !run_->own_error) {
    run_->own_error = Error::make(sqlstate::query_canceled, "cancelled by the client");
    run_->own_error_item = run_->steps[run_->group_end - 1].item;
  }
  if (outcome.error || run_->own_error) return steps_failed(outcome);
  steps_succeeded(outcome);
}

void Session::entering_done(const UnitOutcome& outcome) {
  entering_ = false;
  const bool open = outcome.transaction == TransactionStatus::open;
  if (outcome.error) {
    note_failure(outcome, *outcome.error);
  } else if (open) {
    stack_.entered();
  } else {
    abort_transaction(ended_by_itself());
  }
  // What has failed, and is still to come, comes with the client's next statement.
  backend_->rest(resting() == Resting::pending ? Resting::sound : resting());
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
  const bool ours = run_->own_error.has_value();
  Error error = ours ? std::move(*run_->own_error) : std::move(*outcome.error);
  // The database has done it all the same.
  if (ours && !outcome.error) error.executed = Executed::yes;
  const bool in_step = !ours && outcome.phase == UnitPhase::step;
  std::size_t failed = run_->group_begin;
  if (in_step) failed = std::min(run_->group_begin + outcome.step, run_->group_end - 1);
  if (outcome.phase == UnitPhase::epilogue) failed = run_->group_end - 1;
  const PlannedStep& step = run_->steps[failed];
  if (in_step && error.position) error.position = step.statement->client_offset(*error.position);
  if (!in_step) error.position.reset();
  const std::uint32_t item = ours ? run_->own_error_item : step.item;
  note_failure(outcome, error);
  if (error.scope == ErrorScope::statement && stack_.state() == StackState::aborted) {
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
  const bool open = outcome.transaction == TransactionStatus::open ||
                    outcome.transaction == TransactionStatus::failed;
  if (run_ != nullptr && run_->guarded) profile_ = run_->profile_before;
  if (stack_.empty()) {
    if (open) reset_backend();
    return;
  }
  if (stack_.state() == StackState::aborted) return;
  if (outcome.transaction == TransactionStatus::lost) return abort_transaction(error);
  const UnitPhase phase = outcome.error ? outcome.phase : UnitPhase::step;
  // A sandbox's only level: its recovery has rolled it back, so that others have their turn.
  const bool left = outcome.transaction == TransactionStatus::idle && outcome.error &&
                    stack_.rules().frees_failed && stack_.depth() == 1 &&
                    (phase == UnitPhase::step || phase == UnitPhase::epilogue);
  if (left) {
    stack_.entered();
    stack_.fail();
    return stack_.left();
  }
  if (!open) {
    // Where nothing had been entered, and BEGIN itself was refused, all is still to come.
    const bool untouched = phase == UnitPhase::queue || phase == UnitPhase::prologue;
    if (untouched && stack_.entered_depth() == 0) return;
    return abort_transaction(error);
  }
  switch (phase) {
    case UnitPhase::queue:
      return;
    case UnitPhase::prologue:
      // What the prologue had opened is gone again. PostgreSQL fails what it could not open it in.
      if (outcome.transaction == TransactionStatus::open) return;
      if (stack_.entered_depth() == 0) return reset_backend();
      return stack_.fail_entered();
    case UnitPhase::recovery:
      // Nobody knows how many of its levels there are.
      reset_backend();
      return abort_transaction(error);
    case UnitPhase::step:
    case UnitPhase::epilogue:
    case UnitPhase::done:
      stack_.entered();
      const bool undone =
          run_ != nullptr && run_->guarded && outcome.transaction == TransactionStatus::open;
      if (!undone || !outcome.error) stack_.fail();
  }
}

namespace {

// SET SESSION CHARACTERISTICS has no SET name TO value, but its modes have.
void set_characteristics(const BeginOptions& modes, Profile& profile) {
  using Isolation = BeginOptions::Isolation;
  switch (modes.isolation) {
    case Isolation::unset:
      break;
    case Isolation::read_uncommitted:
      profile.settings["default_transaction_isolation"] = "'read uncommitted'";
      break;
    case Isolation::read_committed:
      profile.settings["default_transaction_isolation"] = "'read committed'";
      break;
    case Isolation::repeatable_read:
      profile.settings["default_transaction_isolation"] = "'repeatable read'";
      break;
    case Isolation::serializable:
      profile.settings["default_transaction_isolation"] = "'serializable'";
      break;
  }
  if (modes.access != BeginOptions::Access::unset) {
    profile.settings["default_transaction_read_only"] =
        modes.access == BeginOptions::Access::read_only ? "on" : "off";
  }
  if (modes.deferrable != BeginOptions::Deferrable::unset) {
    profile.settings["default_transaction_deferrable"] =
        modes.deferrable == BeginOptions::Deferrable::deferrable ? "on" : "off";
  }
}

}  // namespace

// What a statement's success means for the session itself.
void Session::apply_effects(const Statement& statement) {
  if (statement.kind == StatementKind::pinning) pinned_ = true;
  if (statement.kind == StatementKind::discard && statement.name == "all") {
    profile_.reset();
    pinned_ = false;
    return;
  }
  if (statement.kind != StatementKind::setting) return;
  auto profile = std::make_shared<Profile>();
  if (profile_ != nullptr) *profile = *profile_;
  if (statement.name == "session characteristics") {
    set_characteristics(statement.begin, *profile);
  } else if (!statement.setting.empty()) {
    profile->settings[statement.name] = statement.setting;
  } else if (statement.name == "all") {
    profile->settings.clear();
  } else {
    profile->settings.erase(statement.name);
  }
  profile_ = profile->settings.empty() ? nullptr : std::move(profile);
}

void Session::ending_done(UnitOutcome& outcome) {
  const LevelsEnd& ending = run_->ending;
  const bool whole = ending.depth == 0;
  const bool alive = outcome.transaction == TransactionStatus::open ||
                     outcome.transaction == TransactionStatus::failed;
  if (!outcome.error) {
    if (whole && alive) reset_backend();  // what is open then is nobody's
    if (whole || alive) return complete_ending();
    const Error error = ended_by_itself();
    abort_transaction(error);
    return finish_ending_error(error);
  }
  if (whole && ending.kind != LevelsEnd::Kind::commit) {
    // What is gone is rolled back, too.
    reset_backend();
    return complete_ending();
  }
  Error error = std::move(*outcome.error);
  error.position.reset();
  // A COMMIT that never left the queue may be sent again, unless there is nothing to commit.
  if (outcome.phase != UnitPhase::queue || !alive) {
    error.scope = ErrorScope::transaction;
    failed_ending(outcome, error);
  }
  finish_ending_error(error);
}

void Session::finish_ending_error(const Error& error) {
  if (run_->header.type == MessageType::close) closed_ = true;
  const bool is_step = run_->next < run_->steps.size();
  finish_error(error, is_step ? std::optional(run_->steps[run_->next].item) : std::nullopt);
}

// An end of the levels, or of some, that the database refused or never came to.
void Session::failed_ending(const UnitOutcome& outcome, const Error& error) {
  const LevelsEnd& ending = run_->ending;
  const bool whole = ending.depth == 0;
  const bool alive = outcome.transaction == TransactionStatus::open ||
                     outcome.transaction == TransactionStatus::failed;
  const bool recovered = outcome.transaction == TransactionStatus::open &&
                         outcome.phase == UnitPhase::epilogue &&
                         ending.kind == LevelsEnd::Kind::commit;
  if (alive && (whole || !recovered)) reset_backend();
  if (!whole && !recovered) return abort_transaction(error);
  // A commit that failed has rolled its levels back, by itself or by the envelope's recovery.
  LevelsEnd rolled_back = ending;
  rolled_back.kind = LevelsEnd::Kind::rollback;
  rolled_back.profile = stack_.levels()[rolled_back.depth].profile;
  end_levels(rolled_back);
}

}  // namespace based::native
