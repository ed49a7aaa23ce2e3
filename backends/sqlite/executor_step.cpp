// The part of the executor that runs a client's statement and fetches its rows.
#include "backends/sqlite/executor.h"
#include "backends/sqlite/sqlite_error.h"
#include "backends/sqlite/values.h"

namespace based::sqlite {

struct Executor::StepRun {
  std::size_t index = 0;
  Author author = Author::client;
  CompiledStatement* compiled = nullptr;
  std::uint64_t rows_max = 0;  // 0: all
  std::uint64_t rows = 0;
  std::int64_t last_insert_id_before = 0;
  bool columns_given = false;
  bool truncated = false;
  std::vector<ValueView> row;
  std::vector<int> booleans;  // the columns of that type
};

std::optional<Error> Executor::check_allowed(const Job& job, const CompiledStatement& compiled) {
  // SQLite calls even the reading of some pragmas a write.
  const bool writes = compiled.facts.is_pragma ? compiled.facts.writes_pragma
                                               : sqlite3_stmt_readonly(compiled.handle) == 0 &&
                                                     sqlite3_stmt_isexplain(compiled.handle) == 0;
  if (writes && (job.setup().session_read_only || read_only_at_)) {
    return Error::make(sqlstate::read_only_sql_transaction,
                       "cannot execute " + compiled.tag + " in a read-only " +
                           (job.setup().session_read_only ? "session" : "transaction"));
  }
  if (compiled.facts.needs_transaction && !in_own_transaction()) {
    return Error::make(sqlstate::no_active_sql_transaction,
                       "PRAGMA defer_foreign_keys can only be set in a transaction")
        .with_detail("it ends with the transaction, and would reach another session's otherwise");
  }
  return std::nullopt;
}

std::optional<Error> Executor::run_step(Job& job, std::size_t index) {
  const auto began = Clock::now();
  rows_of_step_ = 0;
  auto error = run_statement(job, index);
  if (options_.force_rollback) {
    traces_.push_back({.step = index, .duration = Clock::now() - began, .rows = rows_of_step_});
  }
  return error;
}

std::optional<Error> Executor::run_statement(Job& job, std::size_t index) {
  const auto& step = job.unit().steps[index];
  const auto timeout = job.unit().statement_timeout;
  vigil_.begin(&job, timeout > Duration{} ? Clock::now() + timeout : TimePoint{}, busy_until(&job));
  if (auto stop = vigil_.reason_to_stop()) return stop;
  const Author author = step.describe          ? Author::client_asks
                        : in_own_transaction() ? Author::client
                                               : Author::client_out;
  StepRun run;
  run.index = index;
  run.author = author;
  // Nothing runs that would compile a description again if the schema is another one by now.
  const auto freshness = step.describe ? Freshness::now : Freshness::any;
  if (auto error = compile_step(job, run, freshness)) return error;
  run.rows_max = step.max_rows;
  if (run.compiled->handle == nullptr) {
    client_statements_.release(run.compiled);
    parcel_->add_result(index, StepResult{});
    return parcel_->full() ? hand_over(job) : std::nullopt;
  }
  if (step.describe) {
    add_columns(run, false);
    StepResult result;
    result.tag = run.compiled->tag;
    if (run.compiled->counts_rows) result.affected = 0;
    parcel_->add_result(index, result);
    client_statements_.release(run.compiled);
    return parcel_->full() ? hand_over(job) : std::nullopt;
  }
  run.last_insert_id_before = sqlite3_last_insert_rowid(handle_.db());
  auto error = check_allowed(job, *run.compiled);
  if (error && run.compiled->cached) {
    // Whether there is still what it is refused to write to, only the schema of now says.
    client_statements_.release(run.compiled);
    if (auto wrong = compile_step(job, run, Freshness::now)) return wrong;
    error = check_allowed(job, *run.compiled);
  }
  if (!error) {
    if (auto bound = bind_parameters(run.compiled->handle, step.parameters.views()); !bound) {
      error = std::move(bound).error();
    }
  }
  if (error) {
    client_statements_.release(run.compiled);
    return error;
  }
  return fetch(job, run);
}

std::optional<Error> Executor::compile_step(Job& job, StepRun& run, Freshness freshness) {
  if (defined_) freshness = Freshness::now;
  const auto& text = job.unit().steps[run.index].statement->text;
  auto compiled = compile(client_statements_, text, run.author, freshness);
  if (compiled) return run.compiled = *compiled, std::nullopt;
  auto error = std::move(compiled).error();
  note_failure(error, handle_.in_transaction(), false);
  return error;
}

std::optional<Error> Executor::fetch(Job& job, StepRun& run) {
  const bool was_open = handle_.in_transaction();
  const bool writes = sqlite3_stmt_readonly(run.compiled->handle) == 0;
  const auto total_before = sqlite3_total_changes64(handle_.db());
  // A pragma is compiled again here where another process has changed the schema.
  if (!run.compiled->facts.is_pragma) authorizer_.set_author(Author::internal);
  std::optional<Error> error;
  int code = SQLITE_OK;
  while (!error && (code = sqlite3_step(run.compiled->handle)) == SQLITE_ROW) {
    run.truncated = run.rows_max != 0 && run.rows == run.rows_max;
    if (run.truncated) break;
    error = add_row(job, run);
  }
  if (!error && code != SQLITE_DONE && code != SQLITE_ROW) {
    error = error_now(code, FailedIn::step);
  }
  if (!error && !run.columns_given) add_columns(run, false);
  const bool ended_early = code == SQLITE_ROW;
  const bool counts = run.compiled->counts_rows;
  // Ends the statement: in autocommit its changes are committed here if rows were left.
  const int reset = sqlite3_reset(run.compiled->handle);
  if (!error && ended_early && reset != SQLITE_OK) error = error_now(reset, FailedIn::step);
  save_memory(counts);
  StepResult result;
  if (!error) result = result_of(run);
  rows_of_step_ = result.affected ? static_cast<std::uint64_t>(*result.affected) : run.rows;
  if (!error) parcel_->add_result(run.index, result);
  defined_ = defined_ || run.compiled->facts.defines;
  client_statements_.release(run.compiled);
  if (error) {
    note_failure(*error, was_open, writes);
    // OR FAIL keeps the rows before the bad one; a cancelled RETURNING has changed all of them.
    const bool kept = writes && sqlite3_total_changes64(handle_.db()) != total_before &&
                      sqlite3_changes64(handle_.db()) > 0;
    if (kept && !transaction_lost_ && error->executed == Executed::no) {
      error->executed = Executed::yes;
    }
    return error;
  }
  if (was_open && !handle_.in_transaction()) {
    Error lost = Error::make(sqlstate::transaction_rollback, "the statement ended the transaction");
    note_failure(lost, was_open, writes);
    return lost;
  }
  return parcel_->full() ? hand_over(job) : std::nullopt;
}

void Executor::add_columns(StepRun& run, bool on_row) {
  run.columns_given = true;
  const int count = sqlite3_column_count(run.compiled->handle);
  if (count == 0) return;
  std::vector<std::string> names;
  std::vector<std::string> types;
  for (int i = 0; i < count; ++i) {
    const char* name = sqlite3_column_name(run.compiled->handle, i);
    names.emplace_back(name == nullptr ? "" : name);
    types.push_back(column_type(run.compiled->handle, i, on_row));
    if (is_boolean_type(types.back())) run.booleans.push_back(i);
  }
  parcel_->add_columns(run.index, names, types);
}

std::optional<Error> Executor::add_row(Job& job, StepRun& run) {
  if (!run.columns_given) add_columns(run, true);
  const int count = sqlite3_column_count(run.compiled->handle);
  run.row.clear();
  for (int i = 0; i < count; ++i) {
    const auto value = column_value(run.compiled->handle, i);
    if (!value) return error_from(SQLITE_NOMEM, "out of memory", -1, FailedIn::step);
    run.row.push_back(*value);
  }
  for (const int i : run.booleans) {
    ValueView& value = run.row[static_cast<std::size_t>(i)];
    value = as_boolean(value);
  }
  parcel_->add_row(run.index, run.row);
  ++run.rows;
  return parcel_->full() ? hand_over(job) : std::nullopt;
}

std::optional<Error> Executor::hand_over(Job& job) {
  if (!job.wait_for_room(vigil_.deadline())) {
    if (auto stop = vigil_.reason_to_stop()) return stop;
    return Error::make(sqlstate::query_canceled, "canceling statement due to statement timeout");
  }
  job.deliver(std::exchange(parcel_, std::make_shared<Parcel>()));
  return std::nullopt;
}

StepResult Executor::result_of(const StepRun& run) {
  StepResult result;
  result.tag = run.compiled->tag;
  result.rows = run.rows;
  result.truncated = run.truncated;
  if (!run.compiled->counts_rows) return result;
  result.affected = sqlite3_changes64(handle_.db());
  const auto row_id = sqlite3_last_insert_rowid(handle_.db());
  // An upsert may have updated: then the handle still says what was inserted before.
  const bool inserted = !run.compiled->facts.updates || row_id != run.last_insert_id_before;
  if (run.compiled->gives_row_id && *result.affected > 0 && inserted) {
    result.last_insert_id = row_id;
  }
  return result;
}

}  // namespace based::sqlite
