// PostgresFrontEnd: every client that speaks PostgreSQL's protocol, and what they share: numbers,
// cancel keys, the sweep, the end. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "backends/log.h"
#include "backends/reactor.h"
#include "daemon/database_directory.h"
#include "daemon/front_end.h"
#include "daemon/users.h"
#include "protocol/postgres/cutter.h"

namespace based::postgres {

class PostgresClient;

struct PostgresLimits {
  CutterLimits messages;
  Duration handshake = std::chrono::seconds(10);  // from the first byte to the session
  Duration idle{};                                // of a client at rest; zero: no limit
};

class PostgresFrontEnd final : public FrontEnd {
 public:
  // Everything outlives the front end, which outlives its clients.
  PostgresFrontEnd(const PostgresLimits& limits, DatabaseDirectory& databases, const Users& users,
                   Reactor& reactor, Log& log);
  ~PostgresFrontEnd() override;

  std::unique_ptr<TransportHandler> accept(Transport& transport) override;
  std::unique_ptr<TransportHandler> turn_away(Transport& transport, const Error& why) override;
  void drain(TimePoint deadline) override;
  FrontEndStatus status() const override;

  // For clients.
  struct Counters {
    std::uint64_t requests = 0;  // what gets a ReadyForQuery: Query, Sync and FunctionCall
    std::uint64_t cancels = 0;
    std::uint64_t refused = 0;
  };
  Counters& counters() { return counters_; }
  const PostgresLimits& limits() const { return limits_; }
  DatabaseDirectory& databases() { return databases_; }
  const Users& users() const { return users_; }
  Reactor& reactor() { return reactor_; }
  Log& log() { return log_; }
  bool draining() const { return drain_deadline_ != nullptr; }
  // A number that the client knows itself under: positive, and no other client's.
  std::int32_t enter(PostgresClient& client);
  void leave(std::int32_t process_id);
  // Bytes that nobody can guess. Empty: the system has none.
  std::string random_bytes(std::size_t count);
  // The session of this key is told to cancel. Wrong keys have no effect, and nobody hears of it.
  // `until_sent`: see WireSession::cancel.
  void cancel(std::int32_t process_id, std::string_view secret,
              std::shared_ptr<const void> until_sent);
  // PostgresClient::go_on() runs from the loop, unless the client leaves before.
  void go_on_soon(PostgresClient& client);

 private:
  void sweep();
  void go_on();

  const PostgresLimits limits_;
  DatabaseDirectory& databases_;
  const Users& users_;
  Reactor& reactor_;
  Log& log_;
  std::unordered_map<std::int32_t, PostgresClient*> clients_;
  std::vector<std::int32_t> going_on_;
  std::unique_ptr<Reactor::Timer> sweep_timer_, go_on_timer_, drain_deadline_;
  Counters counters_;
  std::uint64_t clients_total_ = 0;
  std::int32_t last_process_id_ = 0;
};

}  // namespace based::postgres
