// EXEC and BATCH: from a request's texts and parameters to units.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "backends/sql/sandbox_form.h"
#include "daemon/native/binding.h"
#include "daemon/native/native_session.h"

namespace based::native {
namespace {

// A queue without a limit still ends: nobody waits for a day.
constexpr std::chrono::hours queue_wait_max{24};
// Of one request, counting each set of an execute-many. They are held in memory together.
constexpr std::size_t executions_max = 100'000;

// May share a unit with others: nothing that acts on the session's stack or connection.
bool is_plain(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::read:
    case StatementKind::write:
    case StatementKind::definition:
    case StatementKind::other:
    case StatementKind::pinning:
    case StatementKind::setting:
    case StatementKind::set_transaction:
      return true;
    default:
      return false;
  }
}

// PostgreSQL lets a transaction that has read nothing yet become read-write.
bool gives_leave_to_write(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::set_transaction:
    case StatementKind::setting:
      return statement.begin.access == BeginOptions::Access::read_write ||
             statement.name == "transaction_read_only" ||
             statement.name == "default_transaction_read_only";
    default:
      return false;
  }
}

Error refused(std::string message, std::string hint);

// Texts are cut, and values encoded, under these settings: others would make both wrong without a
// word.
std::optional<Error> reserved_setting(const Statement& statement) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 2> reserved{{
      {"client_encoding", "UTF8"},
      {"standard_conforming_strings", "on"},
  }};
  for (const auto& [name, value] : reserved) {
    if (statement.name != name || statement.setting.empty()) continue;
    std::string given;
    for (const char c : statement.setting) {
      if (c != '\'' && c != '"' && c != '-') given += c;
    }
    if (std::ranges::equal(given, value, [](char a, char b) { return (a | 0x20) == (b | 0x20); }))
      continue;
    return refused(std::string(name) + " is " + std::string(value) + " for every session",
                   "The protocol depends on it.");
  }
  return std::nullopt;
}

Error refused(std::string message, std::string hint) {
  return Error::make(sqlstate::feature_not_supported, std::move(message))
      .with_hint(std::move(hint));
}

}  // namespace

void Session::start_exec() {
  const Result<Exec> exec = decode_exec(run_->payload);
  if (!exec) return finish_error(exec.error());
  run_->options = exec->options;
  run_->credit = exec->options.credit;
  say(exec->sql);
  const Result<ScriptRef> script = database_.intern(exec->sql, style_of(exec->parameters));
  if (!script) return finish_error(script.error());
  const auto& statements = (*script)->statements;
  if (statements.size() > statements_max) {
    return finish_error(Error::make(sqlstate::program_limit_exceeded,
                                    fmt::format("a script of {} statements, the limit is {}",
                                                statements.size(), statements_max)));
  }
  if (statements.size() > 1 && exec->parameters.count() > 0 && !exec->parameters.named()) {
    return finish_error(Error::make(sqlstate::undefined_parameter,
                                    "a script of several statements takes parameters by name"));
  }
  run_->binding.emplace(exec->parameters);
  for (const StatementRef& statement : statements) {
    const auto item = static_cast<std::uint32_t>(run_->items.size());
    run_->steps.push_back({statement, exec->parameters, item});
    run_->items.emplace_back();
    if (auto checked = run_->binding->check(*statement); !checked) {
      return finish_error(checked.error(), item);
    }
  }
  if (auto used = run_->binding->check_all_used(); !used) return finish_error(used.error());
  said_.forget();  // it is to be run
}

void Session::start_batch() {
  const Result<Batch> batch = decode_batch(run_->payload);
  if (!batch) return finish_error(batch.error());
  run_->options = batch->options;
  run_->credit = batch->options.credit;
  run_->stop = batch->stop;
  run_->is_batch = true;
  BatchCursor cursor(*batch);
  for (BatchItem item; cursor.next(item);) {
    const auto number = static_cast<std::uint32_t>(run_->items.size());
    run_->items.emplace_back();
    auto planned = plan_item(item);
    if (planned) continue;
    say(item.sql);
    if (run_->stop) return finish_error(planned.error(), number);
    said_.failed(planned.error(), now());
    run_->items.back().error = std::make_unique<Error>(std::move(planned).error());
  }
}

// Without a set of parameters nothing says how they would be given: then every `?` is one.
Result<ScriptRef> Session::intern_item(const BatchItem& item) {
  if (!item.sets) return database_.intern(item.sql, style_of(item.parameters));
  ParametersView first;
  if (ParameterSetCursor(*item.sets).next(first))
    return database_.intern(item.sql, style_of(first));
  Result<ScriptRef> script = database_.intern(item.sql, ParameterStyle::positional);
  if (script) return script;
  Result<ScriptRef> named = database_.intern(item.sql, ParameterStyle::named);
  return named ? named : script;
}

Result<void> Session::plan_item(const BatchItem& item) {
  const auto number = static_cast<std::uint32_t>(run_->items.size() - 1);
  const Result<ScriptRef> script = intern_item(item);
  if (!script) return script.error();
  if ((*script)->statements.size() != 1) {
    return Error::make(sqlstate::syntax_error,
                       fmt::format("a batch item is one statement, this one has {}",
                                   (*script)->statements.size()));
  }
  const StatementRef& statement = (*script)->statements.front();
  const auto add = [&](const PlannedStep& step) -> Result<void> {
    if (run_->steps.size() >= executions_max) {
      return Error::make(sqlstate::program_limit_exceeded,
                         fmt::format("a request of more than {} executions", executions_max));
    }
    run_->steps.push_back(step);
    return {};
  };
  const auto plan = [&](const ParametersView& parameters) -> Result<void> {
    Binding binding(parameters);
    if (auto checked = binding.check(*statement); !checked) return checked;
    if (auto used = binding.check_all_used(); !used) return used;
    return add({statement, parameters, number});
  };
  if (!item.sets) return plan(item.parameters);
  const std::size_t before = run_->steps.size();
  ParameterSetCursor sets(*item.sets);
  if (item.sets->count() == 0) return add({statement, {}, number, true});
  for (ParametersView parameters; sets.next(parameters);) {
    auto planned = plan(parameters);
    if (planned) continue;
    run_->steps.resize(before);
    return planned;
  }
  return {};
}

// Runs on until a unit is in flight or the request is finished.
void Session::advance() {
  run_->begun = true;
  while (run_ != nullptr && run_->purpose == UnitPurpose::none) {
    if (run_->next == run_->steps.size()) return finish_end();
    const PlannedStep& step = run_->steps[run_->next];
    if (run_->cancelled) {
      return finish_error(Error::make(sqlstate::query_canceled, "cancelled by the client"),
                          step.item);
    }
    if (auto refusal = refusal_of(step)) {
      if (step.statement->kind != StatementKind::sandbox) say(step.statement->words());
      // PostgreSQL's server refuses this one itself, and the level has failed then.
      const bool write_refused = refusal->sqlstate == sqlstate::read_only_sql_transaction;
      if (write_refused && !stack_.empty() && run_->stop && !run_->options.atomic) stack_.fail();
      fail_step(std::move(*refusal));
    } else if (is_transaction_control(step.statement->kind)) {
      step.describe ? skip_control(step) : run_control(step);
    } else if (step.statement->kind == StatementKind::sandbox) {
      run_sandbox(step);
    } else {
      submit_steps();
    }
  }
}

// The next step failed before the database saw it.
void Session::fail_step(Error error) {
  const std::uint32_t item = run_->steps[run_->next].item;
  if (run_->stop) return finish_error(error, item);
  said_.failed(error, now());
  run_->items[item].error = std::make_unique<Error>(std::move(error));
  while (run_->next < run_->steps.size() && run_->steps[run_->next].item == item) ++run_->next;
}

// What this session does not take now, whatever the database would say.
std::optional<Error> Session::refusal_of(const PlannedStep& step) const {
  const Statement& statement = *step.statement;
  const bool control = is_transaction_control(statement.kind);
  if (control && run_->options.atomic) {
    return refused("transaction control inside an atomic request",
                   "The request is one transaction already.");
  }
  switch (statement.kind) {
    case StatementKind::prepare_transaction:
      return refused("two-phase commit is not supported", "Use COMMIT.");
    case StatementKind::copy:
      return refused("COPY is not supported by the native protocol",
                     "Use BATCH with sets of parameters.");
    case StatementKind::listen:
      return refused("LISTEN is not supported by the native protocol", "NOTIFY is.");
    case StatementKind::prepare:
      return refused("PREPARE, EXECUTE and DEALLOCATE are not supported",
                     "Send the statement with parameters: it is prepared by itself.");
    case StatementKind::setting:
    case StatementKind::set_transaction:
      if (auto error = reserved_setting(statement)) return error;
      break;
    default:
      break;
  }
  if (control) return std::nullopt;  // the stack answers
  if (auto usable = stack_.check_usable(); !usable) return std::move(usable).error();
  if (statement.kind == StatementKind::sandbox) return refusal_of_command(statement);
  const bool idle = stack_.empty();
  if (idle && draining_) {
    return Error::make(sqlstate::admin_shutdown, "the daemon is ending").as_retryable();
  }
  const bool in_root = database_.rooted() && !statement.in_sandbox;
  if (statement.kind == StatementKind::standalone &&
      (!idle || implicit_ || run_->options.atomic || in_root)) {
    return sql::alone_error(statement).with_hint(
        in_root ? "A database with force_rollback is one transaction." : "");
  }
  if (statement.kind == StatementKind::standalone && read_only_) {
    return Error::make(sqlstate::read_only_sql_transaction, "the session is read only");
  }
  if (read_only_ && gives_leave_to_write(statement)) {
    return Error::make(sqlstate::read_only_sql_transaction, "the session is read only");
  }
  if (database_.dialect() == Dialect::sqlite && in_read_only_level() && !step.describe &&
      statement.kind != StatementKind::read) {
    return Error::make(sqlstate::read_only_sql_transaction, "the transaction is read only");
  }
  return std::nullopt;
}

bool Session::in_read_only_level() const {
  return !stack_.empty() &&
         stack_.levels().back().options.access == BeginOptions::Access::read_only;
}

// How many of the next steps go into one unit: those that succeed or fail together. The runs of an
// execute-many are one step, so they do everywhere.
std::size_t Session::group_end_of(bool in_transaction) const {
  const auto& steps = run_->steps;
  std::size_t end = run_->next + 1;
  if (!is_plain(*steps[run_->next].statement)) return end;
  const bool all = run_->options.atomic || (run_->stop && in_transaction);
  while (end < steps.size() && is_plain(*steps[end].statement) && !refusal_of(steps[end]) &&
         (all || steps[end].item == steps[run_->next].item)) {
    ++end;
  }
  return end;
}

bool Session::begin_implicit() {
  if (!implicit_ || !stack_.empty()) return true;
  const auto begun = push_level(*implicit_, LevelKind::implicit);
  if (!begun) fail_step(begun.error());
  return begun.ok();
}

ValueList Session::bind(const PlannedStep& step) const {
  if (step.describe) return {};
  if (run_->binding) return run_->binding->bind(*step.statement);
  return Binding(step.parameters).bind(*step.statement);
}

void Session::submit_steps() {
  if (!begin_implicit()) return;
  const bool inside = stack_.depth() > 0;
  Run& run = *run_;
  run.group_begin = run.next;
  run.group_end = group_end_of(inside);
  if (run.options.atomic && run.group_end != run.steps.size()) {
    return fail_step(refused("an atomic request takes ordinary statements only",
                             "Send the others by themselves."));
  }
  Unit unit;
  const GroupPart part = part_of_group(inside);
  unit.envelope = envelopes_.around(stack_, part);
  unit.read_only = part.reads && !inside;
  unit.pin = pinned_;
  for (std::size_t i = run.group_begin; i < run.group_end; ++i) {
    const PlannedStep& step = run.steps[i];
    unit.pin = unit.pin || (step.statement->kind == StatementKind::pinning && !step.describe);
    unit.steps.push_back({step.statement, bind(step), run.options.max_rows, step.describe});
  }
  unit.keep_lease = inside;
  unit.alone = !inside && (part.kind == GroupKind::single || part.kind == GroupKind::standalone);
  unit.statement_timeout = timeout_of(run.options);
  run.guarded = !unit.envelope.recovery.empty() && (!inside || part.kind == GroupKind::guarded);
  run.profile_before = profile_;
  run.next = run.group_end;
  submit(std::move(unit), UnitPurpose::steps);
}

GroupPart Session::part_of_group(bool inside) const {
  const Run& run = *run_;
  GroupPart part;
  part.reads = true;
  for (std::size_t i = run.group_begin; i < run.group_end; ++i) {
    part.reads = part.reads && run.steps[i].statement->plain_read;
  }
  // A read-only session of PostgreSQL: the transaction says so, not a setting that could be
  // changed. DISCARD ALL writes nothing, and would be refused in one.
  const Statement& first = *run.steps[run.group_begin].statement;
  const bool discards_all = first.kind == StatementKind::discard && first.name == "all";
  const bool says_read_only =
      read_only_ && !inside && !discards_all && database_.dialect() == Dialect::postgres;
  if (first.kind == StatementKind::standalone && !database_.rooted()) {
    part.kind = GroupKind::standalone;
  } else if (run.options.atomic || (!run.stop && inside)) {
    part.kind = GroupKind::guarded;
  } else if (run.group_end - run.group_begin > 1 || says_read_only) {
    part.kind = GroupKind::together;
  }
  return part;
}

// A request may ask for less than the database allows; 0 asks for what that is.
Duration Session::timeout_of(const RunOptions& options) const {
  if (!options.timeout_ms) return statement_timeout_;
  const Duration asked = std::chrono::milliseconds(*options.timeout_ms);
  if (asked == Duration::zero()) return statement_timeout_max_;
  if (statement_timeout_max_ == Duration::zero()) return asked;
  return std::min(asked, statement_timeout_max_);
}

void Session::submit(Unit unit, UnitPurpose purpose) {
  run_->purpose = purpose;
  submit(std::move(unit));
}

void Session::submit(Unit unit) {
  unit.profile = profile_;
  unit.queue_deadline =
      now() + (queue_timeout_ > Duration::zero() ? queue_timeout_ : Duration(queue_wait_max));
  unit.sink = this;
  backend_->submit(std::move(unit));
}

}  // namespace based::native
