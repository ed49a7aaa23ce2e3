#include "backends/postgres/nested_envelope.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "backends/postgres/sandbox_rules.h"

namespace based::postgres {
namespace {

// As a sandbox's sessions have them (backends/envelope.cpp).
constexpr std::string_view level = "based_1";
constexpr std::string_view guard = "based_guard";

StatementRef control(StatementKind kind, std::string_view verb, std::string_view name) {
  auto statement = std::make_shared<Statement>();
  statement->text = std::string(verb) + " SAVEPOINT \"" + std::string(name) + "\"";
  statement->kind = kind;
  statement->name = name;
  return statement;
}

StatementRef enter(std::string_view name) {
  auto statement = std::make_shared<Statement>();
  statement->text = "SAVEPOINT \"" + std::string(name) + "\"";
  statement->kind = StatementKind::begin;
  statement->name = name;
  return statement;
}

void add_rollback(std::vector<StatementRef>& out, std::string_view name) {
  out.push_back(control(StatementKind::rollback_to, "ROLLBACK TO", name));
  out.push_back(control(StatementKind::rollback, "RELEASE", name));
}

void nest(std::vector<StatementRef>& statements) {
  std::vector<StatementRef> nested;
  for (StatementRef& statement : statements) {
    switch (statement->kind) {
      case StatementKind::begin:
        nested.push_back(enter(level));
        if (statement->begin.access == BeginOptions::Access::read_only) {
          nested.push_back(read_only_statement());
        }
        break;
      case StatementKind::commit:
        nested.push_back(control(StatementKind::commit, "RELEASE", level));
        break;
      case StatementKind::rollback:
        add_rollback(nested, level);
        break;
      default:
        nested.push_back(std::move(statement));
    }
  }
  statements = std::move(nested);
}

}  // namespace

bool may_nest(const Envelope& envelope) {
  return std::ranges::none_of(envelope.prologue, [](const StatementRef& statement) {
    return statement->begin.isolation != BeginOptions::Isolation::unset;
  });
}

Error nested_isolation_error() {
  Error error = Error::make(sqlstate::active_sql_transaction,
                            "a transaction inside of another session's cannot have an isolation "
                            "level of its own")
                    .with_hint("Say it where the outermost one begins.");
  error.executed = Executed::no;
  return error;
}

void nest(Envelope& envelope, bool in_transaction) {
  const bool alone = envelope.prologue.empty() && envelope.epilogue.empty();
  for (auto* part :
       {&envelope.prologue, &envelope.epilogue, &envelope.recovery, &envelope.retreat}) {
    nest(*part);
  }
  if (in_transaction || !alone) return;
  envelope.prologue.push_back(enter(guard));
  envelope.epilogue.push_back(control(StatementKind::commit, "RELEASE", guard));
  add_rollback(envelope.recovery, guard);
}

}  // namespace based::postgres
