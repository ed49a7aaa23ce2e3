#include "backends/postgres/user_pools.h"

#include <algorithm>
#include <utility>

namespace based::postgres {
namespace {

// The link that listens stays for a while: who listens often comes back.
constexpr Duration listener_linger = std::chrono::minutes(1);
constexpr Duration sweep_interval = std::chrono::seconds(30);

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

UserPools::UserPool::UserPool(const std::string& name, UserPools& pools)
    : opener(with_user(pools.keywords_, name), pools.connect_timeout_, pools.reactor_),
      pool(named(pools.settings_, name.empty() ? value_of(pools.keywords_, "user") : name), opener,
           types, pools.reactor_, pools.log_),
      listener({.name = pool.name(),
                .wait_timeout = pools.connect_timeout_,
                .linger = listener_linger,
                .link = pools.settings_.link},
               opener, pools.reactor_, pools.log_),
      waits{.name = pools.settings_.name, .places = pools.settings_.max_size},
      pins(pools.pins_),
      relays(pools.makers_.relays(*this)),
      sessions(pools.makers_.sessions(*this)),
      user(name.empty() ? value_of(pools.keywords_, "user") : name) {
  relays.pool = sessions.pool = pool.name();
}

UserPools::UserPools(PoolSettings settings, const Pins& pins, ConnectionKeywords keywords,
                     Duration connect_timeout, Makers makers, Reactor& reactor, Log& log)
    : settings_(std::move(settings)),
      pins_(pins),
      keywords_(std::move(keywords)),
      connect_timeout_(connect_timeout),
      makers_(std::move(makers)),
      reactor_(reactor),
      log_(log),
      names_user_(!value_of(keywords_, "user").empty()),
      budget_(settings_.max_size),
      sweep_(reactor.make_timer([this] {
        forget_empty();
        if (pools_.size() > 1) sweep_->arm(reactor_.now() + sweep_interval);
      })) {
  settings_.budget = &budget_;
  pools_.emplace("", std::make_unique<UserPool>("", *this));
  settings_.min_size = 0;  // the others' links are opened when they are wanted
}

UserPools::~UserPools() = default;

Result<UserPools::UserPool*> UserPools::find(const std::string& user) {
  if (names_user_ || user.empty()) return &own();
  const auto found = pools_.find(user);
  if (found != pools_.end()) return found->second.get();
  if (pools_.size() >= users_max) forget_empty();
  if (pools_.size() >= users_max) {
    return Error::make(sqlstate::too_many_connections,
                       "too many different users of database " + settings_.name);
  }
  if (pools_.size() == 1) sweep_->arm(reactor_.now() + sweep_interval);
  return pools_.emplace(user, std::make_unique<UserPool>(user, *this)).first->second.get();
}

void UserPools::forget_empty() {
  std::erase_if(pools_, [](const auto& entry) {
    return !entry.first.empty() && entry.second->uses == 0 && entry.second->empty();
  });
}

void UserPools::start() { own().pool.start(); }

void UserPools::stop() {
  for (const auto& [user, entry] : pools_) {
    entry->pool.stop();
    entry->listener.stop();
  }
}

void UserPools::leave() {
  for (const auto& [user, entry] : pools_) entry->pool.leave();
}

bool UserPools::unused() const {
  return empty() &&
         std::ranges::all_of(pools_, [](const auto& entry) { return entry.second->uses == 0; });
}

bool UserPools::empty() const {
  return std::ranges::all_of(pools_, [](const auto& entry) { return entry.second->empty(); });
}

std::vector<PoolStatus> UserPools::status() const {
  std::vector<PoolStatus> all;
  for (const auto& [user, entry] : pools_) {
    PoolStatus status = entry->pool.status();
    const bool unused = user.empty() && pools_.size() > 1 && status.connections_num == 0;
    if (unused) continue;  // nobody comes without a name
    status.user = entry->user;
    entry->listener.add_status(status);
    status.notifications_dropped = entry->relays.notifications_dropped;
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace based::postgres
