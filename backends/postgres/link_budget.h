// LinkBudget: how many links the pools of one database may have together.
//
// A pool that may not open one more waits for room; the link of another pool that was idle for the
// longest is closed for it, and a pool with more links gives one up when it comes back. So each
// user who waits gets a link, whatever the others do. Loop thread only.
#pragma once

#include <cstddef>
#include <vector>

#include "backends/reactor.h"

namespace based::postgres {

class LinkBudget {
 public:
  // A pool. Leaves before it dies.
  class Member {
   public:
    virtual ~Member() = default;
    // Those that it has, and those that it opens.
    virtual std::size_t links() const = 0;
    // Does it still want another one?
    virtual bool wants_link() const = 0;
    // Since when its longest idle link is idle; TimePoint::max(): none is.
    virtual TimePoint idle_since() const = 0;
    // Closes that one; give_back() follows when it is closed, from the loop.
    virtual void close_idle() = 0;
    // There is room: take() may succeed. Called inside give_back() of another pool.
    virtual void on_room() = 0;
  };

  explicit LinkBudget(std::size_t links_max) : links_max_(links_max) {}

  void join(Member& member) { members_.push_back(&member); }
  void leave(Member& member);
  // A place for one more link. False: there is none, and on_room follows.
  bool take(Member& member);
  // A link that had a place is gone, or could not be opened.
  void give_back();
  // Should the member close a link that has just come back, for a pool that has fewer?
  bool is_owed(const Member& member) const;
  std::size_t used() const { return used_; }

 private:
  std::size_t links_max_;
  std::size_t used_ = 0;
  std::vector<Member*> members_;
  std::vector<Member*> hungry_;  // refused by take(), the oldest first
};

}  // namespace based::postgres
