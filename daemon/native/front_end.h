// NativeFrontEnd: every native connection, and what they share: numbers, keys, the sweep, the end.
// Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <unordered_map>

#include "backends/log.h"
#include "backends/reactor.h"
#include "backends/wait_graph.h"
#include "daemon/database_directory.h"
#include "daemon/front_end.h"
#include "daemon/native/limits.h"
#include "daemon/users.h"

namespace based::native {

class NativeConnection;

class NativeFrontEnd final : public FrontEnd {
 public:
  // Everything outlives the front end, which outlives its connections.
  NativeFrontEnd(const NativeLimits& limits, DatabaseDirectory& databases, const Users& users,
                 Reactor& reactor, Log& log);
  ~NativeFrontEnd() override;

  // The maker of the daemon's snapshot, for STATUS requests. Set once, before clients come.
  void set_status_source(std::function<StatusTree()> source) { status_source_ = std::move(source); }

  std::unique_ptr<TransportHandler> accept(Transport& transport) override;
  std::unique_ptr<TransportHandler> turn_away(Transport& transport, const Error& why) override;
  void drain(TimePoint deadline) override;
  FrontEndStatus status() const override;

  // For connections.
  struct Counters {
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
    std::uint64_t cancels = 0;
  };
  Counters& counters() { return counters_; }
  const NativeLimits& limits() const { return limits_; }
  DatabaseDirectory& databases() { return databases_; }
  const Users& users() const { return users_; }
  Reactor& reactor() { return reactor_; }
  Log& log() { return log_; }
  WaitGraph& waits() { return waits_; }
  StatusTree daemon_status() const { return status_source_ ? status_source_() : StatusTree::Map{}; }
  bool draining() const { return drain_deadline_ != nullptr; }
  TimePoint drain_until() const { return drain_until_; }
  NativeConnection* find(std::uint64_t connection) const;
  std::uint64_t next_session_id() { return ++last_session_id_; }
  // A feature name that means nothing, and changes: clients must ignore it.
  std::string meaningless_feature();
  void forget(std::uint64_t connection) { connections_.erase(connection); }

 private:
  std::unique_ptr<TransportHandler> enter(Transport& transport, const Error* turned_away);
  void sweep();
  void end_all();

  const NativeLimits limits_;
  DatabaseDirectory& databases_;
  const Users& users_;
  Reactor& reactor_;
  Log& log_;
  WaitGraph waits_;
  std::function<StatusTree()> status_source_;
  std::unordered_map<std::uint64_t, NativeConnection*> connections_;
  std::unique_ptr<Reactor::Timer> sweep_timer_;
  std::unique_ptr<Reactor::Timer> drain_deadline_;
  TimePoint drain_until_;
  std::minstd_rand grease_;
  Counters counters_;
  std::uint64_t last_connection_id_ = 0;
  std::uint64_t last_session_id_ = 0;
};

}  // namespace based::native
