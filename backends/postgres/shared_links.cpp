#include "backends/postgres/shared_links.h"

#include <algorithm>
#include <string>
#include <utility>

namespace based::postgres {

SharedLinks::Group::Group(SharedLinks& links, UserPools::UserPool& pool, std::uint64_t number)
    : pool_use(pool),
      waits{.name = links.settings_.name},
      root(links.settings_, pool.opener, pool.types, links.reactor_, links.log_),
      relays(links.makers_.relays(pool, *this)),
      sessions(links.makers_.sessions(pool, *this)),
      id(number) {}

SharedLinks::SharedLinks(SandboxSettings settings, std::size_t most, Makers makers,
                         Reactor& reactor, Log& log)
    : settings_(std::move(settings)),
      most_(most),
      makers_(std::move(makers)),
      reactor_(reactor),
      log_(log) {
  sweep_ = reactor_.make_timer([this] {
    for (const Group* ended : std::exchange(ended_, {})) {
      std::erase_if(groups_, [&](const auto& group) { return group.get() == ended; });
    }
  });
}

Result<SharedLinks::Group*> SharedLinks::find(std::uint64_t id, UserPools::UserPool& pool) {
  const auto found = std::ranges::find_if(
      groups_, [id](const auto& group) { return group->id == id && !group->ending; });
  if (found != groups_.end()) return found->get();
  if (groups_.size() >= most_) {
    return Error::make(sqlstate::too_many_connections,
                       "there are too many shared sessions of " + settings_.name)
        .with_hint("Each group has a connection to itself, of which there are max_pinned at most.")
        .as_retryable();
  }
  groups_.push_back(std::make_unique<Group>(*this, pool, id));
  return groups_.back().get();
}

void SharedLinks::let_go(Group& group) {
  if (--group.uses > 0) return;
  group.ending = true;
  group.root.end([this, &group](const std::vector<std::string>&) {
    ended_.push_back(&group);
    sweep_->arm(reactor_.now());
  });
}

}  // namespace based::postgres
