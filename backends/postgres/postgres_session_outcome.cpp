// How a unit of PostgresSession ends: its outcome, and what a lost link means.
#include <cstdint>
#include <utility>

#include "backends/postgres/postgres_session.h"
#include "backends/postgres/sandbox_rules.h"

namespace based::postgres {
namespace {

TransactionStatus plain_status(char status) {
  return status == 'I'   ? TransactionStatus::idle
         : status == 'T' ? TransactionStatus::open
                         : TransactionStatus::failed;
}

// How many steps of a failed unit may have had a snapshot: not the one that could not be parsed.
std::size_t reached_by(const UnitOutcome& outcome) {
  if (outcome.phase == UnitPhase::prologue) return 0;
  if (!outcome.error || outcome.phase != UnitPhase::step) return SIZE_MAX;
  return outcome.step + (outcome.error->sqlstate == sqlstate::syntax_error ? 0 : 1);
}

}  // namespace

// Tells the outcome; what the link says of the transaction is added here. The last thing done.
void PostgresSession::finish(UnitOutcome outcome) {
  // What was never sent has changed nothing.
  const bool unsent = outcome.error && outcome.phase == UnitPhase::queue;
  if (outcome.error) note_failure_in_log(outcome);
  const bool keep_lease = unsent ? held_before_ : run_->unit().keep_lease;
  transition(State::idle);
  if (link_ == nullptr && held_before_ && unsent) {
    outcome.transaction = parked_ ? TransactionStatus::open : TransactionStatus::lost;
    outcome.lease_held = parked_;
    if (parked_) {
      transition(State::resting);
      if (rest_most() > Duration::zero()) arm(rest_most());
    }
  }
  if (context_.rooted && run_ && !unsent) {
    sandbox_.done(run_->unit().envelope, outcome.error.has_value(), reached_by(outcome));
    notify();
  }
  if (link_ != nullptr && context_.joins && !unsent) note_savepoints(outcome.error.has_value());
  if (link_ != nullptr) {
    const char status = link_->status();
    if (run_->discarded_all() && status == 'I') unpin();
    outcome.transaction = plain_status(status);
    // After a BEGIN that was refused, too, there is nothing left to hold it for.
    const bool ended = outcome.error && !unsent && status == 'I';
    bool keep = (keep_lease && !ended) || pinned_ || status != 'I';
    if (rooted()) {
      const bool left = outcome.error && !unsent && status == 'T' && left_at_failure();
      // Its first savepoint was not made: there is nothing of it to go back to.
      const bool unmade = outcome.error && !unsent && !held_before_ && status == 'E' &&
                          outcome.phase == UnitPhase::prologue && outcome.step == 0;
      keep = keep_lease && status != 'I' && !left && !unmade;
      if (status == 'I') outcome.transaction = TransactionStatus::lost;
      if (status != 'I' && !keep) outcome.transaction = TransactionStatus::idle;
    }
    outcome.lease_held = keep;
    if (keep) {
      if (status == 'I') transaction_due_ = TimePoint();
      transition(State::resting);
      if (rest_most() > Duration::zero()) arm(rest_most());
      context_.leases.note_rest();
    } else {
      transaction_due_ = TimePoint();
      const bool clean = !rooted() || status == 'T';
      let_go(clean ? Leaving::finished : Leaving::abandoned);
    }
  }
  if (outcome.error) {
    const Sqlstate code = outcome.error->sqlstate;
    if (outcome.phase != UnitPhase::queue) {
      std::string& detail = outcome.error->detail;
      const std::string more = waited_for(code.text(), detail, context_.leases, context_.siblings);
      if (!more.empty()) detail.append(detail.empty() ? "" : " ").append(more);
    }
    if (const std::string_view more = sandbox_hint(code.text()); context_.rooted && !more.empty()) {
      std::string& hint = outcome.error->hint;
      hint.append(hint.empty() ? "" : " ").append(more);
    }
    const bool conflict =
        code == sqlstate::serialization_failure || code == sqlstate::deadlock_detected;
    if (conflict && outcome.transaction == TransactionStatus::idle && status_before_ == 'I') {
      outcome.error->retryable = true;
    }
  }
  const std::unique_ptr<UnitRun> finished = std::move(run_);
  finished->unit().sink->on_done(std::move(outcome));
}

void PostgresSession::rest(Resting how) {
  context_.leases.note_begun(*this, how == Resting::pending);
}

void PostgresSession::on_enter_due() {
  if (state_ == State::idle || state_ == State::resting) listener_.on_enter_due();
}

void PostgresSession::on_rested_too_long() {
  const bool over = transaction_due_ != TimePoint() && context_.reactor.now() >= transaction_due_;
  const bool pinned_only = link_ != nullptr && link_->status() == 'I';
  let_go(Leaving::abandoned);
  transition(State::idle);
  if (pinned_only) {
    return listener_.on_lease_lost(
        Error::make(Sqlstate("57P05"),
                    "the session was idle for too long: what it had on its "
                    "connection to PostgreSQL is gone")
            .with_hint("Raise idle_while_pinned."));
  }
  listener_.on_lease_lost(
      Error::make(sqlstate::idle_in_transaction_session_timeout,
                  over ? "the transaction has reached the time limit"
                       : "the transaction was rolled back: it was idle for too long")
          .with_scope(ErrorScope::transaction));
}

void PostgresSession::take_over(LeftToOuter left) { sandbox_.take_over(std::move(left)); }

// Of what has committed, the clients that listen in the sandbox hear.
void PostgresSession::notify() {
  if (std::optional<LeftToOuter> left = sandbox_.leave_to_outer()) {
    LeaseWaiter* outer = context_.leases.outer();
    if (outer != nullptr) outer->take_over(*std::move(left));
    return;
  }
  const std::vector<ListenJournal::Action> said = sandbox_.take_notifications();
  if (link_ == nullptr || context_.channels == nullptr) return;
  const auto process = static_cast<std::uint32_t>(link_->process_id());
  for (const ListenJournal::Action& action : said) {
    if (action.payload) context_.channels->publish(process, action.channel, *action.payload);
  }
}

// Near enough where the prologue itself has failed: what it opened is gone again.
void PostgresSession::note_savepoints(bool failed) const {
  const Envelope& envelope = run_->unit().envelope;
  if (failed && run_->phase() == UnitPhase::prologue) return;
  for (const StatementRef& step : envelope.prologue) context_.leases.note_savepoint(*step);
  const auto& ending = failed ? envelope.recovery : envelope.epilogue;
  for (const StatementRef& step : ending) context_.leases.note_savepoint(*step);
}

// Has the recovery of what has failed ended the client's transaction?
bool PostgresSession::left_at_failure() const {
  const std::vector<StatementRef>& recovery = run_->unit().envelope.recovery;
  return group_ == State::recovering && run_->phase() != UnitPhase::prologue &&
         run_->unit().keep_lease && !recovery.empty() &&
         recovery.back()->kind == StatementKind::rollback;
}

const Error* PostgresSession::refused(std::size_t step) const {
  if (refused_) return &*refused_;  // it is the only one
  return context_.rooted ? sandbox_.refused(step) : nullptr;
}

// How long the lease may rest; zero: for ever.
Duration PostgresSession::rest_most() const {
  if (link_ != nullptr && link_->status() == 'I') return context_.pins.idle;
  const std::optional<std::chrono::milliseconds> client =
      context_.rooted ? sandbox_.idle_in_transaction() : std::nullopt;
  const Duration own = client ? Duration(*client) : options_.idle_in_transaction;
  return time_left(own > Duration::zero() ? own : context_.idle_in_transaction);
}

void PostgresSession::note_in_log(std::size_t step, std::uint64_t rows, const Error* error) {
  const Unit& unit = run_->unit();
  if (context_.ran == nullptr || step >= unit.steps.size() || unit.steps[step].describe) return;
  const TimePoint now = context_.reactor.now();
  const Statement* asked = sandbox_.asked(step);
  if (asked == nullptr) asked = unit.steps[step].statement.get();
  SandboxLogEntry entry{.session = options_.session_id,
                        .client = options_.client,
                        .statement = std::string(asked->words()),
                        .duration = now - std::exchange(since_, now),
                        .rows = rows,
                        .level = unit.keep_lease ? 1U : 0U};
  if (error != nullptr) {
    entry.sqlstate = error->sqlstate.text();
    entry.error = error->message;
  }
  context_.ran->add(std::move(entry));
}

// What ends a unit belongs to the last of its steps, and that is in the log already.
void PostgresSession::note_failure_in_log(const UnitOutcome& outcome) {
  const std::size_t steps = run_->unit().steps.size();
  if (outcome.phase != UnitPhase::epilogue) {
    const bool ran = outcome.phase == UnitPhase::step;
    return note_in_log(ran ? outcome.step : 0, 0, &*outcome.error);
  }
  if (context_.ran == nullptr || steps == 0 || run_->unit().steps[steps - 1].describe) return;
  context_.ran->fail_last(options_.session_id, outcome.error->sqlstate.text(),
                          outcome.error->message);
}

void PostgresSession::on_link_lost(const Error& reason) {
  link_ = nullptr;
  if (context_.rooted) losses_seen_ = context_.leases.losses() + 1;  // it hears of this one now
  lose(reason);
}

void PostgresSession::on_lease_revoked(const Error& reason) {
  parked_ = false;
  losses_seen_ = context_.leases.losses();  // it hears of it now
  let_go(Leaving::abandoned);
  if (state_ != State::resting) return lose(reason);
  transition(State::idle);
  listener_.on_lease_lost(reason);
}

// What the session did on its link is gone.
void PostgresSession::lose(const Error& reason) {
  unpin();
  if (state_ == State::resting) {
    transition(State::idle);
    Error lost = lost_error(reason);
    listener_.on_lease_lost(lost);
    return;
  }
  if (state_ == State::failing) return;  // its unit was never sent; it hears its own error
  const char rest = rooted() ? 'T' : 'I';
  const bool had_transaction = status_before_ != rest;
  if (state_ == State::synchronising && !had_transaction && !rooted() && !retried_ &&
      !run_->cancelled()) {
    retried_ = true;  // nothing was done yet
    return acquire();
  }
  UnitOutcome outcome;
  outcome.error = lost_error(reason);
  outcome.phase = state_ == State::synchronising ? UnitPhase::queue : UnitPhase::step;
  if (state_ != State::synchronising && run_->error()) {
    outcome.phase = run_->phase();
    outcome.step = run_->step();
  }
  const bool lost = had_transaction || rooted() || run_->unit().keep_lease;
  outcome.transaction = lost ? TransactionStatus::lost : TransactionStatus::idle;
  finish(std::move(outcome));
}

std::optional<TimePoint> PostgresSession::rests_since() const {
  if (state_ == State::running) return link_->paused_since();  // its client does not read
  if (state_ != State::resting || !link_->quiet()) return std::nullopt;
  return link_->ready_at();
}

Error PostgresSession::lost_error(const Error& reason) const {
  Error error = reason;
  // A reset, or its turn was taken away: nothing is in doubt.
  if (error.sqlstate == sqlstate::serialization_failure) return error;
  if (error.scope == ErrorScope::transaction) return error;
  if (error.sqlstate.klass() != "08") {
    error.detail =
        "The server said: " + reason.message + " (" + std::string(reason.sqlstate.text()) + ")";
    error.message = "the connection to PostgreSQL was lost: " + reason.message;
    error.sqlstate = sqlstate::connection_failure;
  }
  error.scope = ErrorScope::transaction;
  error.executed = Executed::no;
  if (state_ == State::resting || state_ == State::synchronising || !run_) return error;
  if (run_->error() && !run_->fatal()) return *run_->error();  // it was lost after the answer
  if (run_->commit_unanswered()) {
    error.sqlstate = sqlstate::transaction_resolution_unknown;
    error.message += "; whether the transaction was committed is not known";
    error.executed = Executed::unknown;
  } else if (!run_->error() || run_->error()->executed != Executed::no) {
    error.executed = Executed::unknown;
  }
  if (run_->cancelled() && !run_->fatal()) {
    error.sqlstate = sqlstate::query_canceled;
    error.message = "the request was cancelled, and " + error.message;
  }
  return error;
}

}  // namespace based::postgres
