#include "backends/envelope.h"

#include <memory>
#include <utility>

#include "protocol/check.h"

namespace based {
namespace {

constexpr std::string_view guard_name = "based_guard";

std::string level_name(std::uint32_t depth) { return "based_" + std::to_string(depth); }

std::string quoted(std::string_view name) { return "\"" + std::string(name) + "\""; }

std::string_view text_of(BeginOptions::Isolation isolation) {
  switch (isolation) {
    case BeginOptions::Isolation::unset:
      return "";
    case BeginOptions::Isolation::read_uncommitted:
      return " ISOLATION LEVEL READ UNCOMMITTED";
    case BeginOptions::Isolation::read_committed:
      return " ISOLATION LEVEL READ COMMITTED";
    case BeginOptions::Isolation::repeatable_read:
      return " ISOLATION LEVEL REPEATABLE READ";
    case BeginOptions::Isolation::serializable:
      return " ISOLATION LEVEL SERIALIZABLE";
  }
  return "";
}

std::string_view text_of(BeginOptions::Access access) {
  switch (access) {
    case BeginOptions::Access::unset:
      return "";
    case BeginOptions::Access::read_write:
      return " READ WRITE";
    case BeginOptions::Access::read_only:
      return " READ ONLY";
  }
  return "";
}

std::string_view text_of(BeginOptions::Deferrable deferrable) {
  switch (deferrable) {
    case BeginOptions::Deferrable::unset:
      return "";
    case BeginOptions::Deferrable::deferrable:
      return " DEFERRABLE";
    case BeginOptions::Deferrable::not_deferrable:
      return " NOT DEFERRABLE";
  }
  return "";
}

// SQLite: a transaction that reads first and writes later may find that it cannot any more, so the
// write lock is taken at once unless nothing will be written.
std::string_view sqlite_begin(const BeginOptions& options) {
  switch (options.locking) {
    case BeginOptions::Locking::unset:
      break;
    case BeginOptions::Locking::deferred:
      return "BEGIN DEFERRED";
    case BeginOptions::Locking::immediate:
      return "BEGIN IMMEDIATE";
    case BeginOptions::Locking::exclusive:
      return "BEGIN EXCLUSIVE";
  }
  return options.access == BeginOptions::Access::read_only ? "BEGIN DEFERRED" : "BEGIN IMMEDIATE";
}

}  // namespace

std::string modes_of(const BeginOptions& options) {
  std::string modes(text_of(options.isolation));
  modes += text_of(options.access);
  return modes += text_of(options.deferrable);
}

StatementRef EnvelopeMaker::control(StatementKind kind, std::string_view text,
                                    std::string_view name) {
  std::string key = std::to_string(static_cast<int>(kind));
  key += ' ';
  key += text;
  const auto found = interned_.find(key);
  if (found != interned_.end()) return found->second;
  auto statement = std::make_shared<Statement>();
  statement->text = text;
  statement->kind = kind;
  statement->name = name;
  return interned_.emplace(std::move(key), std::move(statement)).first->second;
}

StatementRef EnvelopeMaker::begin(const BeginOptions& options) {
  std::string text;
  if (rules_.dialect == Dialect::sqlite) {
    text = sqlite_begin(options);
  } else {
    text = "BEGIN" + modes_of(options);
  }
  // SQLite's text does not say the access, so it belongs to the key.
  const bool read_only = options.access == BeginOptions::Access::read_only;
  const std::string key = (read_only ? "r " : "w ") + text;
  const auto found = interned_.find(key);
  if (found != interned_.end()) return found->second;
  auto statement = std::make_shared<Statement>();
  statement->text = std::move(text);
  statement->kind = StatementKind::begin;
  statement->begin.isolation = options.isolation;
  statement->begin.access = options.access;
  statement->begin.deferrable = options.deferrable;
  statement->begin.locking = options.locking;
  return interned_.emplace(key, std::move(statement)).first->second;
}

// Its modes are the backend's to know: a savepoint has none.
StatementRef EnvelopeMaker::rooted_begin(const BeginOptions& options) {
  const std::string name = level_name(1);
  const std::string key = "root" + std::string(text_of(options.isolation)) +
                          std::string(text_of(options.access)) +
                          std::string(text_of(options.deferrable));
  const auto found = interned_.find(key);
  if (found != interned_.end()) return found->second;
  auto statement = std::make_shared<Statement>();
  statement->text = "SAVEPOINT " + quoted(name);
  statement->kind = StatementKind::begin;
  statement->name = name;
  statement->begin.isolation = options.isolation;
  statement->begin.access = options.access;
  statement->begin.deferrable = options.deferrable;
  return interned_.emplace(key, std::move(statement)).first->second;
}

void EnvelopeMaker::enter(const Level& level, std::uint32_t depth, std::vector<StatementRef>& out) {
  if (depth == 1 && !rules_.rooted) return out.push_back(begin(level.options));
  const std::string name = level_name(depth);
  if (depth == 1) {
    out.push_back(rooted_begin(level.options));
  } else {
    out.push_back(control(StatementKind::savepoint, "SAVEPOINT " + quoted(name), name));
  }
  if (rules_.dialect == Dialect::postgres &&
      level.options.access == BeginOptions::Access::read_only) {
    out.push_back(control(StatementKind::set_transaction, "SET TRANSACTION READ ONLY"));
  }
}

void EnvelopeMaker::roll_back(std::uint32_t depth, std::vector<StatementRef>& out) {
  if (depth == 1 && !rules_.rooted) {
    return out.push_back(control(StatementKind::rollback, "ROLLBACK"));
  }
  const std::string name = level_name(depth);
  out.push_back(control(StatementKind::rollback_to, "ROLLBACK TO SAVEPOINT " + quoted(name), name));
  const StatementKind kind = depth == 1 ? StatementKind::rollback : StatementKind::release;
  out.push_back(control(kind, "RELEASE SAVEPOINT " + quoted(name), name));
}

void EnvelopeMaker::commit(std::uint32_t depth, std::vector<StatementRef>& out) {
  if (depth == 1 && !rules_.rooted) {
    return out.push_back(control(StatementKind::commit, "COMMIT"));
  }
  const std::string name = level_name(depth);
  const StatementKind kind = depth == 1 ? StatementKind::commit : StatementKind::release;
  out.push_back(control(kind, "RELEASE SAVEPOINT " + quoted(name), name));
}

void EnvelopeMaker::open_guard(StatementKind kind, std::vector<StatementRef>& out) {
  out.push_back(control(kind, "SAVEPOINT " + quoted(guard_name), guard_name));
}

void EnvelopeMaker::close_guard(StatementKind kind, std::vector<StatementRef>& out) {
  out.push_back(control(kind, "RELEASE SAVEPOINT " + quoted(guard_name), guard_name));
}

void EnvelopeMaker::recover_guard(StatementKind kind, std::vector<StatementRef>& out) {
  out.push_back(control(StatementKind::rollback_to, "ROLLBACK TO SAVEPOINT " + quoted(guard_name),
                        guard_name));
  close_guard(kind, out);
}

const std::vector<StatementRef>& Envelope::after_error(UnitPhase phase, std::size_t index) const {
  static const std::vector<StatementRef> nothing;
  if (phase != UnitPhase::prologue) return recovery;
  return index == 0 ? nothing : retreat;
}

// What undoes the first statement of the prologue undoes all that was opened behind it.
Envelope EnvelopeMaker::around(const TransactionStack& stack, const GroupPart& part) {
  Envelope envelope = boundaries(stack, part);
  if (envelope.prologue.empty()) return envelope;
  if (stack.entered_depth() < stack.depth()) {
    roll_back(stack.entered_depth() + 1, envelope.retreat);
  } else {
    envelope.retreat = envelope.recovery;
  }
  return envelope;
}

Envelope EnvelopeMaker::boundaries(const TransactionStack& stack, const GroupPart& part) {
  INVARIANT(stack.state() == StackState::sound);
  Envelope envelope;
  if (part.kind == GroupKind::standalone) {
    INVARIANT(stack.empty() && !rules_.rooted);
    return envelope;
  }
  if (!stack.empty()) {
    for (std::uint32_t depth = stack.entered_depth(); depth < stack.depth(); ++depth) {
      enter(stack.levels()[depth], depth + 1, envelope.prologue);
    }
    if (part.kind != GroupKind::guarded) {
      // What has failed here can only be rolled back, all of it; others wait for their turn.
      if (rules_.frees_failed && stack.depth() == 1) roll_back(1, envelope.recovery);
      return envelope;
    }
    if (part.first) open_guard(StatementKind::savepoint, envelope.prologue);
    if (part.last) close_guard(StatementKind::release, envelope.epilogue);
    recover_guard(StatementKind::release, envelope.recovery);
    return envelope;
  }
  if (rules_.rooted) {
    if (part.first) open_guard(StatementKind::begin, envelope.prologue);
    if (part.last) close_guard(StatementKind::commit, envelope.epilogue);
    recover_guard(StatementKind::rollback, envelope.recovery);
    return envelope;
  }
  if (part.kind == GroupKind::single) return envelope;
  BeginOptions options;
  const bool reads = rules_.dialect == Dialect::sqlite && part.reads;
  if (rules_.read_only || reads) options.access = BeginOptions::Access::read_only;
  if (part.first) envelope.prologue.push_back(begin(options));
  if (part.last) commit(1, envelope.epilogue);
  roll_back(1, envelope.recovery);
  return envelope;
}

Envelope EnvelopeMaker::ending(const TransactionStack& stack, const LevelsEnd& end) {
  INVARIANT(stack.needs_database(end));
  Envelope envelope;
  switch (end.kind) {
    case LevelsEnd::Kind::rollback:
      roll_back(end.depth + 1, envelope.epilogue);
      break;
    case LevelsEnd::Kind::rollback_to: {
      const std::string name = level_name(end.depth);
      envelope.epilogue.push_back(
          control(StatementKind::rollback_to, "ROLLBACK TO SAVEPOINT " + quoted(name), name));
      break;
    }
    case LevelsEnd::Kind::commit:
      if (end.forgets_from && *end.forgets_from < stack.entered_depth()) {
        roll_back(*end.forgets_from + 1, envelope.epilogue);
      }
      commit(end.depth + 1, envelope.epilogue);
      // A COMMIT that fails (a deferred constraint) ends the transaction on PostgreSQL: so it does
      // everywhere.
      roll_back(end.depth + 1, envelope.recovery);
      break;
  }
  return envelope;
}

namespace {

StatementRef of_level_one(StatementKind kind, std::string_view verb, const BeginOptions& options) {
  auto statement = std::make_shared<Statement>();
  statement->name = level_name(1);
  statement->text = std::string(verb) + " " + quoted(statement->name);
  statement->kind = kind;
  statement->begin = options;
  return statement;
}

void nest(std::vector<StatementRef>& statements, const StatementRef& read_only) {
  std::vector<StatementRef> nested;
  for (StatementRef& statement : statements) {
    const BeginOptions& options = statement->begin;
    switch (statement->kind) {
      case StatementKind::begin:
        nested.push_back(
            of_level_one(StatementKind::begin, "SAVEPOINT", read_only ? BeginOptions() : options));
        if (read_only && options.access == BeginOptions::Access::read_only) {
          nested.push_back(read_only);
        }
        break;
      case StatementKind::rollback:
        nested.push_back(of_level_one(StatementKind::rollback_to, "ROLLBACK TO SAVEPOINT", {}));
        nested.push_back(of_level_one(StatementKind::rollback, "RELEASE SAVEPOINT", {}));
        break;
      case StatementKind::commit:
        nested.push_back(of_level_one(StatementKind::commit, "RELEASE SAVEPOINT", {}));
        break;
      default:
        nested.push_back(std::move(statement));
    }
  }
  statements = std::move(nested);
}

}  // namespace

void nest(Envelope& envelope, const StatementRef& read_only) {
  for (auto* part :
       {&envelope.prologue, &envelope.epilogue, &envelope.recovery, &envelope.retreat}) {
    nest(*part, read_only);
  }
}

}  // namespace based
