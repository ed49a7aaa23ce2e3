// PostgresDatabase: one PostgreSQL database behind a pool of links, as a Database; or, with
// force_rollback, a sandbox: one link in a root transaction that is never committed.
//
// Links are opened by libpq on helper threads and then speak v3 messages on the loop. Nothing here
// blocks the loop. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/database.h"
#include "backends/log.h"
#include "backends/reactor.h"
#include "protocol/result.h"

namespace based {

// shared: one link listens for all sessions of a user. pin: who listens keeps its link.
enum class ListenMode : std::uint8_t { shared, pin };

struct PostgresOptions {
  std::string name;
  std::string conninfo;  // URL or keywords; everything that libpq accepts
  std::string dbname;    // not empty: instead of conninfo's
  std::string password;  // empty: what conninfo or the passfile says
  std::string application_name = "based";
  std::vector<std::string> init_sql;  // on each new link, before its first use

  // The pool, with psycopg_pool's names. A duration of zero means "no limit" unless said otherwise.
  std::size_t min_size = 0;                       // links kept open
  std::size_t max_size = 10;                      // at least 1, at least min_size
  Duration timeout = std::chrono::seconds(30);    // wait for a link; a unit may ask for less
  std::size_t max_waiting = 1000;                 // units that wait; more: 53300. 0: no limit
  Duration max_lifetime = std::chrono::hours(1);  // less up to 5 % at random
  Duration max_idle = std::chrono::minutes(10);   // above min_size
  Duration reconnect_timeout =
      std::chrono::minutes(5);                          // failing for so long: waiters fail at once
  Duration connect_timeout = std::chrono::seconds(10);  // whole set-up of a link; not zero
  Duration check_interval = std::chrono::seconds(30);   // idle for longer: asked before its use
  Duration cleanup_timeout =
      std::chrono::seconds(5);  // an abandoned link is clean by then, or closed
  Duration idle_in_transaction = std::chrono::minutes(10);  // lease resting between units: 25P03
  std::size_t max_pinned = 0;  // sessions that keep their link because they must. 0: no limit
  Duration idle_while_waited = std::chrono::seconds(5);  // of a turn in a sandbox. Zero: no limit
  Duration idle_while_pinned{};    // such a one that is silent: 57P05. Zero: no limit
  Duration transaction_timeout{};  // a whole transaction: 57014 in a statement, else 25P03

  std::size_t statements_cached_max = 256;  // per link; 0: never prepare by name
  bool auto_prepare = true;  // also what clients of PostgreSQL's protocol send without a name
  std::size_t message_bytes_max = std::size_t{256} << 20;  // one row or one error of the server

  // Through PostgreSQL's protocol only.
  bool session_mode = false;                     // a client keeps its link to its end
  bool verify_release = false;                   // forget what no text shows before each release
  bool nested_transactions = false;              // BEGIN inside of a transaction begins another one
  std::size_t prepared_statements_max = 10'000;  // named ones of one client
  ListenMode listen = ListenMode::shared;
  std::size_t notification_queue = std::size_t{1} << 20;  // bytes that wait for one client

  bool force_rollback = false;
  TurnMode turns = TurnMode::wait;
  bool rewrite = true;              // in a sandbox: see backends/sql/sandbox_form.h
  std::size_t vacuum_every = 0;     // sandbox: resets; what they have left is vacuumed. 0: never
  bool restores_sequences = false;  // sandbox: at a reset and the end, those that have moved
  // What SANDBOX LIST shows. Empty: this one only.
  std::function<std::vector<SandboxStatus>()> siblings;
  // A client of it has sent what runs only when nobody is connected to this database of the server.
  std::function<void(const std::string& database)> leave_database;
  std::uint64_t* logins_changed = nullptr;           // LoginWatch's
  Duration turn_timeout = std::chrono::seconds(30);  // sandbox: wait for the turn, then 55P03
};

// Forgets the PG* variables of this process's environment, so that they reach no link. Call it
// once, in main, before the first thread is started.
void forget_postgres_environment();

// Could these options be opened? 22023 otherwise.
Result<void> check_postgres(const PostgresOptions& options);

// Starts although the server is away: links are opened when they are needed (min_size of them in
// the background). 22023 for options that cannot work, among them a conninfo that libpq cannot
// parse.
Result<std::unique_ptr<Database>> open_postgres(PostgresOptions options, Reactor& reactor,
                                                Log& log);

}  // namespace based
