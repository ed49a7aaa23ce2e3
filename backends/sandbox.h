// Sandbox: what SANDBOX ... acts on: everything that the sessions of a database under
// force_rollback have done, marks in it to come back to, and the log of what ran.
//
// A Database offers it (Database::sandbox()), and outlives whoever asks. Loop thread only.
//
// A reset works under live sessions: nobody has to leave or to end a transaction first. What runs
// is cancelled; a session inside a transaction finds it failed, and hears why with the next thing
// that it says (40001); what sessions have prepared, and their settings, stay.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backends/sandbox_log.h"
#include "backends/status.h"
#include "protocol/result.h"

namespace based {

// More than so many at once: 54000.
inline constexpr std::size_t sandbox_marks_max = 32;

// In a sandbox, while a session is in a transaction: others wait; join it whenever it rests; or are
// refused (55P03).
enum class TurnMode : std::uint8_t { wait, join, error };

class Sandbox {
 public:
  // Runs exactly once, from the loop, never inside the call. It may come after the one who asked is
  // gone: it holds nothing but what tells it so. none: done.
  using Done = std::function<void(const std::optional<Error>& error)>;

  virtual ~Sandbox() = default;

  // What there is now can be come back to under this name, until a reset to an older mark or
  // without one. A name that is used already is moved here. Waits for its turn behind open
  // transactions: 55P03.
  virtual void mark(const std::string& name, Done done) = 0;
  // Back to the mark, or to what the database itself holds: then all marks are gone. 3B001: there
  // is no such mark, and nothing is done. 57P01: the daemon ends.
  virtual void reset(const std::optional<std::string>& mark, Done done) = 0;
  // As a reset, and what the sandbox occupies is given back, the log too. The next statement of a
  // session opens it again, empty.
  virtual void drop(Done done) = 0;

  virtual SandboxStatus status() const = 0;
  // The sandboxes of this database, this one among them, by name.
  virtual std::vector<SandboxStatus> list() const = 0;
  // The backend adds to it what its sessions run; SANDBOX LOG reads it.
  virtual SandboxLog& log() = 0;
};

// 3B001.
inline Error no_mark_error(const std::string& name) {
  return Error::make(sqlstate::invalid_savepoint, "there is no mark \"" + name + "\"")
      .with_hint("SANDBOX STATUS shows the marks; a reset to an older one forgets the newer ones.");
}

// SANDBOX ... where Database::sandbox() is null: 0A000.
inline Error no_sandbox_error(const std::string& database) {
  return Error::make(sqlstate::feature_not_supported, "database " + database + " is no sandbox")
      .with_hint("Connect to \"" + database +
                 "#NAME\" where the database has sandboxes, or start with force_rollback.");
}

// RESET, MARK and DROP inside of the client's own transaction: 25001.
inline Error sandbox_in_transaction_error() {
  return Error::make(sqlstate::active_sql_transaction,
                     "SANDBOX RESET, MARK and DROP cannot run inside a transaction block")
      .with_hint("End the transaction first, or turn autocommit on.");
}

}  // namespace based
