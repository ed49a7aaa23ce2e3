// Units: what is sent to the database, what has come of it, and the stack after it.
#include <utility>

#include "daemon/postgres/sqlite_wire.h"
#include "protocol/check.h"

namespace based {
namespace {

// A queue without a limit still ends: nobody waits for a day.
constexpr std::chrono::hours queue_wait_max{24};

Error ended_by_itself() {
  return Error::make(sqlstate::invalid_transaction_state,
                     "the database has ended the transaction by itself")
      .with_executed(Executed::yes);
}

Duration least_of(Duration a, Duration b) {
  if (a == Duration::zero()) return b;
  return b == Duration::zero() ? a : std::min(a, b);
}

}  // namespace

bool is_control(StatementKind kind) {
  return is_transaction_control(kind) || kind == StatementKind::sandbox;
}

// Did it wait in vain, behind those that have joined its transaction?
bool never_ran(const UnitOutcome& outcome) {
  return outcome.error && outcome.phase == UnitPhase::queue &&
         outcome.transaction == TransactionStatus::open;
}

// What has waited in vain leaves its transaction as it was, but for what its client has cancelled,
// or has sent more behind (ready()), which is not to be done without it.
SqliteWire::Fate SqliteWire::fate_of(const UnitOutcome& outcome) {
  const bool stays = never_ran(outcome) && outcome.error->sqlstate != sqlstate::query_canceled;
  return stays ? Fate::stays : Fate::fails;
}

// Whatever was open is rolled back.
void SqliteWire::reset_backend() {
  backend_.reset();
  const Duration idle = least_of(options_.idle_in_transaction, rules_.timeouts.idle_in_transaction);
  backend_ = database_.open_session({.session_id = options_.session_id,
                                     .label = settings_.value("application_name").value_or(""),
                                     .client = options_.client,
                                     .idle_in_transaction = idle,
                                     .group = options_.group},
                                    *this);
}

bool SqliteWire::in_read_only() const {
  if (stack_.empty() || implicit_) return settings_.read_only();
  return read_only_ || stack_.levels().back().options.access == BeginOptions::Access::read_only;
}

// What does not run now, whatever the database would say.
std::optional<Error> SqliteWire::refusal_of(const WireStatement& prepared) const {
  if (!prepared.statement) return std::nullopt;
  const Statement& statement = *prepared.statement;
  const StatementKind kind = statement.kind;
  if (!usable()) {
    const bool leaves = kind == StatementKind::commit || kind == StatementKind::rollback ||
                        kind == StatementKind::rollback_to;
    if (leaves) return std::nullopt;
    if (loss_) return loss_;
    if (stack_.state() == StackState::aborted) return stack_.check_usable().error();
    return Error::make(sqlstate::in_failed_sql_transaction,
                       "current transaction is aborted, commands ignored until end of "
                       "transaction block");
  }
  if (kind == StatementKind::prepare_transaction) {
    return Error::make(sqlstate::feature_not_supported, "two-phase commit is not supported")
        .with_hint("Use COMMIT.");
  }
  if (is_control(kind) || prepared.command) return std::nullopt;
  if (kind != StatementKind::read && in_read_only()) {
    return Error::make(sqlstate::read_only_sql_transaction,
                       "cannot execute a statement that may write in a read-only transaction");
  }
  return std::nullopt;
}

// Runs what is in running_. `alone`: it is all that its transaction does.
void SqliteWire::run_group(std::size_t count, bool alone) {
  for (std::size_t i = 0; i < count; ++i) {
    const WireStatement& prepared = *running_[i].prepared;
    if (auto done = apply_set_configs(prepared); !done) return fail(std::move(done).error());
    const bool standalone = prepared.statement->kind == StatementKind::standalone;
    if (standalone && !(alone && count == 1)) {
      return fail(Error::make(sqlstate::active_sql_transaction,
                              "the statement cannot run inside a transaction block"));
    }
  }
  if (!alone && stack_.empty()) {
    const auto begun = stack_.begin({}, LevelKind::implicit, reactor_.now(), settings_.snapshot());
    if (!begun) return fail(begun.error());
    implicit_ = true;
  }
  const bool inside = !stack_.empty();
  Unit unit;
  GroupPart part{.kind = count > 1 && !inside ? GroupKind::together : GroupKind::single,
                 .reads = true};
  for (std::size_t i = 0; i < count; ++i) {
    const StatementRef& statement = running_[i].prepared->statement;
    part.reads = part.reads && statement->plain_read;
    if (statement->kind == StatementKind::standalone) part.kind = GroupKind::standalone;
    unit.steps.push_back({.statement = statement, .parameters = std::move(values_[i])});
  }
  unit.envelope = envelopes_.around(stack_, part);
  unit.read_only = part.reads && !inside;
  unit.keep_lease = inside;
  unit.statement_timeout =
      least_of(options_.statement_timeout,
               least_of(settings_.statement_timeout(), rules_.timeouts.statement));
  submit(std::move(unit), Purpose::steps);
}

void SqliteWire::submit(Unit unit, Purpose purpose) {
  const Duration queue = rules_.timeouts.queue;
  unit.queue_deadline =
      reactor_.now() + (queue > Duration::zero() ? queue : Duration(queue_wait_max));
  unit.sink = this;
  purpose_ = purpose;
  held_tag_.clear();
  own_error_.reset();
  client_.set_taking(false);
  backend_->submit(std::move(unit));
}

// --- levels that begin at once

void SqliteWire::start_entering(std::string_view tag) {
  Unit unit;
  unit.envelope = envelopes_.around(stack_, {});
  unit.keep_lease = true;
  ending_.tag = tag;
  submit(std::move(unit), Purpose::entering);
}

void SqliteWire::entering_done(UnitOutcome& outcome) {
  if (!outcome.error) {
    stack_.entered();
    return writer_.command_complete(ending_.tag);
  }
  const Fate fate = fate_of(outcome);
  Error error = std::move(*outcome.error);
  error.position.reset();
  note_failure(outcome, error);
  if (stack_.state() == StackState::sound) end_levels(stack_.plan_rollback({}).value());
  fail(std::move(error), nullptr, fate);
}

// --- ends of levels

void SqliteWire::start_ending(Result<LevelsEnd> plan, std::string tag) {
  if (!plan) return fail(std::move(plan).error());
  ending_.plan = std::move(*plan);
  ending_.tag = std::move(tag);
  if (!stack_.needs_database(ending_.plan)) return complete_ending();
  Unit unit;
  unit.envelope = envelopes_.ending(stack_, ending_.plan);
  unit.keep_lease = ending_.plan.depth > 0;
  submit(std::move(unit), Purpose::ending);
}

void SqliteWire::end_levels(const LevelsEnd& plan) {
  if (plan.restores_profile()) settings_.restore(plan.profile);
  stack_.finish(plan);
  if (!stack_.empty()) return;
  if (!plan.restores_profile()) {
    for (auto local = set_locals_.rbegin(); local != set_locals_.rend(); ++local) {
      // It was a value of this setting before.
      const auto done = settings_.set(local->first, local->second);
      INVARIANT(done.ok());
    }
  }
  set_locals_.clear();
  loss_.reset();
  implicit_ = false;
  read_only_ = false;
  portals_.clear();
}

void SqliteWire::complete_ending() {
  end_levels(ending_.plan);
  if (ending_.chain) {
    auto level = stack_.begin(std::move(*ending_.chain), LevelKind::transaction, reactor_.now(),
                              settings_.snapshot());
    ending_.chain.reset();
    if (!level) return fail(std::move(level).error());
    return begun(ending_.tag);
  }
  if (!ending_.tag.empty()) writer_.command_complete(ending_.tag);
  if (end_in_sync_) ready();
}

void SqliteWire::ending_done(UnitOutcome& outcome) {
  const LevelsEnd& plan = ending_.plan;
  const bool whole = plan.depth == 0;
  const bool alive = outcome.transaction == TransactionStatus::open ||
                     outcome.transaction == TransactionStatus::failed;
  if (!outcome.error) {
    if (whole && alive) reset_backend();  // what is open then is nobody's
    if (whole || alive) return complete_ending();
    stack_.abort(ended_by_itself());
    return fail(ended_by_itself());
  }
  if (never_ran(outcome) && !implicit_) {
    const Fate fate = fate_of(outcome);
    return fail(std::move(*outcome.error), nullptr, fate);
  }
  if (whole && plan.kind != LevelsEnd::Kind::commit) {
    // What is gone is rolled back, too.
    reset_backend();
    return complete_ending();
  }
  Error error = std::move(*outcome.error);
  error.position.reset();
  ending_.chain.reset();
  if (whole) {
    // PostgreSQL's transaction is over, too, when its COMMIT fails.
    if (alive) reset_backend();
    LevelsEnd rolled_back = plan;
    rolled_back.kind = LevelsEnd::Kind::rollback;
    rolled_back.profile = stack_.levels().front().profile;
    end_levels(rolled_back);
    return fail(std::move(error));
  }
  const bool recovered = outcome.transaction == TransactionStatus::open &&
                         outcome.phase == UnitPhase::epilogue &&
                         plan.kind == LevelsEnd::Kind::commit;
  if (recovered) {
    LevelsEnd rolled_back = plan;
    rolled_back.kind = LevelsEnd::Kind::rollback;
    rolled_back.profile = stack_.levels()[plan.depth].profile;
    end_levels(rolled_back);
  } else {
    if (alive) reset_backend();
    stack_.abort(error);
  }
  fail(std::move(error));
}

// --- outcomes

void SqliteWire::steps_done(UnitOutcome& outcome) {
  if (!outcome.error && !own_error_) {
    if (!stack_.empty()) {
      stack_.entered();
      const bool gone = outcome.transaction == TransactionStatus::idle ||
                        outcome.transaction == TransactionStatus::lost;
      if (gone) {
        stack_.abort(ended_by_itself());
        return fail(ended_by_itself());
      }
    } else if (outcome.transaction != TransactionStatus::idle) {
      reset_backend();
      return fail(Error::make(sqlstate::invalid_transaction_state,
                              "the statement left a transaction open, it was rolled back"));
    }
    return release_tag();
  }
  const bool ours = own_error_.has_value();
  const Fate fate = fate_of(outcome);
  Error error = ours ? std::move(*own_error_) : std::move(*outcome.error);
  if (ours && !outcome.error) error.executed = Executed::yes;
  const bool in_step = !ours && outcome.phase == UnitPhase::step;
  // The last one's success is not true if the commit failed.
  if (!ours && outcome.phase == UnitPhase::epilogue) held_tag_.clear();
  WireStatementRef of;
  if (in_step && outcome.step < running_.size()) of = running_[outcome.step].prepared;
  if (of && error.position) error.position = of->statement->client_offset(*error.position);
  if (!of) error.position.reset();
  note_failure(outcome, error);
  fail(std::move(error), of.get(), ours ? Fate::fails : fate);
}

void SqliteWire::describe_done(UnitOutcome& outcome) {
  if (outcome.error) {
    const Fate fate = fate_of(outcome);
    Error error = std::move(*outcome.error);
    const WireStatementRef of = std::exchange(described_, nullptr);
    // Its Parse has failed.
    if (describing_ == Describing::parse) {
      std::erase_if(prepared_, [&of](const auto& entry) { return entry.second == of; });
    }
    if (error.position) error.position = of->statement->client_offset(*error.position);
    note_failure(outcome, error);
    say(*of);
    return fail(std::move(error), of.get(), fate);
  }
  if (!stack_.empty()) stack_.entered();
  if (describing_ == Describing::parse) {
    resolve_parameters(*std::exchange(described_, nullptr));
    return writer_.parse_complete();
  }
  resolve_columns(*described_);
  tell_description();
}

// The stack after a unit that failed. What the database never saw changes nothing.
void SqliteWire::note_failure(const UnitOutcome& outcome, const Error& error) {
  const bool open = outcome.transaction == TransactionStatus::open ||
                    outcome.transaction == TransactionStatus::failed;
  if (stack_.empty()) {
    if (open) reset_backend();
    return;
  }
  if (stack_.state() == StackState::aborted) return;
  if (outcome.transaction == TransactionStatus::lost) return stack_.abort(error);
  const UnitPhase phase = outcome.error ? outcome.phase : UnitPhase::step;
  // A sandbox's only level: its recovery has rolled it back, so that others have their turn.
  if (stack_.rules().frees_failed && outcome.transaction == TransactionStatus::idle &&
      outcome.error && stack_.depth() == 1 &&
      (phase == UnitPhase::step || phase == UnitPhase::epilogue)) {
    stack_.entered();
    stack_.fail();
    return stack_.left();
  }
  if (!open) {
    // Where nothing had been entered, and BEGIN itself was refused, all is still to come.
    const bool untouched = phase == UnitPhase::queue || phase == UnitPhase::prologue;
    if (untouched && stack_.entered_depth() == 0) return;
    return stack_.abort(error);
  }
  if (phase == UnitPhase::prologue) return;  // what it had opened is gone again
  if (phase == UnitPhase::recovery) {
    // Nobody knows how many of its levels there are.
    reset_backend();
    return stack_.abort(error);
  }
  if (phase != UnitPhase::queue) stack_.entered();
}

}  // namespace based
