#include "backends/postgres/postgres_session.h"

#include <algorithm>
#include <utility>

#include "backends/postgres/nested_envelope.h"
#include "backends/postgres/parameters.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/session_limits.h"
#include "backends/postgres/startup_settings.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/control.h"
#include "protocol/check.h"

namespace based::postgres {
namespace {

constexpr std::string_view timeout_reason = "canceling statement due to statement timeout";

constexpr bool is_edge(PostgresSession::State from, PostgresSession::State to) {
  using enum PostgresSession::State;
  switch (from) {
    case idle:
    case resting:
      return to == waiting || to == synchronising || to == running || to == failing || to == idle;
    case waiting:
      return to == synchronising || to == running || to == failing || to == idle;
    case synchronising:  // back to waiting where its link was lost before anything was done
      return to == running || to == waiting || to == failing || to == idle;
    case running:
    case settling:
      return to == settling || to == recovering || to == running || to == idle;
    case recovering:
      return to == settling || to == running || to == idle;
    case failing:
      return to == idle;
  }
  return false;
}
static_assert(!is_edge(PostgresSession::State::waiting, PostgresSession::State::resting));

// The lower limit of the two; zero: none.
Duration shorter(Duration one, std::optional<std::chrono::milliseconds> other) {
  if (!other) return one;
  return one > Duration::zero() ? std::min<Duration>(one, *other) : Duration(*other);
}

// The statement that makes this unit's session keep its link.
std::string pinning_text(const Unit& unit) {
  const auto pinning = std::ranges::find_if(
      unit.steps, [](const auto& step) { return step.statement->kind == StatementKind::pinning; });
  return pinning == unit.steps.end() ? "" : pinning->statement->text;
}

std::optional<Error> refuse_settings_of(const Unit& unit, const Settings& settings) {
  std::vector<StatementRef> setting;
  for (const Step& step : unit.steps) {
    if (step.statement->kind == StatementKind::setting) setting.push_back(step.statement);
  }
  std::optional<Error> error = refuse_settings(settings, setting);
  if (error) error->executed = Executed::no;
  return error;
}

}  // namespace

PostgresSession::PostgresSession(SessionContext& context, SessionOptions options,
                                 SessionListener& listener)
    : LeaseWaiter(context.leases.logins_changed()),
      context_(context),
      options_(std::move(options)),
      listener_(listener),
      part_(options_.owner, context.waits, options_.session_id, *this),
      sandbox_(options_.read_only, context.objects),
      losses_seen_(context.leases.losses()) {
  adopt_settings();
}

PostgresSession::~PostgresSession() {
  if (state_ == State::waiting) context_.leases.withdraw(*this);
  const bool unanswered = run_ && link_ != nullptr && !link_->quiet();
  let_go(Leaving::abandoned);
  sandbox_.leave(unanswered);
}

void PostgresSession::let_go(Leaving leaving) {
  unpin();
  context_.leases.note_begun(*this, false);
  if (std::exchange(parked_, false)) context_.leases.abandon(*this);
  if (link_ == nullptr) return;
  Link& link = *std::exchange(link_, nullptr);
  if (run_) {
    if (!link.quiet()) run_->doubt_settings(link.settings());
    link.forget(run_.get());
  }
  link.release(leaving);
}

std::string PostgresSession::describe() const {
  std::string text = "session " + std::to_string(options_.session_id);
  if (!options_.label.empty()) text += " (" + options_.label + ")";
  if (!options_.client.empty()) text += " of " + options_.client;
  return text;
}

void PostgresSession::transition(State to) {
  // Resting follows idle within finish(): a lease that is kept.
  INVARIANT(is_edge(state_, to) || (state_ == State::idle && to == State::resting));
  state_ = to;
  if (timer_) timer_->disarm();
  part_.become(state_ == State::waiting ? WaitState::waiting
               : state_ == State::resting
                   ? (context_.joins ? WaitState::absent : WaitState::resting)
               : state_ == State::idle ? WaitState::absent
                                       : WaitState::working);
}

void PostgresSession::arm(Duration from_now) {
  if (!timer_) timer_ = context_.reactor.make_timer([this] { on_timer(); });
  timer_->arm(context_.reactor.now() + from_now);
}

// --- a unit begins

void PostgresSession::adopt_settings() {
  settings_ = context_.base_settings;
  if (std::string user = acting_user(); !user.empty()) settings_["session_authorization"] = user;
  if (profile_) {
    for (const auto& [name, value] : profile_->settings) settings_[name] = value;
  }
  if (context_.rooted) sandbox_.adopt(settings_);
  if (options_.read_only && !context_.rooted) settings_["default_transaction_read_only"] = "on";
  fingerprint_ = fingerprint(settings_);
}

void PostgresSession::submit(Unit unit) {
  INVARIANT(state_ == State::idle || state_ == State::resting);
  if (unit.profile != profile_) {
    profile_ = unit.profile;
    adopt_settings();
  }
  retried_ = false;
  sandbox_.submitted();
  since_ = context_.reactor.now();
  held_before_ = link_ != nullptr || parked_;
  if (!held_before_) transaction_due_ = TimePoint();
  const Result<void> checked = check(unit);
  queue_deadline_ = since_ + context_.lease_timeout;
  const bool due = unit.queue_deadline != TimePoint();
  if (due) queue_deadline_ = std::min(queue_deadline_, unit.queue_deadline);
  run_ = std::make_unique<UnitRun>(std::move(unit), context_.types, context_.seen, *this);
  if (!checked) return fail_soon(checked.error());
  if (link_ != nullptr) return begin();
  acquire();
}

Result<void> PostgresSession::check(const Unit& unit) const {
  if (Result<void> checked = check_unit(unit); !checked) return checked;
  if (std::optional<Error> full = refuse_settings_of(unit, settings_)) return *std::move(full);
  if (!context_.rooted) return check_pin(unit);
  return check_sandbox_unit(unit);
}

Result<void> PostgresSession::check_pin(const Unit& unit) const {
  if (!unit.pin || pinned_ || context_.shared || !context_.pins.full()) return {};
  return too_many_pinned(context_.pool, pinning_text(unit), context_.leases.pin_reasons())
      .as_retryable();
}

void PostgresSession::pin() {
  if (pinned_ || context_.shared) return;  // shared sessions have their state in common
  pinned_ = true;
  if (!context_.rooted) ++context_.pins.count;
  context_.leases.pin(*link_, describe() + ": " + pinning_text(run_->unit()).substr(0, 100));
}

void PostgresSession::unpin() {
  if (std::exchange(pinned_, false) && !context_.rooted) --context_.pins.count;
}

void PostgresSession::acquire() {
  if (losses_seen_ != context_.leases.losses()) {
    losses_seen_ = context_.leases.losses();
    return fail_soon(context_.leases.loss());
  }
  transition(State::waiting);
  if (std::optional<Error> refused = context_.leases.acquire(*this, queue_deadline_)) {
    fail_soon(*std::move(refused));
  }
}

// Its timer goes on: it rests as before.
void PostgresSession::on_parked() {
  parked_ = true;
  std::exchange(link_, nullptr)->release(Leaving::finished);
}

void PostgresSession::on_lease(Link& link) {
  link_ = &link;
  link.set_client(0);
  if (!std::exchange(parked_, false)) inside_ = context_.leases.lends();
  begin();
}

void PostgresSession::on_lease_refused(const Error& reason) {
  losses_seen_ = context_.leases.losses();
  UnitOutcome outcome;
  outcome.error = reason;
  outcome.phase = UnitPhase::queue;
  finish(std::move(outcome));
}

void PostgresSession::begin() {
  context_.leases.note_begun(*this, false);
  status_before_ = link_->status();
  // A link that was kept is as this session has made it, as in Relay::needs_preparing(): what its
  // own ROLLBACK makes doubtful, the server has restored.
  const bool as_made = held_before_ && !has_reset_ && !link_->settings().differs(settings_);
  has_reset_ = std::ranges::any_of(run_->unit().steps,
                                   [](const Step& step) { return is_reset(step.statement); });
  warned_.clear();
  refused_ = rooted() ? needs_block(run_->unit()) : std::nullopt;
  if (rooted() && run_->unit().alone && !run_->unit().steps.front().describe) {
    StatementRef& only = run_->unit().steps.front().statement;
    warned_ = warnings_outside(*only);
    if (inside_ && !warned_.empty()) only = without_effect(only);
  }
  const bool joined = inside_ || context_.leases.outer() != nullptr;
  if (auto fits = check_nested(run_->unit()); joined && !fits) {
    return fail_soon(std::move(fits).error());
  }
  if (context_.rooted) {
    if (std::optional<Error> refusal = sandbox_.refusal(run_->unit(), context_.leases)) {
      return fail_soon(*std::move(refusal));
    }
    sandbox_.prepare(run_->unit(), settings_, context_.leases);
  }
  if (context_.shared) sandbox_.note_settings(run_->unit());
  if (!run_->unit().steps.empty()) {
    context_.leases.note_statement(*link_, run_->unit().steps.front().statement);
  }
  for (const Step& step : run_->unit().steps) context_.leases.note_effects(*step.statement);
  if (inside_) {
    nest(run_->unit(), held_before_ || run_->unit().keep_lease);
  }
  std::vector<std::string> texts;
  if (!as_made) texts = link_->settings().difference(settings_, acting_user());
  // In a failed transaction they would be refused; what is sent there is its end.
  if (texts.empty() || status_before_ == 'E') return run();
  transition(State::synchronising);
  arm(context_.settings_timeout);
  if (rooted()) {  // an error must not take the root with it
    texts.insert(texts.begin(), "SAVEPOINT _based_settings");
    texts.push_back("RELEASE SAVEPOINT _based_settings");
  }
  link_->settings().may_become(settings_);
  link_->run_chore({.texts = std::move(texts),
                    .then = [this](const std::optional<Error>& error) { on_synchronised(error); },
                    .of_holder = true});
}

void PostgresSession::on_synchronised(const std::optional<Error>& error) {
  if (!error && !run_->cancelled()) {
    link_->settings().became(settings_, link_->status() != 'I');
    return run();
  }
  Error reason =
      error ? *error : Error::make(sqlstate::query_canceled, "the request was cancelled");
  reason.executed = Executed::no;
  if (error) {
    if (context_.acts_as_user) reason = user_error(std::move(reason), options_.user);
    reason.position.reset();
    if (link_->settings().has_foreign(settings_)) context_.leases.pin(*link_, {});
    link_->settings().rolled_back();
    if (rooted()) {
      link_->run_chore({.texts = {"ROLLBACK TO SAVEPOINT _based_settings",
                                  "RELEASE SAVEPOINT _based_settings"}});
    }
  } else {
    link_->settings().became(settings_, link_->status() != 'I');
  }
  UnitOutcome outcome;
  outcome.error = std::move(reason);
  outcome.phase = UnitPhase::queue;
  finish(std::move(outcome));
}

void PostgresSession::run() {
  if (run_->unit().pin) pin();
  transition(State::running);
  const bool begins = run_->unit().keep_lease && transaction_due_ == TimePoint();
  Duration most = context_.transaction_timeout;
  if (context_.rooted) most = shorter(most, sandbox_.transaction());
  if (begins && most > Duration::zero()) transaction_due_ = context_.reactor.now() + most;
  const Duration timeout = time_left(step_limit(0));
  if (timeout > Duration::zero()) arm(timeout);
  since_ = context_.reactor.now();
  run_->send_unit(*link_, fingerprint_);
}

// The limit of what comes next, its own or what the transaction has left; zero: none.
Duration PostgresSession::time_left(Duration own) const {
  if (transaction_due_ == TimePoint()) return own;
  const Duration left =
      std::max<Duration>(transaction_due_ - context_.reactor.now(), std::chrono::milliseconds(1));
  return own > Duration::zero() ? std::min(own, left) : left;
}

// Behind the last step there is the envelope, which no client's limit is for.
Duration PostgresSession::step_limit(std::size_t step) const {
  const Unit& unit = run_->unit();
  if (step >= unit.steps.size() || !context_.rooted) return unit.statement_timeout;
  return shorter(unit.statement_timeout, sandbox_.statement(step));
}

void PostgresSession::on_step_over(std::size_t step, std::uint64_t rows) {
  note_in_log(step, rows, nullptr);
  if (context_.rooted) sandbox_.step_over(step, rows);
  const Duration timeout = time_left(step_limit(step + 1));
  if (state_ == State::running && timeout == Duration::zero() && timer_) timer_->disarm();
  if (state_ == State::running && timeout > Duration::zero() && !run_->cancelled()) arm(timeout);
}

// --- a unit ends

void PostgresSession::on_group_over() {
  group_ = state_;
  if (link_->cancel_state() != CancelState::none) {
    transition(State::settling);  // it must not strike what comes next
    return;
  }
  continue_after_group();
}

void PostgresSession::on_cancel_over() {
  if (state_ == State::settling) continue_after_group();
}

void PostgresSession::continue_after_group() {
  const char status = link_->status();
  const bool failed = run_->error().has_value();
  if (group_ == State::running && status != 'I' && run_->needs_recovery()) {
    transition(State::recovering);
    arm(context_.settings_timeout);
    return run_->send_recovery(*link_, fingerprint_);
  }
  if (group_ == State::running && run_->lacks_question() && status == 'E') {
    transition(State::running);
    if (const Duration left = time_left(step_limit(SIZE_MAX)); left > Duration::zero()) arm(left);
    return run_->send_without_question(*link_, fingerprint_);
  }
  if (group_ == State::running && run_->restores()) {
    transition(State::recovering);
    arm(context_.settings_timeout);
    return run_->send_restoring(*link_, fingerprint_);
  }
  // The recovery of a unit that has opened nothing has undone more than the unit.
  const Envelope& envelope = run_->unit().envelope;
  const bool undone_more = envelope.prologue.empty() && !envelope.recovery.empty();
  if (run_->may_run_again() && !undone_more && !retried_ && failed && !run_->cancelled() &&
      status == status_before_ && status != 'E') {
    retried_ = true;
    return run();
  }
  UnitOutcome outcome;
  outcome.error = run_->error();
  outcome.phase = run_->phase();
  outcome.step = run_->step();
  finish(std::move(outcome));
}

void PostgresSession::fail_soon(Error error) {
  failure_ = std::move(error);
  transition(State::failing);
  arm(Duration::zero());
}

// --- from outside

void PostgresSession::cancel(std::string_view reason) {
  switch (state_) {
    case State::waiting: {
      context_.leases.withdraw(*this);
      fail_soon(Error::make(sqlstate::query_canceled, std::string(reason)));
      break;
    }
    case State::synchronising:
      run_->note_cancel(reason);
      break;
    case State::running:
      if (run_->cancelled()) break;
      run_->note_cancel(reason);
      if (timer_) timer_->disarm();
      link_->set_paused(false);
      link_->cancel();
      break;
    case State::idle:
    case State::resting:
    case State::settling:
    case State::recovering:
    case State::failing:
      break;
  }
}

void PostgresSession::on_vain_wait(Error error) {
  INVARIANT(state_ == State::waiting);
  context_.leases.withdraw(*this);
  fail_soon(std::move(error));
}

void PostgresSession::resume() {
  if (link_ != nullptr && state_ == State::running) link_->set_paused(false);
}

void PostgresSession::on_timer() {
  switch (state_) {
    case State::running:
      return cancel(timeout_reason);
    case State::synchronising:
    case State::recovering:
      return link_->close(Error::make(sqlstate::connection_failure,
                                      "the server did not answer a setting or rollback in time"));
    case State::resting:
      return on_rested_too_long();
    case State::failing: {
      UnitOutcome outcome;
      outcome.error = std::exchange(failure_, std::nullopt);
      outcome.phase = UnitPhase::queue;
      return finish(std::move(outcome));
    }
    case State::idle:
    case State::waiting:
    case State::settling:
      break;
  }
}

}  // namespace based::postgres
