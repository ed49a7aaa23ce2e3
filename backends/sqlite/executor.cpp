#include "backends/sqlite/executor.h"

#include <algorithm>

#include "backends/sql/sandbox_form.h"
#include "backends/sqlite/sqlite_error.h"
#include "backends/sqlite/tag.h"
#include "backends/sqlite/values.h"
#include "protocol/check.h"

namespace based::sqlite {

Executor::Executor(const SqliteOptions& options, Log& log)
    : options_(options),
      log_(log),
      authorizer_(options.force_rollback && !options.path.empty()),
      client_statements_(options.statements_cached_max),
      handle_(options, log, authorizer_, *this) {}

// What counts for one session must not show what another did: the handle is everybody's.
Result<void> Executor::on_opened(sqlite3* db) {
  vigil_.install(db);
  constexpr int flags = SQLITE_UTF8 | SQLITE_INNOCUOUS;
  const auto changes = [](sqlite3_context* context, int, sqlite3_value**) {
    const auto& self = *static_cast<const Executor*>(sqlite3_user_data(context));
    sqlite3_result_int64(context, self.changes_now());
  };
  const auto total_changes = [](sqlite3_context* context, int, sqlite3_value**) {
    const auto& self = *static_cast<const Executor*>(sqlite3_user_data(context));
    sqlite3_result_int64(context, self.total_changes_now());
  };
  int code =
      sqlite3_create_function_v2(db, "changes", 0, flags, this, changes, nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) {
    code = sqlite3_create_function_v2(db, "total_changes", 0, flags, this, total_changes, nullptr,
                                      nullptr, nullptr);
  }
  if (code == SQLITE_OK) return {};
  return error_of(db, code, FailedIn::open);
}

void Executor::on_closing() {
  control_statements_.clear();
  client_statements_.clear();
}

std::int64_t Executor::changes_now() const {
  const bool own = sqlite3_total_changes64(handle_.db()) != total_before_step_;
  return own || memory_ == nullptr ? sqlite3_changes64(handle_.db()) : memory_->changes;
}

std::int64_t Executor::total_changes_now() const {
  const auto since = sqlite3_total_changes64(handle_.db()) - total_before_step_;
  return since + (memory_ == nullptr ? 0 : memory_->total_changes);
}

void Executor::restore_memory(SessionMemory& memory) {
  memory_ = &memory;
  total_before_step_ = sqlite3_total_changes64(handle_.db());
  sqlite3_set_last_insert_rowid(handle_.db(), memory.last_insert_id);
}

void Executor::save_memory(bool counted) {
  const auto total = sqlite3_total_changes64(handle_.db());
  memory_->last_insert_id = sqlite3_last_insert_rowid(handle_.db());
  memory_->total_changes += total - total_before_step_;
  if (counted) memory_->changes = sqlite3_changes64(handle_.db());
  total_before_step_ = total;
}

void Executor::warm_up() {
  auto opened = handle_.open();
  if (!opened && log_.enabled(LogLevel::warning)) {
    const auto& error = opened.error();
    log_.write(LogLevel::warning, "sqlite " + options_.name + ": " + error.message +
                                      (error.detail.empty() ? "" : " (" + error.detail + ")"));
  }
}

void Executor::run(Job& job) {
  if (!job.claim()) return;
  parcel_ = std::make_shared<Parcel>();
  auto outcome = execute(job);
  // Of the parcel that is the last now.
  parcel_->finish(std::move(outcome), std::exchange(traces_, {}));
  vigil_.end();
  statements_cached_ = client_statements_.size();
  commits_ = handle_.commits() - commits_before_;
  job.deliver(std::move(parcel_));
  handle_.checkpoint_if_due();
}

UnitOutcome Executor::execute(Job& job) {
  UnitOutcome outcome;
  transaction_lost_ = false;
  around_ = job.setup().around;
  own_open_ = job.setup().holds_lease;
  INVARIANT(around_ == 0 || handle_.in_transaction());
  const bool expected_open = in_own_transaction();
  INVARIANT(!expected_open || job.setup().holds_lease);
  auto ready = handle_.open();
  if (ready) ready = handle_.verify_base();
  if (!ready) {
    outcome.error = std::move(ready).error();
    outcome.phase = UnitPhase::queue;
    outcome.transaction = expected_open ? TransactionStatus::open : TransactionStatus::idle;
    outcome.lease_held = expected_open;
    return outcome;
  }
  if (job.setup().mark) {
    if (auto marked = handle_.mark(*job.setup().mark); !marked) {
      outcome.error = std::move(marked).error();
    }
    return outcome;
  }
  restore_memory(*job.setup().memory);
  outcome.error = run_unit(job, outcome);
  if (outcome.error) recover(job, outcome);
  memory_ = nullptr;
  if (handle_broken_ && handle_.outlives_close()) {
    transaction_lost_ |= handle_.in_transaction();
    handle_.close();
  }
  handle_broken_ = false;
  if (!handle_.in_transaction()) {
    read_only_at_.reset();
    transaction_lost_ |= around_ > 0;
    // What is in the cache is of a schema that is no more.
    if (std::exchange(defined_, false)) client_statements_.clear();
  }
  const bool open = in_own_transaction();
  outcome.transaction = open                ? TransactionStatus::open
                        : transaction_lost_ ? TransactionStatus::lost
                                            : TransactionStatus::idle;
  // Given up where there is nothing left to hold it for.
  outcome.lease_held = open || (job.unit().keep_lease && !outcome.error && !transaction_lost_);
  return outcome;
}

std::optional<Error> Executor::run_unit(Job& job, UnitOutcome& outcome) {
  outcome.phase = UnitPhase::prologue;
  if (auto error = run_controls(&job, job.unit().envelope.prologue, outcome.step)) return error;
  outcome.phase = UnitPhase::step;
  // SQLite runs some of it in a transaction all the same, without its effect.
  for (const auto& step : job.unit().steps) {
    const bool alone = step.statement->kind == StatementKind::standalone && !step.describe;
    if (alone && around_ > 0) return sql::alone_error(*step.statement);
  }
  for (outcome.step = 0; outcome.step < job.unit().steps.size(); ++outcome.step) {
    if (auto error = run_step(job, outcome.step)) return error;
  }
  outcome.step = 0;
  outcome.phase = UnitPhase::epilogue;
  std::size_t done = 0;
  if (auto error = run_controls(&job, job.unit().envelope.epilogue, done)) return error;
  outcome.phase = UnitPhase::done;
  return std::nullopt;
}

void Executor::recover(Job& job, UnitOutcome& outcome) {
  if (transaction_lost_ || !handle_.in_transaction()) return;
  for (const auto& statement : job.unit().envelope.after_error(outcome.phase, outcome.step)) {
    auto error = run_control(nullptr, *statement);
    if (!error) continue;
    // A stack of which nobody knows how much is left is worth nothing.
    log_.write(LogLevel::error, "sqlite " + options_.name + ": recovery failed (" +
                                    statement->text + "): " + error->message);
    outcome.phase = UnitPhase::recovery;
    end_lease();
    transaction_lost_ = true;
    outcome.error->scope = ErrorScope::transaction;
    return;
  }
}

bool Executor::end_innermost(Innermost ended) {
  if (ended.around == 0) return end_lease(), true;
  if (read_only_at_ && *read_only_at_ >= ended.around) read_only_at_.reset();
  vigil_.begin_unstoppable(busy_until(nullptr));
  // Each is a savepoint of the same name, and the newest is meant.
  Result<void> done;
  for (std::size_t i = 0; i < ended.count && done; ++i) {
    done = handle_.execute("ROLLBACK TO SAVEPOINT \"based_1\"");
    if (done) done = handle_.execute("RELEASE SAVEPOINT \"based_1\"");
  }
  vigil_.end();
  if (done && handle_.in_transaction()) return true;
  if (!done) {
    log_.write(LogLevel::error,
               "sqlite " + options_.name + ": rollback failed: " + done.error().message);
  }
  end_lease();
  return false;
}

void Executor::end_lease() {
  read_only_at_.reset();
  if (!handle_.in_transaction()) return;
  vigil_.begin_unstoppable(busy_until(nullptr));
  auto done = handle_.execute("ROLLBACK");
  vigil_.end();
  if (done || !handle_.in_transaction()) return;
  log_.write(LogLevel::error,
             "sqlite " + options_.name + ": rollback failed: " + done.error().message);
  handle_.close();
}

TimePoint Executor::busy_until(const Job* job) const {
  const auto now = Clock::now();
  const auto until = now + options_.busy_timeout;
  if (job == nullptr || job->unit().queue_deadline == TimePoint{}) return until;
  return std::min(until, std::max(now, job->unit().queue_deadline));
}

std::optional<Error> Executor::run_controls(const Job* job,
                                            const std::vector<StatementRef>& statements,
                                            std::size_t& done) {
  for (const auto& statement : statements) {
    if (auto error = run_control(job, *statement)) return error;
    ++done;
  }
  return std::nullopt;
}

std::optional<Error> Executor::run_control(const Job* job, const Statement& statement) {
  // A null job: recovery, which nothing stops.
  vigil_.begin(job, TimePoint{}, busy_until(job));
  if (auto stop = vigil_.reason_to_stop()) return stop;
  const bool begins = statement.kind == StatementKind::begin;
  // BEGIN IMMEDIATE takes a lock that a file which is only read does not give.
  static const std::string plain_begin = "BEGIN";
  const bool plain = begins && around_ == 0 && handle_.read_only();
  const auto& text = plain ? plain_begin : statement.text;
  const bool was_open = handle_.in_transaction();
  auto compiled = compile(control_statements_, text, Author::based);
  if (!compiled) return std::move(compiled).error();
  if ((*compiled)->handle == nullptr) return control_statements_.release(*compiled), std::nullopt;
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) code = sqlite3_step((*compiled)->handle);
  std::optional<Error> error;
  if (code != SQLITE_DONE) error = error_now(code, FailedIn::step);
  control_statements_.release(*compiled);
  if (error) {
    note_failure(*error, was_open, true);
  } else {
    note_control(statement);
  }
  if (!handle_.in_transaction()) read_only_at_.reset();
  return error;
}

// What it has done to the session's own transaction.
void Executor::note_control(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::begin:
      own_open_ = true;
      if (statement.begin.access == BeginOptions::Access::read_only && !read_only_at_) {
        read_only_at_ = around_;
      }
      return;
    case StatementKind::commit:
    case StatementKind::rollback:
      own_open_ = false;
      if (read_only_at_ == around_) read_only_at_.reset();
      return;
    default:
      return;
  }
}

// Completes the error of a statement that ran.
void Executor::note_failure(Error& error, bool was_open, bool writes) {
  const int primary = error.native_code & 0xff;
  if (primary == SQLITE_IOERR) {
    handle_broken_ = true;
    // Whether the last bytes reached the disk, nobody can say.
    if (writes && !handle_.in_transaction()) error.executed = Executed::unknown;
  }
  if (was_open && !handle_.in_transaction()) {
    transaction_lost_ = true;
    error.scope = ErrorScope::transaction;
    if (!error.detail.empty()) error.detail += "; ";
    error.detail += "SQLite has rolled back the whole transaction";
  } else if (!was_open && primary == SQLITE_BUSY) {
    error.retryable = true;
  }
}

Error Executor::error_now(int code, FailedIn where) {
  if ((code & 0xff) == SQLITE_INTERRUPT || (code & 0xff) == SQLITE_BUSY) {
    if (auto stop = vigil_.reason_to_stop()) {
      stop->native_code = code;
      stop->native_name = code_name(code);
      return std::move(*stop);
    }
  }
  if (auto denial = authorizer_.take_denial()) return std::move(*denial);
  return error_of(handle_.db(), code, where);
}

Result<CompiledStatement*> Executor::compile(StatementCache& cache, const std::string& text,
                                             Author author, Freshness freshness) {
  authorizer_.begin(author);
  if (freshness == Freshness::any) {
    if (auto* found = cache.find(text)) return found;
  }
  CompiledStatement compiled;
  compiled.text = text;
  const char* tail = nullptr;
  auto* db = handle_.db();
  if (text.size() >= static_cast<std::size_t>(sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, -1))) {
    return error_from(SQLITE_TOOBIG, "the statement is too long", -1, FailedIn::prepare);
  }
  int code = sqlite3_prepare_v3(db, text.c_str(), static_cast<int>(text.size()) + 1,
                                SQLITE_PREPARE_PERSISTENT, &compiled.handle, &tail);
  if (code != SQLITE_OK) return error_now(code, FailedIn::prepare);
  compiled.facts = authorizer_.facts();
  compiled.tag = command_tag(text, compiled.facts);
  // A table's module may ask for pragmas of its own while the statement is compiled.
  compiled.facts.is_pragma = compiled.facts.is_pragma && compiled.tag == "PRAGMA";
  if (tail != nullptr && tail < text.data() + text.size()) {
    sqlite3_stmt* second = nullptr;
    const std::string rest{tail, text.data() + text.size()};
    code = sqlite3_prepare_v2(db, rest.c_str(), -1, &second, nullptr);
    const bool more =
        second != nullptr || code != SQLITE_OK || rest.find('\0') != std::string::npos;
    sqlite3_finalize(second);
    if (more) {
      sqlite3_finalize(compiled.handle);
      authorizer_.take_denial();
      Error error = Error::make(sqlstate::syntax_error, "more than one statement in one step");
      error.position = static_cast<std::uint32_t>(tail - text.data());
      return error;
    }
  }
  const auto& facts = compiled.facts;
  const bool explains = sqlite3_stmt_isexplain(compiled.handle) != 0;
  // DROP TABLE deletes rows too, by SQLite's own word; nobody counts them.
  compiled.counts_rows =
      !explains && (facts.inserts || facts.updates || facts.deletes) &&
      (compiled.tag == "INSERT" || compiled.tag == "UPDATE" || compiled.tag == "DELETE");
  compiled.gives_row_id = compiled.counts_rows && facts.inserts &&
                          sqlite3_table_column_metadata(
                              db, facts.insert_database.c_str(), facts.insert_table.c_str(),
                              "rowid", nullptr, nullptr, nullptr, nullptr, nullptr) == SQLITE_OK;
  return cache.add(std::move(compiled));
}

void Executor::on_idle() {
  handle_.truncate_log();
  handle_.trim_overlay();
}

std::optional<Error> Executor::reset(const std::optional<std::string>& mark) {
  end_lease();
  auto done = handle_.reset(mark);
  if (!mark) {
    commits_before_ = handle_.commits();
    commits_ = 0;
  }
  if (done) done = handle_.open();
  statements_cached_ = client_statements_.size();
  if (done) return std::nullopt;
  return std::move(done).error();
}

void Executor::discard() {
  end_lease();
  handle_.discard();
  commits_before_ = handle_.commits();
  commits_ = 0;
  statements_cached_ = 0;
}

std::vector<std::string> Executor::close() {
  const auto commits = handle_.commits();
  handle_.close();
  if (!options_.force_rollback) return {};
  return {"sandbox " + options_.name + ": " + std::to_string(commits) +
          " transactions discarded, " + std::to_string(handle_.changed_pages()) +
          " pages of 4 KiB"};
}

}  // namespace based::sqlite
