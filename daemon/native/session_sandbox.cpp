// SANDBOX commands.
#include <fmt/format.h>

#include <array>
#include <utility>
#include <vector>

#include "backends/sandbox_answer.h"
#include "daemon/native/native_session.h"

namespace based::native {

// For the log of a sandbox: with the depth of the level that it means.
std::string Session::words_of(const Tx& tx) const {
  std::size_t depth = tx.depth.value_or(stack_.depth());
  if (tx.op == TxOp::begin) {
    const BeginOptions options = to_begin_options(tx.options);
    const bool joins = options.if_open == BeginOptions::IfOpen::join && !stack_.empty();
    const bool in_implicit = implicit_ && stack_.empty();
    depth = stack_.depth() + (joins ? 0 : in_implicit ? 2 : 1);
    return fmt::format("TX BEGIN {}{}", depth, modes_of(options));
  }
  if (tx.op == TxOp::rollback_all) return "TX ROLLBACK ALL";
  for (std::size_t i = 0; i < stack_.levels().size(); ++i) {
    if (tx.level == stack_.levels()[i].id) depth = i + 1;
  }
  return fmt::format("TX {} {}", tx.op == TxOp::commit ? "COMMIT" : "ROLLBACK", depth);
}

std::optional<Error> Session::refusal_of_command(const Statement& statement) const {
  if (database_.sandbox() == nullptr) return no_sandbox_error(database_.name());
  const bool inside = !stack_.empty() || run_->options.atomic;
  if (inside && sandbox_changes(statement.verb)) return sandbox_in_transaction_error();
  return std::nullopt;
}

// As a unit of one step whose sink this session is, without the backend's half.
void Session::run_sandbox(const PlannedStep& step) {
  Run& run = *run_;
  run.group_begin = run.next;
  run.group_end = ++run.next;
  run.purpose = UnitPurpose::sandbox;
  const SandboxVerb verb = step.statement->verb;
  if (sandbox_changes(verb) && !step.describe) {
    return change_sandbox(*step.statement, *database_.sandbox(),
                          [weak = std::weak_ptr<Session*>(anchor_)](const auto& error) {
                            UnitOutcome outcome;
                            outcome.error = error;
                            if (const auto there = weak.lock())
                              (*there)->on_done(std::move(outcome));
                          });
  }
  std::vector<Column> columns;
  for (const SandboxColumn& column : sandbox_columns(verb)) {
    columns.push_back({.name = column.name,
                       .type = column.number ? "int8" : "text",
                       .type_oid = column.number ? 20U : 25U});
  }
  if (!columns.empty()) on_columns(0, columns);
  if (!step.describe) {
    for (const ValueList& row : sandbox_rows(verb, *database_.sandbox())) on_row(0, row.views());
  }
  on_done({});
}

void Session::sandbox_done(UnitOutcome& outcome) {
  const PlannedStep& step = run_->steps[run_->group_begin];
  if (run_->own_error) return finish_error(Error(*run_->own_error), step.item);
  if (outcome.error) {
    run_->next = run_->group_begin;
    fail_step(*std::move(outcome.error));
    if (run_ == nullptr) return;
  } else {
    ItemResult& item = item_of(0);
    item.tag = sandbox_tag(step.statement->verb);
    flush_rows();
  }
  advance();
}

}  // namespace based::native
