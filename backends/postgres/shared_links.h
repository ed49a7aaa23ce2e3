// SharedLinks: outside of a sandbox, the links of sessions that share their transactions
// (backends/join_tokens.h): one for each group.
//
// All that a group's sessions do is on its link, one unit or transaction after another. While one
// of them rests in its transaction, which is a real one, the others' are savepoints in it; the
// turns, and what is done between them, are SandboxRoot's. The link is opened by the first unit,
// beside the pool's, and closed when the last session of the group has gone. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "backends/postgres/sandbox_root.h"
#include "backends/postgres/user_pools.h"

namespace based::postgres {

class SharedLinks final {
 public:
  struct Group {
    Group(SharedLinks& links, UserPools::UserPool& pool, std::uint64_t id);

    const UserPools::Use pool_use;
    Pins pins;
    WaitResource waits;
    SandboxRoot root;
    RelayContext relays;
    SessionContext sessions;
    const std::uint64_t id;
    std::size_t uses = 0;  // sessions
    bool ending = false;
  };
  // What a session holds.
  class Use {
   public:
    Use(SharedLinks& links, Group& group) : links_(links), group_(group) { ++group_.uses; }
    ~Use() { links_.let_go(group_); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    SharedLinks& links_;
    Group& group_;
  };
  // What the sessions of a group share beside the link.
  struct Makers {
    std::function<RelayContext(UserPools::UserPool& pool, Group& group)> relays;
    std::function<SessionContext(UserPools::UserPool& pool, Group& group)> sessions;
  };

  // At most so many groups at once; the settings are those of each group's root.
  SharedLinks(SandboxSettings settings, std::size_t most, Makers makers, Reactor& reactor,
              Log& log);

  // The caller is to Use it. 53300: there are too many.
  Result<Group*> find(std::uint64_t id, UserPools::UserPool& pool);
  bool empty() const { return groups_.empty(); }

 private:
  void let_go(Group& group);

  const SandboxSettings settings_;
  const std::size_t most_;
  const Makers makers_;
  Reactor& reactor_;
  Log& log_;
  std::list<std::unique_ptr<Group>> groups_;
  std::vector<Group*> ended_;
  std::unique_ptr<Reactor::Timer> sweep_;
};

}  // namespace based::postgres
