// UserPools: the pools of one database, one for each user, under one limit of links.
//
// The role on the links is the one that the database's URL names; where it names none, each client
// has links of its own name. A user without sessions and links is forgotten. Loop thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/link_budget.h"
#include "backends/postgres/listener.h"
#include "backends/postgres/opener.h"
#include "backends/postgres/pool.h"
#include "backends/postgres/postgres_session.h"
#include "backends/postgres/relay.h"
#include "backends/postgres/type_catalogue.h"

namespace based::postgres {

class UserPools final {
 public:
  // A user's links, and what its sessions share.
  struct UserPool {
    UserPool(const std::string& user, UserPools& pools);
    // No link.
    bool empty() const { return pool.empty() && listener.empty(); }

    TypeCatalogue types;
    PqOpener opener;
    Pool pool;
    Listener listener;
    SeenTexts seen;
    WaitResource waits;
    Pins pins;
    RelayContext relays;
    SessionContext sessions;
    std::string user;
    std::size_t uses = 0;  // sessions
  };
  // What a session holds, so that its pool is not forgotten.
  class Use {
   public:
    explicit Use(UserPool& pool) : pool_(pool) { ++pool_.uses; }
    ~Use() { --pool_.uses; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    UserPool& pool_;
  };

  // Pools of more users than these at once are refused.
  static constexpr std::size_t users_max = 1024;

  // What the sessions of a pool share, made for each when its links are.
  struct Makers {
    std::function<RelayContext(UserPool& pool)> relays;
    std::function<SessionContext(UserPool& pool)> sessions;
  };

  UserPools(PoolSettings settings, const Pins& pins, ConnectionKeywords keywords,
            Duration connect_timeout, Makers makers, Reactor& reactor, Log& log);
  ~UserPools();

  // The pool of the URL's user, which is also the one of clients without a name of their own.
  UserPool& own() { return *pools_.begin()->second; }
  // The pool for a client's user, which the caller is to Use. 53300 where there are too many.
  Result<UserPool*> find(const std::string& user);

  void start();
  void stop();
  void leave();  // as Pool's
  // No pool has a link.
  bool empty() const;
  // Nor has it a session.
  bool unused() const;
  std::vector<PoolStatus> status() const;

 private:
  void forget_empty();

  PoolSettings settings_;
  const Pins pins_;
  ConnectionKeywords keywords_;
  Duration connect_timeout_;
  const Makers makers_;
  Reactor& reactor_;
  Log& log_;
  bool names_user_;  // the URL does
  LinkBudget budget_;
  std::unique_ptr<Reactor::Timer> sweep_;
  std::map<std::string, std::unique_ptr<UserPool>, std::less<>> pools_;  // "" is the URL's
};

}  // namespace based::postgres
