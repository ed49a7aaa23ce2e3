#include "backends/wait_graph.h"

#include <algorithm>

#include "protocol/check.h"

namespace based {
namespace {

constexpr std::size_t owners_named_max = 8;

bool has(const std::vector<const WaitOwner*>& owners, const WaitOwner* owner) {
  return std::ranges::find(owners, owner) != owners.end();
}

}  // namespace

WaitOwner::~WaitOwner() { INVARIANT(working_ == 0 && waiting_.empty() && resting_.empty()); }

void WaitMember::become(WaitState state) {
  if (owner_ == nullptr || state == state_) return;
  switch (state_) {
    case WaitState::absent:
      break;
    case WaitState::working:
      --owner_->working_;
      break;
    case WaitState::waiting:
      std::erase(owner_->waiting_, this);
      break;
    case WaitState::resting:
      std::erase(owner_->resting_, this);
      std::erase(resource_.resting, this);
      break;
  }
  state_ = state;
  switch (state_) {
    case WaitState::absent:
      break;
    case WaitState::working:
      ++owner_->working_;
      break;
    case WaitState::waiting:
      number_ = ++owner_->graph_.waits_;
      owner_->waiting_.push_back(this);
      break;
    case WaitState::resting:
      owner_->resting_.push_back(this);
      resource_.resting.push_back(this);
      break;
  }
  owner_->graph_.note(*owner_);
}

WaitGraph::WaitGraph(Reactor& reactor)
    : reactor_(reactor), timer_(reactor.make_timer([this] { check(); })) {}

WaitGraph::~WaitGraph() { INVARIANT(suspects_.empty()); }

// Whatever closes a ring is a change of somebody in it, who then both waits and rests.
void WaitGraph::note(WaitOwner& owner) {
  owner.changed_ = reactor_.now();
  const bool suspect = !owner.waiting_.empty() && !owner.resting_.empty();
  const bool known = std::ranges::find(suspects_, &owner) != suspects_.end();
  if (suspect && !known) suspects_.push_back(&owner);
  if (!suspect && known) std::erase(suspects_, &owner);
  if (suspect && owner.working_ == 0) timer_->arm(reactor_.now());
}

// Those who wait in vain together with this one; empty: it can go on, or is in no ring itself.
WaitGraph::Owners WaitGraph::ring_of(const WaitOwner& owner) {
  Owners stuck{&owner};
  bool comes_back = false;
  for (std::size_t i = 0; i < stuck.size(); ++i) {
    for (const WaitMember* wait : stuck[i]->waiting_) {
      if (!wait->resource_.rests_everywhere()) continue;
      for (const WaitMember* rest : wait->resource_.resting) {
        comes_back = comes_back || rest->owner_ == &owner;
        if (!has(stuck, rest->owner_)) stuck.push_back(rest->owner_);
      }
    }
  }
  const auto can_go_on = [&stuck](const WaitOwner* one) {
    if (one->working_ > 0 || one->waiting_.empty()) return true;
    return std::ranges::any_of(one->waiting_, [&stuck](const WaitMember* wait) {
      if (!wait->resource_.rests_everywhere()) return true;
      return std::ranges::any_of(wait->resource_.resting, [&stuck](const WaitMember* rest) {
        return !has(stuck, rest->owner_);
      });
    });
  };
  for (;;) {
    const auto free = std::ranges::find_if(stuck, can_go_on);
    if (free == stuck.end()) break;
    stuck.erase(free);
  }
  if (!comes_back || !has(stuck, &owner)) stuck.clear();
  return stuck;
}

// When it is refused.
TimePoint WaitGraph::due_of(const Owners& ring) {
  TimePoint changed{};
  bool one_wait_each = ring.size() > 1;
  for (const WaitOwner* owner : ring) {
    changed = std::max(changed, owner->changed_);
    one_wait_each = one_wait_each && owner->waiting_.size() == 1;
  }
  return one_wait_each ? changed : changed + patience;
}

void WaitGraph::check() {
  // Each refusal makes its owner work, so that it is no victim a second time.
  for (std::size_t left = suspects_.size(); left > 0; --left) {
    TimePoint next = TimePoint::max();
    WaitMember* victim = nullptr;
    Owners rivals;
    for (const WaitOwner* owner : suspects_) {
      const Owners ring = ring_of(*owner);
      if (ring.empty()) continue;
      const TimePoint due = due_of(ring);
      WaitMember* newest = *std::ranges::max_element(
          owner->waiting_, {}, [](const WaitMember* wait) { return wait->number_; });
      if (due > reactor_.now()) {
        next = std::min(next, due);
      } else if (victim == nullptr || newest->number_ > victim->number_) {
        victim = newest;
        rivals = ring;
      }
    }
    if (next != TimePoint::max()) timer_->arm(next);
    if (victim == nullptr) return;
    victim->listener_.on_vain_wait(error_of(*victim, rivals));
  }
}

Error WaitGraph::error_of(const WaitMember& victim, const Owners& ring) {
  const std::string& wanted = victim.resource_.name;
  std::string detail;
  for (std::size_t i = 0; i < std::min(ring.size(), owners_named_max); ++i) {
    const WaitOwner& owner = *ring[i];
    if (i > 0) detail += "; ";
    detail += owner.name_;
    const char* verb = " waits for ";
    for (const WaitMember* wait : owner.waiting_) {
      detail += std::exchange(verb, ", ") + wait->resource_.name + " (session " +
                std::to_string(wait->session_id_) + ")";
    }
    verb = " and rests in a transaction on ";
    for (const WaitMember* rest : owner.resting_) {
      detail += std::exchange(verb, ", ") + rest->resource_.name + " (session " +
                std::to_string(rest->session_id_) + ")";
    }
  }
  if (ring.size() > owners_named_max) detail += "; and others";
  detail += ".";
  if (ring.size() > 1) {
    return Error::make(sqlstate::deadlock_detected,
                       "deadlock detected: " + std::to_string(ring.size()) +
                           " clients wait for each other, one of them for " + wanted)
        .with_detail(std::move(detail))
        .with_hint(
            "Roll the other transaction back and begin again. Clients that use the databases in "
            "one order never meet like this.")
        .as_retryable();
  }
  return Error::make(sqlstate::deadlock_detected, "deadlock detected: the client waits for " +
                                                      wanted + ", which it holds itself")
      .with_detail(std::move(detail))
      .with_hint(
          "End the transaction that rests, or send the statement in its session, where a nested "
          "level can hold it.")
      .as_retryable();
}

}  // namespace based
