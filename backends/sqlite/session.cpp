#include "backends/sqlite/session.h"

#include <array>

#include "backends/envelope.h"
#include "protocol/check.h"

namespace based::sqlite {
namespace {

struct Edge {
  UnitState from, to;
};
constexpr std::array edges = {
    Edge{UnitState::none, UnitState::waiting},       Edge{UnitState::none, UnitState::refusing},
    Edge{UnitState::waiting, UnitState::running},    Edge{UnitState::waiting, UnitState::refusing},
    Edge{UnitState::running, UnitState::delivering}, Edge{UnitState::delivering, UnitState::none},
    Edge{UnitState::refusing, UnitState::none},      Edge{UnitState::running, UnitState::refusing},
};
constexpr bool has_edge(UnitState from, UnitState to) {
  for (const auto& edge : edges) {
    if (edge.from == from && edge.to == to) return true;
  }
  return false;
}

Error cancelled(std::string_view reason) {
  return Error::make(sqlstate::query_canceled, std::string{reason});
}

}  // namespace

SqliteSession::SqliteSession(const SqliteOptions& database, Reactor& reactor, Lane& lane,
                             WaitResource& waits, SessionOptions options, SessionListener& listener)
    : database_(database),
      reactor_(reactor),
      lane_(lane),
      options_(std::move(options)),
      listener_(listener),
      part_(options_.owner, waits, options_.session_id, *this),
      anchor_(std::make_shared<LaneClient*>(static_cast<LaneClient*>(this))) {}

SqliteSession::~SqliteSession() {
  *anchor_ = nullptr;
  lane_.withdraw(*this);
  lane_.abandon(*this);
}

void SqliteSession::transition(UnitState to) {
  INVARIANT(has_edge(state_, to));
  state_ = to;
  part_.become(state_ == UnitState::waiting         ? WaitState::waiting
               : state_ != UnitState::none          ? WaitState::working
               : lane_.holds_lease(*this) && !lost_ ? WaitState::resting
                                                    : WaitState::absent);
}

// Posted steps find the session through its anchor, or nothing.
void SqliteSession::post(void (SqliteSession::*step)()) {
  reactor_.post([step, weak = std::weak_ptr<LaneClient*>{anchor_}] {
    const auto there = weak.lock();
    if (there && *there != nullptr) (static_cast<SqliteSession*>(*there)->*step)();
  });
}

void SqliteSession::submit(Unit unit) {
  INVARIANT(state_ == UnitState::none && unit.sink != nullptr);
  sink_ = unit.sink;
  submitted_ = reactor_.now();
  unit_ = std::move(unit);
  if (lost_) {
    refuse(*lost_);
    refusal_->transaction = TransactionStatus::lost;
    return;
  }
  transition(UnitState::waiting);
  lane_.submit(*this);
}

std::string_view SqliteSession::first_statement() const {
  const Unit& unit = job_ != nullptr ? job_->unit() : unit_;
  return unit.steps.empty() ? std::string_view{} : unit.steps.front().statement->text;
}

bool SqliteSession::is_one_shot() const {
  const Unit& unit = job_ != nullptr ? job_->unit() : unit_;
  return !unit.keep_lease && unit.envelope.prologue.empty() && unit.envelope.epilogue.empty();
}

std::shared_ptr<Job> SqliteSession::start(Job::Deliver deliver) {
  transition(UnitState::running);
  if (lane_.around() > 0) nest(unit_.envelope, nullptr);
  job_ = std::make_shared<Job>(Job::Setup{.unit = std::move(unit_),
                                          .session_id = options_.session_id,
                                          .session_read_only = options_.read_only,
                                          .holds_lease = lane_.holds_lease(*this),
                                          .around = lane_.around(),
                                          .memory = memory_,
                                          .bytes_max = database_.result_buffer_bytes,
                                          .deliver = std::move(deliver)});
  unit_ = Unit{};
  return job_;
}

void SqliteSession::cancel(std::string_view reason) {
  if (reason.empty()) reason = "canceling statement due to user request";
  switch (state_) {
    case UnitState::none:
    case UnitState::refusing:
      return;
    case UnitState::waiting:
    case UnitState::running: {
      const auto holder = lane_.describe_holder();
      if (lane_.withdraw(*this)) {
        refuse(cancelled(reason).with_detail("it was waiting for the database: " + holder));
      } else {
        job_->cancel(reason);
      }
      return;
    }
    case UnitState::delivering: {
      // It has run; what is left of its rows will not be given.
      dropping_ = true;
      auto& outcome = *parcels_.back()->outcome();
      if (!outcome.error) {
        outcome.phase = UnitPhase::step;
        outcome.step =
            parcels_.front()->sections().empty() ? 0 : parcels_.front()->sections()[section_].step;
        outcome.error = cancelled(reason).with_executed(Executed::yes);
      }
      if (!pumping_) post(&SqliteSession::pump);
      return;
    }
  }
}

void SqliteSession::resume() {
  if (!paused_since_) return;
  paused_since_.reset();
  lane_.reader_changed();
  post(&SqliteSession::pump);
}

void SqliteSession::pause() {
  paused_since_ = reactor_.now();
  lane_.reader_changed();
}

void SqliteSession::take(std::shared_ptr<Parcel> parcel) {
  if (parcel->outcome()) transition(UnitState::delivering);
  parcels_.push_back(std::move(parcel));
  pump();
}

void SqliteSession::pump() {
  if (pumping_ || parcels_.empty()) return;
  const auto alive = anchor_;
  pumping_ = true;
  while (!parcels_.empty()) {
    // A cancel does not wait behind rows that nobody takes; an error has its place behind them.
    const auto& last = parcels_.back()->outcome();
    const bool cancelled =
        last && last->error && (dropping_ || last->error->sqlstate == sqlstate::query_canceled);
    if (paused_since_ && !cancelled) break;
    const auto parcel = parcels_.front();
    while (!paused_since_ && section_ < parcel->sections().size()) {
      const bool whole = give_section(*parcel);
      if (*alive == nullptr) return;
      if (whole) ++section_, row_ = 0, columns_given_ = false;
    }
    if (section_ < parcel->sections().size() && !cancelled) continue;
    parcels_.pop_front();
    section_ = row_ = 0;
    columns_given_ = false;
    job_->acknowledge(parcel->bytes());
    if (parcel->outcome()) {
      pumping_ = false;
      return complete(std::move(*parcel->outcome()));
    }
  }
  pumping_ = false;
}

// False: paused before its end, or the session is gone.
bool SqliteSession::give_section(const Parcel& parcel) {
  const auto alive = anchor_;
  const auto& section = parcel.sections()[section_];
  if (section.has_columns && !columns_given_) {
    columns_given_ = true;
    sink_->on_columns(section.step, section.columns);
    if (*alive == nullptr) return false;
  }
  while (row_ < section.rows) {
    const auto flow = sink_->on_row(section.step, section.row(row_));
    if (*alive == nullptr) return false;
    ++row_;
    if (flow == Flow::pause) return pause(), false;
  }
  if (section.result) sink_->on_step_done(section.step, *section.result);
  return true;
}

void SqliteSession::complete(UnitOutcome outcome) {
  transition(UnitState::none);
  job_ = nullptr;
  paused_since_.reset();
  dropping_ = false;
  auto* sink = std::exchange(sink_, nullptr);
  if (lost_) post(&SqliteSession::tell_loss);
  sink->on_done(std::move(outcome));  // may be the end of this session
}

void SqliteSession::refuse(Error error) {
  transition(UnitState::refusing);
  lane_.log_refused(options_, job_ != nullptr ? job_->unit() : unit_, submitted_, error);
  unit_ = Unit{};
  refusal_ = UnitOutcome{};
  refusal_->error = std::move(error);
  refusal_->phase = UnitPhase::queue;
  // A request of who is parked waits, too.
  if (lane_.holds_lease(*this)) refusal_->transaction = TransactionStatus::open;
  post(&SqliteSession::end_refused);
}

void SqliteSession::on_vain_wait(Error error) {
  const bool waited = lane_.withdraw(*this);
  INVARIANT(waited);
  refuse(std::move(error));
}

void SqliteSession::end_refused() { complete(*std::exchange(refusal_, std::nullopt)); }

void SqliteSession::lose_lease(Error reason) {
  if (state_ == UnitState::waiting) {  // the lane has forgotten its unit
    refuse(std::move(reason));
    refusal_->transaction = TransactionStatus::lost;
    return;
  }
  if (refusal_) refusal_->transaction = TransactionStatus::lost;
  lost_ = std::move(reason);
  // In the middle of giving rows: it hears of it after their end.
  if (state_ != UnitState::none) return;
  part_.become(WaitState::absent);
  post(&SqliteSession::tell_loss);
}

void SqliteSession::tell_loss() {
  if (!lost_) return;
  const auto reason = *std::exchange(lost_, std::nullopt);
  listener_.on_lease_lost(reason);  // may be the end of this session
}

}  // namespace based::sqlite
