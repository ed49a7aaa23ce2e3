// Sink: the front end's side of a unit. The backend calls it on the loop thread, never inside
// submit().
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "backends/statement.h"
#include "protocol/result.h"
#include "protocol/value.h"

namespace based {

struct Column {
  std::string_view name;
  std::string_view type;       // "int4", "text", "INTEGER"; never empty
  std::uint32_t type_oid = 0;  // PostgreSQL's; 0 where there is none
};

struct StepResult {
  std::string_view tag;                        // "SELECT", "INSERT", "CREATE TABLE"
  std::optional<std::int64_t> affected;        // rows inserted, updated or deleted
  std::optional<std::int64_t> last_insert_id;  // SQLite: after an INSERT
  std::uint64_t rows = 0;                      // rows given to the sink
  bool truncated = false;                      // max_rows was reached with rows left
  // Settings of the session that it has set otherwise than by SET, as far as they are known.
  std::span<const StatementRef> set;
};

// The database's own word on the session's transaction after a unit.
enum class TransactionStatus : std::uint8_t {
  idle,    // none
  open,    // in a transaction
  failed,  // in a transaction that only rollback can leave (PostgreSQL)
  lost,    // the transaction that was open is gone without having been asked to end: link lost, OR
           // ROLLBACK, cancelled write
};

// Where a unit stopped.
enum class UnitPhase : std::uint8_t { queue, prologue, step, epilogue, recovery, done };

struct UnitOutcome {
  std::optional<Error> error;  // none: prologue, steps and epilogue all succeeded
  UnitPhase phase = UnitPhase::done;
  std::size_t step = 0;  // which statement failed, when phase is prologue or step
  TransactionStatus transaction = TransactionStatus::idle;
  bool lease_held = false;  // does the session still hold its link, lane or turn?
};

enum class Flow : std::uint8_t { more, pause };

// Call order: for each step in turn [on_columns, on_row*] on_step_done; then, always and last,
// on_done. After on_done, and after its BackendSession was destroyed, nothing more is called. Views
// are valid during the call only.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void on_columns(std::size_t step, std::span<const Column> columns) = 0;
  // pause: no further row until BackendSession::resume(). A few rows already under way may still
  // come; they must be taken.
  virtual Flow on_row(std::size_t step, std::span<const ValueView> row) = 0;
  virtual void on_step_done(std::size_t step, const StepResult& result) = 0;
  // A NOTICE or WARNING of the server, as an Error whose sqlstate and fields are the server's.
  virtual void on_notice(std::string_view severity, const Error& notice) = 0;
  virtual void on_done(
      UnitOutcome outcome) = 0;  // may destroy the BackendSession or submit the next unit
};

}  // namespace based
