// The Pool's places: its part of the links that the database may have, and what it says of those it
// has.
#include <algorithm>

#include "backends/postgres/pins.h"
#include "backends/postgres/pool.h"

namespace based::postgres {

void Pool::give_place_back() {
  if (settings_.budget != nullptr) settings_.budget->give_back();
}

TimePoint Pool::idle_since() const {
  TimePoint longest = TimePoint::max();
  for (const Link* link : idle_) longest = std::min(longest, link->used_at());
  return longest;
}

void Pool::close_idle() {
  const auto longest = std::ranges::min_element(idle_, {}, &Link::used_at);
  if (longest != idle_.end()) retire(slot_of(**longest), "another user waits");
}

void Pool::leave() {
  while (!idle_.empty()) retire(slot_of(*idle_.back()), "its database is to have nobody");
}

void Pool::pin(Link& link, std::string reason) {
  Slot& slot = slot_of(link);
  slot.pinned = true;
  slot.pin_reason = std::move(reason);
}

void Pool::unpin(Link& link) {
  Slot& slot = slot_of(link);
  slot.pinned = false;
  slot.pin_reason.clear();
}

std::vector<std::string> Pool::pin_reasons() const {
  std::vector<std::string> reasons;
  for (const Slot& slot : slots_) {
    const bool kept = slot.pinned && slot.link->state() == LinkState::leased;
    if (kept && !slot.pin_reason.empty()) reasons.push_back(slot.pin_reason);
  }
  return reasons;
}

Error Pool::timeout_error(const Waiter& waiter) const {
  const auto since =
      std::chrono::duration_cast<std::chrono::milliseconds>(reactor_.now() - waiter.since);
  const std::string waited = std::to_string(since.count()) + " ms";
  if (last_failure_ && !is_up()) {
    return away_error().with_detail("The request waited for " + waited + ".");
  }
  if (!is_up() && (attempt_ || !slots_.empty())) {
    return Error::make(sqlstate::cannot_connect, "no connection to the server of " +
                                                     settings_.name + ": it has not answered yet")
        .with_detail("The request waited for " + waited + ".")
        .as_retryable();
  }
  Error error = Error::make(sqlstate::too_many_connections,
                            "no connection of " + settings_.name + " became free in " + waited)
                    .with_detail(std::to_string(slots_.size()) + " of " +
                                 std::to_string(settings_.max_size) + " connections are open, " +
                                 std::to_string(waiters_.size()) + " requests wait.")
                    .with_hint("Raise max_size, or keep transactions shorter.")
                    .as_retryable();
  if (const auto reasons = pin_reasons(); !reasons.empty()) {
    error.detail += ' ' + kept_for(reasons);
    error.hint = "Raise max_size, or set max_pinned below it.";
  }
  if (last_failure_) error.detail += " Opening another one failed: " + last_failure_->message;
  return error;
}

PoolStatus Pool::status() const {
  PoolStatus status = counters_;
  status.pool_min = settings_.min_size;
  status.pool_max = settings_.max_size;
  status.pool_size = slots_.size() + (attempt_ ? 1 : 0);
  status.pool_available = idle_.size();
  status.requests_waiting = waiters_.size();
  status.opening = attempt_ ? 1 : 0;
  status.pin_reasons = pin_reasons();
  for (const Slot& slot : slots_) {
    status.pinned += slot.pinned ? 1 : 0;
    status.statements_prepared += slot.link->statements().prepared();
    status.statements_reused += slot.link->statements().reused();
    switch (slot.link->state()) {
      case LinkState::leased:
        ++status.leased;
        break;
      case LinkState::starting:
        ++status.opening;
        break;
      case LinkState::cleaning:
      case LinkState::checking:
        ++status.cleaning;
        break;
      case LinkState::idle:
      case LinkState::closed:
        break;
    }
  }
  return status;
}

}  // namespace based::postgres
