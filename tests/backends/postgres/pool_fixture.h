// PoolFixture: a pool of links to fake servers under a hand-cranked clock, and sessions on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/postgres/pool.h"
#include "backends/postgres/postgres_session.h"
#include "tests/support/fake_postgres.h"
#include "tests/support/memory_log.h"
#include "tests/support/session_probe.h"

namespace based::postgres {

inline PoolSettings small_pool(std::size_t max_size) {
  PoolSettings settings;
  settings.name = "app";
  settings.max_size = max_size;
  settings.link = {.start_timeout = std::chrono::seconds(10),
                   .cleanup_timeout = std::chrono::seconds(5),
                   .statements_cached_max = 8,
                   .message_bytes_max = 1 << 20};
  return settings;
}

// The Database that SessionProbe needs, over this pool.
class PoolFixture final : public Database {
 public:
  explicit PoolFixture(PoolSettings settings)
      : cluster(reactor), pool(std::move(settings), cluster, types, reactor, log) {
    static_cast<void>(types.load());  // the fake servers have no catalogue
    pool.start();
  }

  const std::string& name() const override { return name_; }
  Dialect dialect() const override { return Dialect::postgres; }
  bool rooted() const override { return false; }
  bool force_rollback() const override { return false; }
  // One statement, as it is.
  Result<ScriptRef> intern(std::string_view text, ParameterStyle) override {
    auto script = std::make_shared<Script>();
    const StatementKind kind = text == "COMMIT" ? StatementKind::commit : StatementKind::write;
    script->statements.push_back(statement_of(std::string(text), kind));
    return ScriptRef(std::move(script));
  }
  std::unique_ptr<BackendSession> open_session(SessionOptions options,
                                               SessionListener& listener) override {
    return std::make_unique<PostgresSession>(context, std::move(options), listener);
  }
  DatabaseStatus status() const override { return {}; }
  void shut_down(std::function<void(std::vector<std::string>)>) override {}

  void submit(SessionProbe& probe, std::string_view text, bool keep_lease = false) {
    Unit unit = probe.unit(text);
    unit.keep_lease = keep_lease;
    probe.submit(std::move(unit));
  }
  // To the end of the unit, with whatever off-loop work it takes.
  SessionProbe& run(SessionProbe& probe, std::string_view text, bool keep_lease = false) {
    submit(probe, text, keep_lease);
    cluster.settle_all();
    return probe;
  }

  FakeReactor reactor;
  MemoryLog log;
  TypeCatalogue types;
  SeenTexts seen;
  FakeCluster cluster;
  Pool pool;
  WaitResource waits{.name = "pool"};
  Pins pins;
  SessionContext context{.leases = pool,
                         .pins = pins,
                         .waits = waits,
                         .types = types,
                         .seen = seen,
                         .reactor = reactor,
                         .log = log,
                         .lease_timeout = std::chrono::seconds(30),
                         .settings_timeout = std::chrono::seconds(5),
                         .idle_in_transaction = std::chrono::minutes(1)};

 private:
  std::string name_ = "app";
};

}  // namespace based::postgres
