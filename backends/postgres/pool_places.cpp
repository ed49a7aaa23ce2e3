// The Pool's places: its part of the links that the database may have, and what it says of those it
// has.
#include <algorithm>

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

PoolStatus Pool::status() const {
  PoolStatus status = counters_;
  status.pool_min = settings_.min_size;
  status.pool_max = settings_.max_size;
  status.pool_size = slots_.size() + (attempt_ ? 1 : 0);
  status.pool_available = idle_.size();
  status.requests_waiting = waiters_.size();
  status.opening = attempt_ ? 1 : 0;
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
