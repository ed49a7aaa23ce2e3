// The part of the lane that resets a sandbox, and keeps the log of what ran in it.
#include <algorithm>
#include <utility>

#include "backends/sqlite/lane.h"

namespace based::sqlite {
namespace {

constexpr std::string_view cancelled_by_reset = "canceling statement: the sandbox is being reset";

Error reset_error() {
  return Error::make(sqlstate::serialization_failure,
                     "the sandbox was reset while a transaction was open in it")
      .with_detail("what the transaction did is gone")
      .with_scope(ErrorScope::transaction);
}

}  // namespace

void Lane::reset(Reset reset) {
  if (state_ == LaneState::closed || resets_.size() >= options_.waiting_max) {
    auto error = state_ == LaneState::closed
                     ? Error::make(sqlstate::admin_shutdown, "the database is shutting down")
                     : Error::make(sqlstate::too_many_connections,
                                   "too many resets wait for the database " + options_.name);
    reactor_.post([done = std::move(reset.done), error = std::move(error)] { done(error); });
    return;
  }
  resets_.push_back(std::move(reset));
  switch (state_) {
    case LaneState::idle:
    case LaneState::leased:
      return start_reset();
    case LaneState::running: {
      if (holder_.job != nullptr) holder_.job->cancel(cancelled_by_reset);
      // What the thread has ahead of its turn goes before the reset: not for long.
      auto waiter = waiters_.begin();
      for (std::size_t i = 0; i < posted_; ++i, ++waiter) {
        waiter->second.job->cancel(cancelled_by_reset);
      }
      return;
    }
    case LaneState::cleaning:
    case LaneState::closed:
      return;
  }
}

void Lane::start_reset() {
  auto reset = std::move(resets_.front());
  resets_.pop_front();
  std::vector<Holder> ended = take_from(0);
  transition(LaneState::cleaning, "sandbox reset");
  thread_->post([this, executor = executor_.get(), weak = std::weak_ptr<Lane*>{anchor_},
                 reset = std::move(reset)] {
    std::optional<Error> error;
    if (reset.drop) {
      executor->discard();
    } else {
      error = executor->reset(reset.mark);
    }
    reactor_.post([weak, done = reset.done, error = std::move(error)] {
      done(error);
      const auto lane = weak.lock();
      if (lane && *lane != nullptr) (*lane)->cleaned(false);
    });
  });
  arm();
  lose_all(std::move(ended), reset_error());
}

void Lane::refuse_resets() {
  for (auto& reset : std::exchange(resets_, {})) {
    reactor_.post([done = std::move(reset.done)] {
      done(Error::make(sqlstate::admin_shutdown, "the database is shutting down"));
    });
  }
}

// One entry for each step that began, and for the one that the unit failed with. What is around
// them is Based's own.
void Lane::keep_log(const UnitOutcome& outcome, const std::vector<Trace>& traces) {
  const auto& setup = holder_.job->setup();
  const std::vector<Step>& steps = setup.unit.steps;
  if (steps.empty()) return;
  std::size_t failed = steps.size();
  if (outcome.error) {
    failed = outcome.phase == UnitPhase::step       ? outcome.step
             : outcome.phase == UnitPhase::epilogue ? steps.size() - 1
                                                    : 0;
  }
  SandboxLogEntry entry;
  entry.session = setup.session_id;
  entry.client = holder_.client_name;
  entry.level = setup.holds_lease || setup.unit.keep_lease ? 1 : 0;
  const auto add = [&](const Trace& trace) {
    const Step& step = steps[trace.step];
    if (step.describe || step.own) return;
    // The log cuts it; what is far too long is not even copied.
    entry.statement = step.statement->words().substr(0, SandboxLog::Limits{}.text_bytes_max + 1);
    entry.duration = trace.duration;
    entry.rows = trace.rows;
    if (trace.step == failed) {
      entry.sqlstate = outcome.error->sqlstate.text();
      entry.error = outcome.error->message;
    }
    sandbox_log_->add(entry);
  };
  for (const Trace& trace : traces) add(trace);
  const bool began = !traces.empty() && traces.back().step >= failed;
  if (outcome.error && !began) add({.step = failed});
}

// Its first statement is answered with the error, and the others are never looked at.
void Lane::log_refused(const SessionOptions& session, const Unit& unit, TimePoint since,
                       const Error& error) {
  if (sandbox_log_ == nullptr || unit.steps.empty()) return;
  const Step& first = unit.steps.front();
  if (first.describe || first.own) return;
  SandboxLogEntry entry;
  entry.session = session.session_id;
  entry.client = session.client;
  entry.statement = first.statement->words().substr(0, SandboxLog::Limits{}.text_bytes_max + 1);
  entry.duration = reactor_.now() - since;
  entry.level = unit.keep_lease ? 1 : 0;
  entry.sqlstate = error.sqlstate.text();
  entry.error = error.message;
  sandbox_log_->add(std::move(entry));
}

}  // namespace based::sqlite
