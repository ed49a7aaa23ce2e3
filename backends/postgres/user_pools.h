// UserPools: the pools of one database, one for each user, under one limit of links.
//
// The role on the links is the one that the database's URL names; where it names none, each client
// has links of its own name. Where the limit is reached, a pool that wants a link makes another one
// close its longest idle one. Loop thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/opener.h"
#include "backends/postgres/pool.h"
#include "backends/postgres/relay.h"
#include "backends/postgres/type_catalogue.h"

namespace based::postgres {

class UserPools final : public LinkBudget {
 public:
  // A user's links, and what its relays share.
  struct UserPool {
    UserPool(const std::string& user, const UserPools& pools);
    TypeCatalogue types;
    PqOpener opener;
    Pool pool;
    RelayContext relays;
    std::string user;
  };

  // Pools of more users than these at once are refused.
  static constexpr std::size_t users_max = 1024;

  // What the relays of a pool share, made for each.
  using MakeRelays = std::function<RelayContext(LeaseSource& leases)>;

  UserPools(PoolSettings settings, ConnectionKeywords keywords, Duration connect_timeout,
            MakeRelays make_relays, Reactor& reactor, Log& log);
  ~UserPools() override;

  // The pool of the URL's user, which is also the one of clients without a name of their own.
  UserPool& own() { return *pools_.begin()->second; }
  // The pool for a client's user. 53300 where there are too many.
  Result<UserPool*> find(const std::string& user);

  void start();
  void stop();
  bool empty() const;
  std::vector<PoolStatus> status() const;

 private:
  bool take(Pool& pool) override;
  void give_back() override;
  void on_idle() override;
  void start_all();

  PoolSettings settings_;
  ConnectionKeywords keywords_;
  Duration connect_timeout_;
  const MakeRelays make_relays_;
  Reactor& reactor_;
  Log& log_;
  bool names_user_;  // the URL does
  std::size_t links_ = 0;
  std::map<std::string, std::unique_ptr<UserPool>, std::less<>> pools_;  // "" is the URL's
};

}  // namespace based::postgres
