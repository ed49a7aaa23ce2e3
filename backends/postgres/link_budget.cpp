#include "backends/postgres/link_budget.h"

#include <algorithm>

#include "protocol/check.h"

namespace based::postgres {

void LinkBudget::leave(Member& member) {
  std::erase(members_, &member);
  std::erase(hungry_, &member);
}

bool LinkBudget::take(Member& member) {
  if (used_ < links_max_) {
    ++used_;
    std::erase(hungry_, &member);
    return true;
  }
  if (std::ranges::find(hungry_, &member) != hungry_.end()) return false;
  hungry_.push_back(&member);
  Member* longest = nullptr;
  for (Member* other : members_) {
    if (other == &member || other->idle_since() == TimePoint::max()) continue;
    if (longest == nullptr || other->idle_since() < longest->idle_since()) longest = other;
  }
  if (longest != nullptr) longest->close_idle();
  return false;
}

// Whoever has the fewest links is asked first; who asks for one more waits behind the others.
void LinkBudget::give_back() {
  INVARIANT(used_ > 0);
  --used_;
  std::vector<Member*> asked = hungry_;
  std::ranges::stable_sort(asked, {}, [](const Member* member) { return member->links(); });
  for (Member* member : asked) {
    if (used_ == links_max_) return;
    if (std::erase(hungry_, member) > 0) member->on_room();
  }
}

bool LinkBudget::is_owed(const Member& member) const {
  const std::size_t own = member.links();
  return std::ranges::any_of(hungry_, [&](const Member* other) {
    const std::size_t links = other->links();
    return other != &member && other->wants_link() && (links == 0 || links + 1 < own);
  });
}

}  // namespace based::postgres
