// A PostgreSQL client without a socket on a real SQLite database, whose lane is real too.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/sqlite/sqlite_database.h"
#include "daemon/postgres/sqlite_session.h"
#include "protocol/postgres/frontend.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_log.h"
#include "tests/support/wire_probe.h"

namespace based {

// What an Execute of one parameter list asks for.
struct Bound {
  std::vector<std::optional<std::string>> values;
  postgres::Format format = postgres::Format::text;
};

class SqliteClient {
 public:
  SqliteClient(LoopFixture& loop, Database& database, const SqliteWireRules& rules)
      : loop_(loop), probe_([&](WireClient& client) {
          static std::uint64_t last = 0;
          return open_sqlite_wire_session(database,
                                          {.session_id = ++last,
                                           .client = "probe",
                                           .user = "tester",
                                           .database = "app",
                                           .process_id = 7},
                                          client, loop.reactor, rules);
        }) {}

  // One simple query; its replies as WireProbe shows them.
  std::string query(std::string_view text) {
    std::string bytes;
    postgres::FrontendWriter(bytes).query(text);
    return pipeline(bytes);
  }
  // Messages that end in one Sync or Query; their replies.
  std::string pipeline(std::string_view bytes) {
    send(bytes);
    wait();
    return probe_.take();
  }
  // Message by message, each as soon as the session takes it.
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      std::size_t length = 0;
      for (std::size_t i = 1; i <= 4; ++i)
        length = length << 8 | static_cast<unsigned char>(bytes[i]);
      loop_.run_until([&] { return probe_.taking; });
      probe_.send_messages(bytes.substr(0, length + 1));
      bytes.remove_prefix(length + 1);
    }
  }
  void wait() {
    loop_.run_until([&] { return probe_.ready() > 0; });
  }
  WireProbe& probe() { return probe_; }

 private:
  LoopFixture& loop_;
  WireProbe probe_;
};

class SqliteWireFixture {
 public:
  explicit SqliteWireFixture(bool sandboxed = false) {
    auto opened = open_sqlite({.name = "app",
                               .force_rollback = sandboxed,
                               .idle_in_transaction = std::chrono::milliseconds(50)},
                              loop.reactor, log);
    REQUIRE(opened);
    database = std::move(*opened);
  }
  ~SqliteWireFixture() {
    clients_.clear();
    bool closed = false;
    database->shut_down([&](const std::vector<std::string>&) { closed = true; });
    loop.run_until([&] { return closed; });
    database.reset();
  }
  SqliteClient& client(const SqliteWireRules& rules = {}) {
    clients_.push_back(std::make_unique<SqliteClient>(loop, *database, rules));
    return *clients_.back();
  }

  MemoryLog log;
  LoopFixture loop;
  std::unique_ptr<Database> database;

 private:
  std::vector<std::unique_ptr<SqliteClient>> clients_;
};

}  // namespace based
