// LiveFixture: a real loop and a real PostgreSQL, whose conninfo is in BASED_TEST_POSTGRES. A run
// without it fails: tests/e2e/test_postgres_backend.py gives it a cluster of its own.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <memory>
#include <string>

#include "backends/postgres/postgres_database.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_log.h"
#include "tests/support/session_probe.h"

namespace based {

class LiveFixture : public LoopFixture {
 public:
  explicit LiveFixture(PostgresOptions options = {}) { open(std::move(options)); }
  ~LiveFixture() { close(); }

  static std::string conninfo() {
    const char* value = ::getenv("BASED_TEST_POSTGRES");
    REQUIRE_MESSAGE(value != nullptr, "BASED_TEST_POSTGRES is not set");
    return value;
  }

  void open(PostgresOptions options) {
    options.name = "app";
    if (options.conninfo.empty()) options.conninfo = conninfo();
    Result<std::unique_ptr<Database>> opened = open_postgres(std::move(options), reactor, log);
    if (!opened) FAIL(opened.error().message);
    database = *std::move(opened);
  }

  void close() {
    if (!database) return;
    bool closed = false;
    database->shut_down([&](std::vector<std::string> lines) {
      report = std::move(lines);
      closed = true;
    });
    run_until([&] { return closed; });
    database.reset();
  }

  // Runs the unit to its end.
  SessionProbe& run(SessionProbe& probe, Unit unit) {
    probe.submit(std::move(unit));
    run_until([&] { return probe.done(); });
    return probe;
  }
  SessionProbe& run(SessionProbe& probe, std::string_view text,
                    std::vector<ValueView> parameters = {}) {
    return run(probe, probe.unit(text, std::move(parameters)));
  }
  // With the session's lease kept afterwards.
  SessionProbe& hold(SessionProbe& probe, std::string_view text) {
    Unit unit = probe.unit(text);
    unit.keep_lease = true;
    return run(probe, std::move(unit));
  }
  PoolStatus pool() const { return database->status().pools.at(0); }

  MemoryLog log;
  std::unique_ptr<Database> database;
  std::vector<std::string> report;
};

}  // namespace based
