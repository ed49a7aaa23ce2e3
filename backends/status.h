// What a database says of itself: one snapshot, made by one function, shown by STATUS, SIGUSR1 and
// the console.
//
// Gauges and counters keep psycopg_pool's names where they mean the same thing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace based {

struct PoolStatus {
  std::string user;
  std::uint64_t pool_min = 0, pool_max = 0;
  std::uint64_t pool_size = 0;       // idle + leased + being opened
  std::uint64_t pool_available = 0;  // idle
  std::uint64_t leased = 0, opening = 0, cleaning = 0, pinned = 0;
  std::vector<std::string> pin_reasons;  // who keeps a link, and for which statement
  std::uint64_t requests_waiting = 0;
  std::uint64_t requests_num = 0, requests_queued = 0, requests_wait_ms = 0, requests_errors = 0;
  std::uint64_t usage_ms = 0, returns_bad = 0;
  std::uint64_t connections_num = 0, connections_ms = 0, connections_errors = 0,
                connections_lost = 0;
  std::uint64_t statements_prepared = 0, statements_reused = 0;
  std::string listener = "away";  // the link that listens for all: "away", "opening", "up"
  std::uint64_t channels = 0, subscriptions = 0;
  std::uint64_t notifications_delivered = 0, notifications_dropped = 0;
};

struct LaneStatus {
  std::string path;
  std::string state;          // "idle", "running", "leased"
  std::uint64_t holder = 0;   // session that holds the write lease; 0: none
  std::uint64_t waiting = 0;  // units in the queue
  std::uint64_t units = 0, errors = 0, cancelled = 0, leases_expired = 0;
  std::uint64_t statements_cached = 0;
};

struct SandboxStatus {
  std::string name;
  std::string state;         // "closed", "opening", "ready", "lost"
  std::uint64_t holder = 0;  // session that has the turn; 0: none
  std::uint64_t waiting = 0;
  std::uint64_t transactions = 0, units = 0;  // what a reset or the shutdown discards
  std::uint64_t epoch = 0;                    // roots opened so far
  std::uint64_t resets = 0;                   // SANDBOX RESET, with and without a mark
  std::uint64_t age_ms = 0;                   // of what they would discard; PostgreSQL's: now()'s
  std::string kind;                           // "transaction": PostgreSQL's root; "overlay"
  std::string xid;                    // the root's transaction ID; empty: it has written nothing
  std::uint64_t locks = 0;            // that the root holds, as of a second ago
  std::string sequences;              // "leak", "restore"; empty: there are none
  std::int32_t process = 0;           // PostgreSQL's, of the root's connection; 0: none
  std::uint64_t joins_lost = 0;       // turns that went with a transaction that they had joined
  std::uint64_t subtransactions = 0;  // of the root, that have written
  std::uint64_t exclusive_locks = 0;  // on tables of everybody's
  std::string locked_tables;          // the first of these
  std::string user;                   // of the root's connection; and whether clients are their own
  std::vector<std::string> warnings;  // for people: what it does to others
  std::vector<std::string> marks;     // what a reset may go back to, the oldest first
};

struct DatabaseStatus {
  std::string name;
  std::string backend;  // "postgresql", "sqlite"
  bool force_rollback = false;
  std::vector<PoolStatus> pools;
  std::vector<LaneStatus> lanes;
  std::vector<SandboxStatus> sandboxes;
};

}  // namespace based
