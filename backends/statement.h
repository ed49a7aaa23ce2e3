// Statement: one SQL statement's interned text with what its tokens say about it.
//
// Made by the SQL layer (backends/sql) from what a client sent, translated for one dialect and
// shared by everybody who runs it. Immutable, so a lane's thread may read it too.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace based {

// Whose SQL the backend speaks.
enum class Dialect : std::uint8_t { postgres, sqlite };

// What the first tokens say. It decides routing, envelopes and refusals; it is never trusted for
// safety alone.
enum class StatementKind : std::uint8_t {
  empty,                // only comments and white space
  read,                 // SELECT, VALUES, TABLE, SHOW, EXPLAIN without ANALYZE, reading PRAGMA
  write,                // INSERT, UPDATE, DELETE, MERGE, REPLACE, also inside WITH; SELECT INTO
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
  sandbox,     // SANDBOX ...: Based's own command, which no database ever sees
  other,       // CALL, DO, NOTIFY, LOCK, FETCH, writing PRAGMA, what is not known
};

// How the client gives a text's parameters. It decides what a `?` is on PostgreSQL, where `?` is an
// operator too: a placeholder only where parameters are positional and the statement has neither
// `$n` nor `:name`; there, `??` is the operator `?`. On SQLite a `?` is always a placeholder.
// verbatim: the text goes to the backend as it is, and nobody asks for its parameters.
enum class ParameterStyle : std::uint8_t { none, positional, named, verbatim };

// SANDBOX STATUS | LIST | LOG | RESET [TO mark] | MARK name | DROP. What each does:
// backends/sandbox.h.
enum class SandboxVerb : std::uint8_t { status, list, log, reset, mark, drop };

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

  bool operator==(const BeginOptions&) const = default;
};

// One place where a statement's text differs from the client's: a placeholder that was rewritten.
// Offsets are in bytes; original_* count from the statement's start in the client's text.
struct TextEdit {
  std::uint32_t translated_begin = 0;
  std::uint32_t translated_end = 0;
  std::uint32_t original_begin = 0;
  std::uint32_t original_end = 0;
};

struct Statement {
  std::string text;  // in the backend's dialect: `$1` for PostgreSQL, `?1` for SQLite
  StatementKind kind = StatementKind::other;
  std::uint32_t parameter_count = 0;
  // Named parameters in order of first appearance; name i is bound to placeholder i + 1. Empty:
  // positional.
  std::vector<std::string> parameter_names;
  std::uint32_t offset = 0;  // where it starts in the client's text, in bytes

  std::vector<TextEdit> edits;  // in order; empty where the text is as the client wrote it
  std::string written;          // by the client, where the text differs at all; else empty
  std::string_view words() const { return written.empty() ? text : written; }

  // What the tokens say beyond the kind. Never trusted for safety alone.
  bool locks_rows = false;  // FOR UPDATE, FOR SHARE and their like
  // kind == read and nothing in it is known to write, lock, notify or depend on the connection: it
  // may go to a read handle or a replica. A user's own function that writes cannot be seen.
  bool plain_read = false;
  bool sets_local = false;  // by set_config: until the transaction ends literals may mean another
  bool may_copy = false;    // may answer with COPY: nothing must be pipelined behind it

  // Filled for transaction control and settings only.
  BeginOptions begin;  // begin, set_transaction, and SET SESSION CHARACTERISTICS: the modes
  // savepoint, release, rollback_to: the name, folded as the dialect folds it. setting, SET LOCAL
  // and SET transaction_...: the setting's name in lower case, `session_authorization`, `role` and
  // `timezone` whichever way they are written; `all` for RESET ALL; `session characteristics`.
  // discard: what. SQLite's PRAGMA: its name. prepare: the prepared statement's name; empty for
  // DEALLOCATE ALL. listen: the channel as the server folds it; empty for UNLISTEN *. sandbox: the
  // mark's name; empty for RESET without TO.
  std::string name;
  // The same of a setting: the value's text as written; empty for RESET. prepare, listen: the first
  // word in lower case; empty for a channel that only the server can read.
  std::string setting;
  // EXPLAIN EXECUTE, CREATE TABLE AS EXECUTE: the prepared statement's name; else empty.
  std::string executes;
  // SELECT INTO: the table that it makes, as the server folds its name; else empty.
  std::string makes;
  bool makes_temporary = false;
  bool and_chain = false;                  // COMMIT AND CHAIN, ROLLBACK AND CHAIN
  SandboxVerb verb = SandboxVerb::status;  // sandbox

  // What is run in its place in a sandbox that rewrites (backends/sql/sandbox_form.h); null:
  // itself. `told_as`, of such a one: the tag that its client sees; empty: the server's.
  std::shared_ptr<const Statement> in_sandbox;
  std::string told_as;

  // Where a byte of `text` is in the client's whole text: for the positions of errors. An offset
  // inside a rewritten placeholder gives the start of what the client wrote there.
  std::uint32_t client_offset(std::uint32_t text_offset) const noexcept;
};

using StatementRef = std::shared_ptr<const Statement>;

// What one text of a client holds: its statements in order (an empty text has none).
struct Script {
  std::vector<StatementRef> statements;
};
using ScriptRef = std::shared_ptr<const Script>;

}  // namespace based
