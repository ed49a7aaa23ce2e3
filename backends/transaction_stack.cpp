#include "backends/transaction_stack.h"

#include <algorithm>
#include <utility>

#include "protocol/check.h"

namespace based {
namespace {

std::string number(std::uint64_t value) { return std::to_string(value); }

bool is_savepoint(const Level& level, std::string_view name) {
  return level.kind == LevelKind::savepoint && level.options.name == name;
}

Error cannot_nest(std::string message, std::string hint) {
  return Error::make(sqlstate::active_sql_transaction, std::move(message))
      .with_hint(std::move(hint));
}

}  // namespace

Result<TransactionStack::Begun> TransactionStack::begin(BeginOptions options, LevelKind kind,
                                                        TimePoint now, ProfileRef profile) {
  if (auto usable = check_usable(); !usable) return usable.error();
  if (!empty() && options.if_open == BeginOptions::IfOpen::error) {
    return cannot_nest("a transaction is open already",
                       "if_open \"nest\" or \"join\" would take it.");
  }
  if (!empty() && options.if_open == BeginOptions::IfOpen::join) {
    if (auto error = check_joined_modes(options)) return std::move(*error);
    return Begun{.id = levels_.back().id, .joined = true};
  }
  if (auto error = check_modes(options)) return std::move(*error);
  if (depth() >= rules_.depth_max) {
    return Error::make(sqlstate::program_limit_exceeded,
                       "the transaction has " + number(depth()) + " levels, the limit");
  }
  Level level;
  level.id = ++last_id_;
  level.kind = kind;
  level.options = std::move(options);
  level.began = now;
  level.profile = std::move(profile);
  levels_.push_back(std::move(level));
  return Begun{.id = last_id_, .joined = false};
}

std::optional<Error> TransactionStack::check_modes(BeginOptions& options) const {
  using Access = BeginOptions::Access;
  if (rules_.read_only) {
    if (options.access == Access::read_write) {
      return Error::make(sqlstate::read_only_sql_transaction,
                         "a read-write transaction in a read-only session");
    }
    options.access = Access::read_only;
  }
  if (empty()) return std::nullopt;
  return check_nested_modes(options);
}

// Only the outermost level can choose these, in a sandbox too, where each of them would be true.
// SQLite has but one isolation level.
std::optional<Error> TransactionStack::check_nested_modes(BeginOptions& options) const {
  using Access = BeginOptions::Access;
  const BeginOptions& outermost = levels_.front().options;
  const bool serial = rules_.dialect == Dialect::sqlite;
  if (!serial && options.isolation != BeginOptions::Isolation::unset &&
      options.isolation != outermost.isolation) {
    return cannot_nest("a nested transaction cannot have another isolation level",
                       "Say it where the outermost one begins, or leave it out.");
  }
  if (!serial && options.deferrable != BeginOptions::Deferrable::unset &&
      options.deferrable != outermost.deferrable) {
    return cannot_nest("a nested transaction cannot be deferrable in another way",
                       "Say it where the outermost one begins, or leave it out.");
  }
  if (levels_.back().options.access == Access::read_only) {
    if (options.access == Access::read_write) {
      return cannot_nest("a read-write transaction inside a read-only one", "");
    }
    options.access = Access::read_only;
  }
  return std::nullopt;
}

// Who joins gets the open level as it is: what it is not cannot be asked for.
std::optional<Error> TransactionStack::check_joined_modes(BeginOptions options) const {
  using Access = BeginOptions::Access;
  const BeginOptions& open = levels_.back().options;
  const bool asked_to_read_only = options.access == Access::read_only;
  if (auto error = check_modes(options)) return error;
  if (asked_to_read_only && open.access != Access::read_only) {
    return cannot_nest("the open transaction, which would be joined, is not read only",
                       "if_open \"nest\" makes a level that is.");
  }
  const auto forgets = [](const Level& level) { return level.options.force_rollback; };
  if (options.force_rollback && std::none_of(levels_.begin(), levels_.end(), forgets)) {
    return cannot_nest("the open transaction, which would be joined, may be committed",
                       "if_open \"nest\" makes a level that is rolled back.");
  }
  return std::nullopt;
}

Error TransactionStack::no_level(std::string_view what) const {
  return Error::make(sqlstate::no_active_sql_transaction,
                     std::string(what) + " without a transaction");
}

Error TransactionStack::unusable() const {
  if (state_ == StackState::failed) {
    return Error::make(sqlstate::in_failed_sql_transaction,
                       "the transaction's level " + number(failed_depth_) +
                           " has failed: it takes only its rollback");
  }
  INVARIANT(reason_.has_value());
  Error error = Error::make(sqlstate::in_failed_sql_transaction,
                            "the transaction was aborted: it takes only its rollback");
  error.detail = std::string(reason_->sqlstate.text()) + ": " + reason_->message;
  if (!reason_->detail.empty()) error.detail += " (" + reason_->detail + ")";
  return error;
}

Result<void> TransactionStack::check_usable() const {
  if (state_ == StackState::sound) return {};
  return unusable();
}

// The index of the level that `target` names.
Result<std::uint32_t> TransactionStack::find(LevelTarget target) const {
  INVARIANT(!empty());
  std::uint32_t index = depth() - 1;
  if (target.depth) {
    if (*target.depth == 0 || *target.depth > depth()) {
      return Error::make(sqlstate::invalid_transaction_state,
                         "out of order: there is no level at depth " + number(*target.depth))
          .with_detail("The top level is level " + number(levels_.back().id) + " at depth " +
                       number(depth()) + ".");
    }
    index = *target.depth - 1;
  }
  if (!target.id || levels_[index].id == *target.id) return index;
  const auto found = std::find_if(levels_.begin(), levels_.end(),
                                  [&](const Level& level) { return level.id == *target.id; });
  if (target.depth || found == levels_.end()) {
    return Error::make(sqlstate::invalid_transaction_state,
                       "out of order: level " + number(*target.id) + " is not " +
                           (target.depth ? "at depth " + number(*target.depth) : "open"))
        .with_detail("The top level is level " + number(levels_.back().id) + " at depth " +
                     number(depth()) + ".");
  }
  return static_cast<std::uint32_t>(found - levels_.begin());
}

Result<LevelsEnd> TransactionStack::plan_commit(LevelTarget target) const {
  if (empty()) return no_level("COMMIT");
  if (state_ == StackState::aborted) return unusable();
  const Result<std::uint32_t> index = find(target);
  if (!index) return index.error();
  if (*index + 1 != depth()) {
    return Error::make(sqlstate::invalid_transaction_state,
                       "out of order: a level inside of this one is open")
        .with_detail("The top level is level " + number(levels_.back().id) + " at depth " +
                     number(depth()) + "; level " + number(levels_[*index].id) + " at depth " +
                     number(*index + 1) + " was named.")
        .with_hint("Levels are committed from the innermost to the outermost.");
  }
  return commit_from(*index);
}

Result<LevelsEnd> TransactionStack::plan_rollback(LevelTarget target) const {
  if (empty()) return no_level("ROLLBACK");
  const Result<std::uint32_t> index = find(target);
  if (!index) return index.error();
  return rollback_from(*index);
}

LevelsEnd TransactionStack::plan_rollback_all() const {
  if (!empty()) return rollback_from(0);
  LevelsEnd nothing;
  nothing.kind = LevelsEnd::Kind::commit;  // no settings to go back to
  return nothing;
}

// Level 1 is never a savepoint of the client's.
std::uint32_t TransactionStack::innermost_transaction() const {
  std::uint32_t index = depth() - 1;
  while (index > 0 && levels_[index].kind == LevelKind::savepoint) --index;
  return index;
}

Result<LevelsEnd> TransactionStack::plan_commit_transaction() const {
  if (empty()) return no_level("COMMIT");
  if (state_ == StackState::aborted) return unusable();
  return commit_from(innermost_transaction());
}

Result<LevelsEnd> TransactionStack::plan_rollback_transaction() const {
  if (empty()) return no_level("ROLLBACK");
  return rollback_from(innermost_transaction());
}

Result<std::uint32_t> TransactionStack::find_savepoint(std::string_view name) const {
  for (std::uint32_t index = depth(); index > 0; --index) {
    if (is_savepoint(levels_[index - 1], name)) return index - 1;
  }
  return Error::make(sqlstate::invalid_savepoint,
                     "savepoint \"" + std::string(name) + "\" does not exist");
}

Result<LevelsEnd> TransactionStack::plan_release(std::string_view name) const {
  if (empty()) return no_level("RELEASE");
  if (state_ != StackState::sound) return unusable();
  const Result<std::uint32_t> index = find_savepoint(name);
  if (!index) return index.error();
  return commit_from(*index);
}

Result<LevelsEnd> TransactionStack::plan_rollback_to(std::string_view name) const {
  if (empty()) return no_level("ROLLBACK TO");
  if (state_ == StackState::aborted) return unusable();
  const Result<std::uint32_t> index = find_savepoint(name);
  if (!index) return index.error();
  LevelsEnd end = rollback_from(*index);
  end.kind = LevelsEnd::Kind::rollback_to;
  end.depth = *index + 1;
  return end;
}

LevelsEnd TransactionStack::commit_from(std::uint32_t index) const {
  if (state_ == StackState::failed) {
    LevelsEnd end = rollback_from(index);
    end.commit_failed = true;
    return end;
  }
  LevelsEnd end;
  end.kind = LevelsEnd::Kind::commit;
  end.depth = index;
  for (std::uint32_t i = index; i < depth(); ++i) {
    if (!levels_[i].options.force_rollback) continue;
    end.profile = levels_[i].profile;
    if (i == index) {
      end.kind = LevelsEnd::Kind::rollback;
      end.rolled_back = true;
    } else {
      end.forgets_from = i;
    }
    break;
  }
  return end;
}

LevelsEnd TransactionStack::rollback_from(std::uint32_t index) const {
  LevelsEnd end;
  end.kind = LevelsEnd::Kind::rollback;
  end.depth = index;
  end.profile = levels_[index].profile;
  return end;
}

bool TransactionStack::needs_database(const LevelsEnd& end) const {
  const std::uint32_t stays = end.kind == LevelsEnd::Kind::rollback_to ? end.depth - 1 : end.depth;
  return entered_ > stays;
}

void TransactionStack::finish(const LevelsEnd& end) {
  INVARIANT(end.depth <= depth());
  levels_.resize(end.depth);
  entered_ = std::min(entered_, end.depth);
  const bool ended =
      (end.kind == LevelsEnd::Kind::rollback_to ? end.depth - 1 : end.depth) < failed_depth_;
  if ((state_ == StackState::failed && ended) || empty()) state_ = StackState::sound;
  if (state_ == StackState::sound) reason_.reset();
}

void TransactionStack::entered() {
  if (state_ != StackState::aborted) entered_ = depth();
}

void TransactionStack::fail() {
  INVARIANT(!empty());
  if (state_ != StackState::sound) return;
  state_ = StackState::failed;
  failed_depth_ = depth();
}

void TransactionStack::fail_entered() {
  INVARIANT(entered_ > 0);
  if (state_ != StackState::sound) return;
  state_ = StackState::failed;
  failed_depth_ = entered_;
}

void TransactionStack::left() {
  INVARIANT(state_ == StackState::failed && depth() == 1);
  entered_ = 0;
}

bool TransactionStack::is_failed(std::uint32_t depth) const {
  if (state_ == StackState::sound) return false;
  return depth >= (state_ == StackState::failed ? failed_depth_ : this->depth());
}

void TransactionStack::abort(Error reason) {
  if (empty()) return;
  entered_ = 0;
  // The first reason is the one that explains.
  if (state_ != StackState::aborted) reason_ = std::move(reason);
  state_ = StackState::aborted;
}

}  // namespace based
