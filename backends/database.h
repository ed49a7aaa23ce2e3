// Database: one configured database as the front ends see it, whichever backend is behind it.
//
// Loop thread only. A Database outlives its BackendSessions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/join_tokens.h"
#include "backends/sandbox.h"
#include "backends/status.h"
#include "backends/unit.h"
#include "backends/wait_graph.h"
#include "backends/wire.h"
#include "protocol/result.h"

namespace based {

// Told what happens to a session between units. Never called inside a call into the backend.
class SessionListener {
 public:
  virtual ~SessionListener() = default;
  // The lease was taken away (idle too long while others wait, link lost, sandbox lost, shutdown):
  // its transaction is rolled back and no level of it exists any more.
  virtual void on_lease_lost(const Error& reason) = 0;
  // Others of its group are to run: the levels that are pending are entered first, by a unit
  // without steps that is submitted inside this call. Only where rest() has said that there are.
  virtual void on_enter_due() {}
};

// How a session's transaction is while nothing of it runs.
enum class Resting : std::uint8_t {
  none,     // there is none
  failed,   // nobody may join it
  sound,    // others may, until the next unit
  pending,  // the same, and it has levels that the database has not heard of
};

struct SessionOptions {
  std::uint64_t session_id = 0;    // for logs, and for errors that name the holder
  std::string label;               // the client's name for the session: logs, application_name
  std::string client;              // the client's address, for errors that name the holder
  std::string user;                // as the client has proved, or said where nobody asked; or empty
  bool read_only = false;          // writes fail with 25006
  Duration idle_in_transaction{};  // how long a lease may rest between units; zero: the database's
                                   // setting
  WaitOwner* owner = nullptr;      // the client, for who waits for whom; outlives the session
  std::uint64_t group = 0;         // of JoinTokens: whose transactions it joins; 0: nobody's
};

// A backend's half of one session: the lease it may hold, and the unit in flight.
//
// Destroying it abandons the session: what is queued is forgotten, what runs is cancelled, its
// transaction and no other is rolled back, the link or lane is cleaned or closed. The sink and the
// listener hear nothing more.
class BackendSession {
 public:
  virtual ~BackendSession() = default;
  // One unit at a time: REQUIRES that none is in flight. Its sink's on_done is called exactly once.
  virtual void submit(Unit unit) = 0;
  // The unit in flight ends with 57014 as soon as it can: at once while it waits, executed == no.
  // No unit: no effect. Never hits a later unit. `timed_out` only changes the message.
  virtual void cancel(std::string_view reason) = 0;
  // After Flow::pause: rows may flow again.
  virtual void resume() = 0;
  // May others join its transactions? Then a level that a client begins is entered at once where
  // the client may take it for begun. Where not, the listener is asked to when others come.
  virtual bool is_joined() const { return false; }
  // The client's request is over. Without a call nobody joins the transaction.
  virtual void rest(Resting) {}
};

class Database {
 public:
  virtual ~Database() = default;

  virtual const std::string& name() const = 0;
  virtual Dialect dialect() const = 0;
  // Are client transactions nested in a root that is never committed (a PostgreSQL sandbox)? Then
  // level 1 is a savepoint and autocommit units are guarded. A SQLite sandbox answers false: its
  // commits are real, in the overlay.
  virtual bool rooted() const = 0;
  virtual bool force_rollback() const = 0;

  // Cuts, classifies and translates a client's text (backends/sql/statement_table.h does it);
  // answers from the interned texts where it can. 42601 for what cannot be cut, for transaction
  // control that cannot be read and for placeholders of different styles in one statement.
  virtual Result<ScriptRef> intern(std::string_view text, ParameterStyle style) = 0;

  virtual std::unique_ptr<BackendSession> open_session(SessionOptions options,
                                                       SessionListener& listener) = 0;

  // The same for a client that speaks PostgreSQL's protocol. nullptr: the backend does not speak it
  // itself, and the front end answers on top of open_session().
  virtual std::unique_ptr<WireSession> open_wire_session(WireOptions options, WireClient& client);

  // Closes what is connected to this database of its server and has nothing to do, as a client has
  // sent a statement for which nobody must be.
  virtual void leave(const std::string& /*database*/) {}

  // Has it no session and no link? Then shutting it down loses nothing.
  virtual bool is_idle() const { return false; }

  virtual DatabaseStatus status() const = 0;

  // With force_rollback: what SANDBOX ... acts on. nullptr: it is no sandbox.
  virtual Sandbox* sandbox() { return nullptr; }

  // How sessions come to share their transactions.
  JoinTokens& joins() { return joins_; }

  // Closes every link, handle and lane; `done` runs on the loop when none is left, with one line
  // for each thing the operator should know ("sandbox main: 12 transactions discarded"). REQUIRES
  // that every BackendSession is destroyed.
  virtual void shut_down(std::function<void(std::vector<std::string> report)> done) = 0;

 private:
  JoinTokens joins_;
};

// Null: it is no sandbox.
inline SandboxLog* log_of(Database& database) {
  Sandbox* const sandbox = database.sandbox();
  return sandbox == nullptr ? nullptr : &sandbox->log();
}

inline std::unique_ptr<WireSession> Database::open_wire_session(WireOptions, WireClient&) {
  return nullptr;
}

}  // namespace based
