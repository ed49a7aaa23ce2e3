// Executor: runs units on the handle, one after the other. Lane thread, unless said otherwise.
//
// After every statement it asks SQLite itself whether a transaction is still open: SQLite ends one
// without being asked (OR ROLLBACK, a write that was cancelled, a full disk), and what comes next
// must not run as if it were inside.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/log.h"
#include "backends/sqlite/authorizer.h"
#include "backends/sqlite/handle.h"
#include "backends/sqlite/job.h"
#include "backends/sqlite/sqlite_error.h"
#include "backends/sqlite/statement_cache.h"
#include "backends/sqlite/vigil.h"

namespace based::sqlite {

class Executor : private Handle::Owner {
 public:
  // Made and destroyed on any thread, while no task uses it. Both references outlive it.
  Executor(const SqliteOptions& options, Log& log);
  ~Executor() override { handle_.close(); }

  // Opens the file ahead of the first unit; a failure is logged.
  void warm_up();
  // Delivers everything through the job, the outcome last.
  void run(Job& job);
  // Rolls back what the lease's holder left open, with what is around it.
  void end_lease();
  struct Innermost {
    std::size_t count = 0;   // transactions
    std::size_t around = 0;  // those that stay
  };
  // The same of sessions that have joined another's. False: what was to stay has gone, too.
  bool end_innermost(Innermost ended);
  void on_idle();
  // Sandboxes, with no unit's transaction kept: back to the mark, or to the file as it is; the
  // handle is opened again. What Handle::reset and Handle::open say.
  std::optional<Error> reset(const std::optional<std::string>& mark);
  // The same without a mark, and all that the overlay occupied is free until the next unit.
  void discard();
  // Rolls back, closes; what the operator should know.
  std::vector<std::string> close();

  // Any thread.
  std::uint64_t statements_cached() const { return statements_cached_.load(); }
  // Since the last reset without a mark.
  std::uint64_t commits() const { return commits_.load(); }

 private:
  struct StepRun;

  Result<void> on_opened(sqlite3* db) override;
  void on_closing() override;

  UnitOutcome execute(Job& job);
  std::optional<Error> run_unit(Job& job, UnitOutcome& outcome);
  void recover(Job& job, UnitOutcome& outcome);
  std::optional<Error> run_controls(const Job* job, const std::vector<StatementRef>& statements,
                                    std::size_t& done);
  std::optional<Error> run_control(const Job* job, const Statement& statement);
  std::optional<Error> run_step(Job& job, std::size_t index);
  std::optional<Error> run_statement(Job& job, std::size_t index);
  std::optional<Error> check_allowed(const Job& job, const CompiledStatement& compiled);
  std::optional<Error> fetch(Job& job, StepRun& run);
  std::optional<Error> add_row(Job& job, StepRun& run);
  void add_columns(StepRun& run, bool on_row);
  std::optional<Error> hand_over(Job& job);
  StepResult result_of(const StepRun& run);
  void note_failure(Error& error, bool was_open, bool writes);
  void note_control(const Statement& statement);
  bool in_own_transaction() const {
    return handle_.in_transaction() && (around_ == 0 || own_open_);
  }

  // One from the cache may have been compiled when the schema was another: its step compiles it
  // again.
  enum class Freshness : std::uint8_t { any, now };
  Result<CompiledStatement*> compile(StatementCache& cache, const std::string& text, Author author,
                                     Freshness freshness = Freshness::any);
  std::optional<Error> compile_step(Job& job, StepRun& run, Freshness freshness);
  Error error_now(int code, FailedIn where);
  TimePoint busy_until(const Job* job) const;

  std::int64_t changes_now() const;
  std::int64_t total_changes_now() const;
  void restore_memory(SessionMemory& memory);
  void save_memory(bool counted);

  const SqliteOptions& options_;
  Log& log_;
  Authorizer authorizer_;
  Vigil vigil_;
  StatementCache control_statements_{64};
  StatementCache client_statements_;
  Handle handle_;  // closed before the statements' caches go

  std::shared_ptr<Parcel> parcel_;
  SessionMemory* memory_ = nullptr;     // of the session whose unit runs
  std::int64_t total_before_step_ = 0;  // the handle's total_changes when the step began
  bool transaction_lost_ = false;       // in this unit
  std::size_t around_ = 0;              // as the job says
  bool own_open_ = false;               // around_ > 0: is the session's own transaction open?
  // The outermost transaction that only reads, as its BEGIN said: so many are around it.
  std::optional<std::size_t> read_only_at_;
  std::vector<Trace> traces_;  // of this unit, in a sandbox
  std::uint64_t rows_of_step_ = 0;
  std::uint64_t commits_before_ = 0;  // the last reset
  bool handle_broken_ = false;        // I/O failed: reopen before the next unit
  bool defined_ = false;              // the schema has been changed since no transaction was open
  std::atomic<std::uint64_t> statements_cached_{0};
  std::atomic<std::uint64_t> commits_{0};
};

}  // namespace based::sqlite
