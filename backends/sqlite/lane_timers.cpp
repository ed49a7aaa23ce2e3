// The part of the lane that watches clocks: queue deadlines, leases that rest, readers that do not.
#include <algorithm>

#include "backends/sqlite/lane.h"

namespace based::sqlite {
namespace {

constexpr TimePoint never = TimePoint::max();
// A reader that is due although the lane does not wait for it yet is looked at again after this.
constexpr auto reader_look_again = std::chrono::milliseconds(50);

}  // namespace

std::string Lane::others_wait() const {
  return std::to_string(waiters_.size()) +
         (waiters_.size() == 1 ? " other unit waits" : " other units wait") + " for the database";
}

// A lease may rest while nobody wants the lane, up to the cap; and a transaction may have an end.
TimePoint Lane::lease_due() const {
  if (!holder_.leased) return never;
  auto due = never;
  if (options_.transaction_max > Duration{}) {
    due = holder_.lease_began + options_.transaction_max;
  }
  if (state_ != LaneState::leased) return due;
  if (!waiters_.empty()) due = std::min(due, holder_.idle_since + holder_.idle_limit);
  const auto cap = std::max(holder_.idle_limit, options_.idle_in_transaction_cap);
  return std::min(due, holder_.idle_since + cap);
}

TimePoint Lane::slow_reader_due() const {
  if (state_ != LaneState::running || holder_.client == nullptr || waiters_.empty()) return never;
  const auto paused = holder_.client->paused_since();
  if (!paused) return never;
  return std::max(*paused, waiters_.begin()->second.since) + options_.slow_reader;
}

TimePoint Lane::next_due() const {
  auto due = std::min(lease_due(), slow_reader_due());
  if (!parked_.empty()) due = std::min(due, parked_due());
  if (!deadlines_.empty()) due = std::min(due, deadlines_.begin()->first);
  return due;
}

void Lane::arm() {
  if (state_ == LaneState::closed) return;
  const auto due = next_due();
  if (due == never) {
    timer_->disarm();
  } else {
    timer_->arm(due);
  }
}

void Lane::on_timer() {
  const auto now = reactor_.now();
  refuse_overdue(now);
  if (!parked_.empty()) end_overdue_parked(now);
  if (lease_due() <= now) {
    if (state_ == LaneState::running) {
      if (holder_.job != nullptr) {
        holder_.job->cancel("canceling statement: its transaction has reached the time limit");
      }
    } else if (options_.transaction_max > Duration{} &&
               holder_.lease_began + options_.transaction_max <= now) {
      take_lease(holder_, "the transaction has reached the time limit", "");
      clean("lease expired");
    } else {
      const bool wanted = !waiters_.empty();
      take_lease(holder_, "the transaction was idle for too long",
                 wanted ? others_wait() : "nobody waits, but the hard limit was reached");
      clean("lease expired");
    }
  }
  if (slow_reader_due() <= now) {
    if (holder_.job != nullptr && holder_.job->waits_for_reader()) {
      holder_.job->cancel("canceling statement: its result was not read while " + others_wait());
    }
    // The job ends by itself, or its reader is looked at again; the rest keeps its own time.
    auto due = now + reader_look_again;
    if (!deadlines_.empty()) due = std::min(due, deadlines_.begin()->first);
    timer_->arm(due);
    return;
  }
  if (state_ == LaneState::running && lease_due() <= now) {
    // Cancelled above: nothing more to wait for but its end.
    if (deadlines_.empty()) {
      timer_->disarm();
    } else {
      timer_->arm(deadlines_.begin()->first);
    }
    return;
  }
  arm();
}

void Lane::refuse_overdue(TimePoint now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto number = deadlines_.begin()->second;
    const auto waiter = waiters_.find(number);
    deadlines_.erase(deadlines_.begin());
    if (waiter->second.job != nullptr) {
      if (!waiter->second.job->revoke()) continue;  // it runs: its turn has come in time
      --posted_;
    }
    auto& client = *waiter->second.client;
    const auto waited = now - waiter->second.since;
    waiters_.erase(waiter);
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
    client.refuse(Error::make(sqlstate::lock_not_available, "the database " + options_.name +
                                                                " was not free within " +
                                                                std::to_string(ms) + " ms")
                      .with_detail(describe_holder())
                      .with_hint("Its sessions take turns: one statement or transaction at a time.")
                      .as_retryable());
  }
}

}  // namespace based::sqlite
