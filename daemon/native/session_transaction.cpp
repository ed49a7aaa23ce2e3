// TX, CLOSE, and the same given as SQL text: what acts on the session's stack.
#include <fmt/format.h>

#include <utility>

#include "daemon/native/native_session.h"

namespace based::native {

Result<TransactionStack::Begun> Session::push_level(const BeginOptions& options, LevelKind kind) {
  if (draining_ && stack_.empty()) {
    return Error::make(sqlstate::admin_shutdown, "the daemon is ending").as_retryable();
  }
  if (kind == LevelKind::savepoint && stack_.empty()) {
    return Error::make(sqlstate::no_active_sql_transaction,
                       "SAVEPOINT can only be used in transactions");
  }
  return stack_.begin(options, kind, now(), profile_);
}

// The levels end in the stack, and what they had set is undone with them.
void Session::end_levels(const LevelsEnd& ending) {
  if (ending.restores_profile()) profile_ = ending.profile;
  stack_.finish(ending);
}

void Session::abort_transaction(const Error& reason) {
  if (!stack_.empty()) profile_ = stack_.levels().front().profile;
  stack_.abort(reason);
}

Resting Session::resting() const {
  if (stack_.empty()) return Resting::none;
  if (stack_.state() != StackState::sound) return Resting::failed;
  return stack_.entered_depth() < stack_.depth() ? Resting::pending : Resting::sound;
}

// What its client has begun is begun before others do more. REQUIRES that no request runs.
void Session::enter() {
  Unit unit;
  unit.envelope = envelopes_.around(stack_, {});
  unit.pin = pinned_;
  unit.keep_lease = true;
  entering_ = true;
  submit(std::move(unit));
}

void Session::on_enter_due() {
  if (run_ == nullptr && !entering_ && resting() == Resting::pending) return enter();
  backend_->rest(run_ == nullptr ? resting() : Resting::sound);
}

void Session::start_tx() {
  const Result<Tx> tx = decode_tx(run_->payload);
  if (!tx) return finish_error(tx.error());
  if (tx->op != TxOp::status && said_.is_logged()) say(words_of(*tx));
  const LevelTarget target{.depth = tx->depth, .id = tx->level};
  switch (tx->op) {
    case TxOp::begin:
      return begin_level(*tx);
    case TxOp::commit:
      return run_ending(stack_.plan_commit(target));
    case TxOp::rollback:
      return run_ending(stack_.plan_rollback(target));
    case TxOp::rollback_all:
      return run_ending(stack_.plan_rollback_all());
    case TxOp::status:
      return report_levels();
  }
}

void Session::begin_level(const Tx& tx) {
  if (implicit_ && stack_.empty()) {
    if (auto begun = push_level(*implicit_, LevelKind::implicit); !begun)
      return finish_error(begun.error());
  }
  const auto begun = push_level(to_begin_options(tx.options), LevelKind::transaction);
  if (!begun) return finish_error(begun.error());
  run_->end.level = begun->id;
  run_->end.joined = begun->joined;
  finish_end();
}

void Session::report_levels() {
  std::vector<LevelReport> levels;
  for (const Level& level : stack_.levels()) {
    const bool failed = stack_.is_failed(static_cast<std::uint32_t>(levels.size()) + 1);
    const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(now() - level.began);
    levels.push_back({.level = level.id,
                      .name = level.options.name,
                      .state = failed ? TransactionState::failed : TransactionState::open,
                      .force_rollback = level.options.force_rollback,
                      .age_ms = static_cast<std::uint64_t>(age.count())});
  }
  run_->end.levels = std::move(levels);
  finish_end();
}

// Transaction control as one step of an EXEC.
void Session::run_control(const PlannedStep& step) {
  const Statement& statement = *step.statement;
  say(statement.words());
  const auto begun = [&](Result<TransactionStack::Begun> result, const char* tag) {
    if (!result) return fail_step(std::move(result).error());
    said_.done(level_of_log(), now());
    run_->items[step.item].tag = tag;
    ++run_->next;
  };
  switch (statement.kind) {
    case StatementKind::begin:
      if (!begin_implicit()) return;
      return begun(push_level(statement.begin, LevelKind::transaction), "BEGIN");
    case StatementKind::savepoint: {
      if (!begin_implicit()) return;
      BeginOptions options;
      options.name = statement.name;
      return begun(push_level(options, LevelKind::savepoint), "SAVEPOINT");
    }
    case StatementKind::commit:
    case StatementKind::rollback: {
      if (statement.and_chain && !stack_.empty()) {
        std::size_t depth = stack_.depth();
        while (depth > 1 && stack_.levels()[depth - 1].kind == LevelKind::savepoint) --depth;
        run_->chain = stack_.levels()[depth - 1].options;
      }
      return run_ending(statement.kind == StatementKind::commit
                            ? stack_.plan_commit_transaction()
                            : stack_.plan_rollback_transaction());
    }
    case StatementKind::release:
      return run_ending(stack_.plan_release(statement.name));
    case StatementKind::rollback_to:
      return run_ending(stack_.plan_rollback_to(statement.name));
    default:
      INVARIANT(false);
  }
}

// An execute-many that has nothing to run.
void Session::skip_control(const PlannedStep& step) {
  const StatementKind kind = step.statement->kind;
  run_->items[step.item].tag = kind == StatementKind::begin       ? "BEGIN"
                               : kind == StatementKind::commit    ? "COMMIT"
                               : kind == StatementKind::savepoint ? "SAVEPOINT"
                               : kind == StatementKind::release   ? "RELEASE"
                                                                  : "ROLLBACK";
  ++run_->next;
}

void Session::run_ending(Result<LevelsEnd> planned) {
  if (!planned) {
    if (!run_->steps.empty()) return fail_step(std::move(planned).error());
    return finish_error(planned.error());
  }
  run_->ending = std::move(*planned);
  if (!stack_.needs_database(run_->ending)) return complete_ending();
  Unit unit;
  unit.envelope = envelopes_.ending(stack_, run_->ending);
  unit.pin = pinned_;
  unit.keep_lease = run_->ending.depth > 0;
  submit(std::move(unit), UnitPurpose::ending);
}

// The levels' SQL has run, or there was none.
void Session::complete_ending() {
  const LevelsEnd ending = std::move(run_->ending);
  end_levels(ending);
  const bool is_step = !run_->steps.empty();
  if (ending.commit_failed) {
    const Error error = Error::make(sqlstate::transaction_rollback,
                                    "the level had failed, its commit has rolled it back")
                            .with_scope(ErrorScope::transaction);
    if (run_->header.type == MessageType::close) closed_ = true;
    if (is_step) return finish_error(error, run_->steps[run_->next].item);
    return finish_error(error);
  }
  if (run_->header.type == MessageType::close) {
    closed_ = true;
    if (run_->close_error) return finish_error(*run_->close_error);
    run_->end.rolled_back = ending.rolled_back;
    return finish_end();
  }
  if (!is_step) {
    run_->end.rolled_back = ending.rolled_back;
    return finish_end();
  }
  const PlannedStep& step = run_->steps[run_->next];
  const StatementKind kind = step.statement->kind;
  run_->items[step.item].tag = kind == StatementKind::commit && !ending.rolled_back ? "COMMIT"
                               : kind == StatementKind::release                     ? "RELEASE"
                                                                                    : "ROLLBACK";
  ++run_->next;
  if (run_->chain) {
    const BeginOptions options = std::move(*run_->chain);
    run_->chain.reset();
    if (auto begun = push_level(options, LevelKind::transaction); !begun)
      return finish_error(begun.error(), step.item);
  }
  said_.done(level_of_log(), now());
  advance();
}

void Session::start_close() {
  const Result<Close> close = decode_close(run_->payload);
  if (!close) return finish_error(close.error());
  const bool aborted = stack_.state() == StackState::aborted;
  if (stack_.empty()) {
    closed_ = true;
    return finish_end();
  }
  say("CLOSE");
  if (!close->commit) return run_ending(stack_.plan_rollback_all());
  if (implicit_ && stack_.depth() == 1 && !aborted) {
    return run_ending(stack_.plan_commit({}));
  }
  run_->close_error =
      aborted ? stack_.check_usable().error()
              : Error::make(
                    sqlstate::active_sql_transaction,
                    fmt::format("the session closes in a transaction (depth {}): it is rolled back",
                                stack_.depth()));
  run_->close_error->scope = ErrorScope::transaction;
  run_ending(stack_.plan_rollback_all());
}

void Session::on_lease_lost(const Error& reason) {
  const bool pinned = std::exchange(pinned_, false);
  const bool inside = stack_.entered_depth() > 0;
  if (!inside && !pinned) return;
  if (inside) {
    abort_transaction(reason);
  } else {
    state_lost_ = reason;
    state_lost_->scope = ErrorScope::statement;
  }
  const Error& told = inside ? reason : *state_lost_;
  const NoticeKind kind = inside ? NoticeKind::transaction_lost : NoticeKind::state_lost;
  std::string payload;
  encode(Notice{.kind = kind, .error = &told, .transaction = transaction()}, payload);
  host_.send(MessageType::notice, number_, 0, payload);
}

}  // namespace based::native
