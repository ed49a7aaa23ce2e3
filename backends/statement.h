// Statement: one SQL statement's interned text with what its tokens say about it.
//
// Made by the SQL layer (backends/sql) from what a client sent, translated for one dialect and
// shared by everybody who runs it. Immutable, so a lane's thread may read it too.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace based {

// Whose SQL the backend speaks.
enum class Dialect : std::uint8_t { postgres, sqlite };

// What the first tokens say. It decides routing, envelopes and refusals; it is never trusted for
// safety alone.
enum class StatementKind : std::uint8_t {
  empty,                // only comments and white space
  read,                 // SELECT, VALUES, TABLE, SHOW, EXPLAIN without ANALYZE, reading PRAGMA
  write,                // INSERT, UPDATE, DELETE, MERGE, REPLACE, and WITH (which may contain them)
  definition,           // CREATE, ALTER, DROP, TRUNCATE, GRANT, COMMENT, ...
  begin,                // BEGIN, START TRANSACTION
  commit,               // COMMIT, END
  rollback,             // ROLLBACK, ABORT
  savepoint,            // SAVEPOINT name
  release,              // RELEASE [SAVEPOINT] name
  rollback_to,          // ROLLBACK TO [SAVEPOINT] name
  prepare_transaction,  // PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED
  set_transaction,      // SET TRANSACTION, SET CONSTRAINTS, SET LOCAL: ends with the transaction
  setting,              // SET, RESET, SET SESSION CHARACTERISTICS, ROLE: a session's setting
  prepare,              // PREPARE, EXECUTE, DEALLOCATE
  discard,              // DISCARD
  listen,               // LISTEN, UNLISTEN
  copy,                 // COPY
  standalone,  // refuses to run in a transaction: VACUUM, CREATE DATABASE, ... CONCURRENTLY
  pinning,     // leaves state on its connection: temporary objects, advisory locks, LOAD, WITH HOLD
  other,
};

struct BeginOptions {
  enum class Isolation : std::uint8_t {
    unset,
    read_uncommitted,
    read_committed,
    repeatable_read,
    serializable
  };
  enum class Access : std::uint8_t { unset, read_write, read_only };
  enum class Deferrable : std::uint8_t { unset, deferrable, not_deferrable };
  enum class Locking : std::uint8_t { unset, deferred, immediate, exclusive };  // SQLite's
  enum class IfOpen : std::uint8_t { nest, join, error };

  Isolation isolation = Isolation::unset;
  Access access = Access::unset;
  Deferrable deferrable = Deferrable::unset;
  Locking locking = Locking::unset;
  IfOpen if_open = IfOpen::nest;
  bool force_rollback = false;  // this level's commit rolls back, and says so
  std::string name;             // the client's name for the level; empty: none
};

struct Statement {
  std::string text;  // in the backend's dialect: `$1` for PostgreSQL, `?1` for SQLite
  StatementKind kind = StatementKind::other;
  std::uint32_t parameter_count = 0;
  // Named parameters in order of first appearance; name i is bound to placeholder i + 1. Empty:
  // positional.
  std::vector<std::string> parameter_names;
  std::uint32_t offset = 0;  // where it starts in the client's text, in bytes

  // Filled for transaction control and settings only.
  BeginOptions begin;      // begin, and the modes of set_transaction
  std::string name;        // savepoint, release, rollback_to; the setting's name (lower case)
  std::string setting;     // setting: the value's text as written; empty for RESET
  bool and_chain = false;  // COMMIT AND CHAIN, ROLLBACK AND CHAIN
};

using StatementRef = std::shared_ptr<const Statement>;

// What one text of a client holds: its statements in order (an empty text has none).
struct Script {
  std::vector<StatementRef> statements;
};
using ScriptRef = std::shared_ptr<const Script>;

}  // namespace based
