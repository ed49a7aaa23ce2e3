// A PostgreSQL client's session on a SQLite database. Loop thread.
//
// Simple and extended protocol as PostgreSQL has them, on top of Database::open_session(). What is
// as in PostgreSQL and what is not: daemon/postgres/SQLITE.md.
#pragma once

#include <cstdint>
#include <memory>

#include "backends/database.h"
#include "backends/wire.h"
#include "daemon/database_directory.h"

namespace based {

struct SqliteWireRules {
  DatabaseTimeouts timeouts;
  bool nested = false;  // BEGIN inside a transaction begins another one
  std::uint32_t depth_max = 64;
};

// The database, the client and the reactor outlive the session.
std::unique_ptr<WireSession> open_sqlite_wire_session(Database& database, WireOptions options,
                                                      WireClient& client, Reactor& reactor,
                                                      const SqliteWireRules& rules = {});

}  // namespace based
