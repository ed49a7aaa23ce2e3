#include "backends/postgres/user_pools.h"

#include <algorithm>
#include <utility>

namespace based::postgres {
namespace {

std::string value_of(const ConnectionKeywords& keywords, std::string_view name) {
  for (const auto& [keyword, value] : keywords) {
    if (keyword == name) return value;
  }
  return {};
}

ConnectionKeywords with_user(ConnectionKeywords keywords, const std::string& user) {
  if (!user.empty()) keywords.emplace_back("user", user);
  return keywords;
}

// "app/alice": for logs and errors.
PoolSettings named(PoolSettings settings, const std::string& user) {
  if (!user.empty()) settings.name += "/" + user;
  return settings;
}

}  // namespace

UserPools::UserPool::UserPool(const std::string& name, const UserPools& pools)
    : opener(with_user(pools.keywords_, name), pools.connect_timeout_, pools.reactor_),
      pool(named(pools.settings_, name.empty() ? value_of(pools.keywords_, "user") : name), opener,
           types, pools.reactor_, pools.log_),
      relays(pools.make_relays_(pool)),
      user(name.empty() ? value_of(pools.keywords_, "user") : name) {
  relays.pool = pool.name();
}

UserPools::UserPools(PoolSettings settings, ConnectionKeywords keywords, Duration connect_timeout,
                     MakeRelays make_relays, Reactor& reactor, Log& log)
    : settings_(std::move(settings)),
      keywords_(std::move(keywords)),
      connect_timeout_(connect_timeout),
      make_relays_(std::move(make_relays)),
      reactor_(reactor),
      log_(log),
      names_user_(!value_of(keywords_, "user").empty()) {
  settings_.budget = this;
  pools_.emplace("", std::make_unique<UserPool>("", *this));
  settings_.min_size = 0;  // the others' links are opened when they are wanted
}

UserPools::~UserPools() = default;

Result<UserPools::UserPool*> UserPools::find(const std::string& user) {
  if (names_user_ || user.empty()) return &own();
  const auto found = pools_.find(user);
  if (found != pools_.end()) return found->second.get();
  if (pools_.size() >= users_max) {
    return Error::make(sqlstate::too_many_connections,
                       "too many different users of database " + settings_.name);
  }
  return pools_.emplace(user, std::make_unique<UserPool>(user, *this)).first->second.get();
}

void UserPools::start() { own().pool.start(); }

void UserPools::stop() {
  for (const auto& [user, entry] : pools_) entry->pool.stop();
}

bool UserPools::empty() const {
  return std::ranges::all_of(pools_, [](const auto& entry) { return entry.second->pool.empty(); });
}

std::vector<PoolStatus> UserPools::status() const {
  std::vector<PoolStatus> all;
  for (const auto& [user, entry] : pools_) {
    PoolStatus status = entry->pool.status();
    const bool unused = user.empty() && pools_.size() > 1 && status.connections_num == 0;
    if (unused) continue;  // nobody comes without a name
    status.user = entry->user;
    all.push_back(std::move(status));
  }
  return all;
}

bool UserPools::take(Pool& wanting) {
  if (links_ < settings_.max_size) {
    ++links_;
    return true;
  }
  // One idle link of another pool goes; its place is then given to whoever waits.
  Pool* idlest = nullptr;
  for (const auto& [user, entry] : pools_) {
    if (&entry->pool == &wanting || !entry->pool.idle_since()) continue;
    if (idlest == nullptr || *entry->pool.idle_since() < *idlest->idle_since()) {
      idlest = &entry->pool;
    }
  }
  if (idlest != nullptr) idlest->give_up_idle();
  return false;
}

// A link has become idle that its own pool has no use for.
void UserPools::on_idle() {
  if (links_ < settings_.max_size || pools_.size() == 1) return;
  start_all();
}

void UserPools::give_back() {
  --links_;
  start_all();
}

void UserPools::start_all() {
  for (const auto& [user, entry] : pools_) entry->pool.start();
}

}  // namespace based::postgres
