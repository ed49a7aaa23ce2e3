#include "backends/postgres/nested_envelope.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "backends/envelope.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/sandbox_session.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/wire_stack_text.h"

namespace based::postgres {
namespace {

// As a sandbox's sessions have it (backends/envelope.cpp).
constexpr std::string_view guard = "based_guard";

StatementRef control(StatementKind kind, std::string_view verb) {
  auto statement = std::make_shared<Statement>();
  statement->text = std::string(verb) + " \"" + std::string(guard) + "\"";
  statement->kind = kind;
  statement->name = guard;
  return statement;
}

}  // namespace

Result<void> check_nested(const Unit& unit) {
  const auto has_isolation = [](const StatementRef& statement) {
    return statement->begin.isolation != BeginOptions::Isolation::unset;
  };
  if (std::ranges::none_of(unit.envelope.prologue, has_isolation)) return {};
  Error error = Error::make(sqlstate::active_sql_transaction,
                            "a transaction inside of another session's cannot have an isolation "
                            "level of its own")
                    .with_hint("Say it where the outermost one begins.");
  error.executed = Executed::no;
  return error;
}

StatementRef without_effect(const StatementRef& set) {
  if (word_at(set->text, 1) == "constraints") return nothing("SET CONSTRAINTS");
  return set->begin == BeginOptions() ? set : nothing("SET");
}

void nest(Unit& unit, bool in_transaction) {
  for (Step& step : unit.steps) {
    const Statement& statement = *step.statement;
    const bool resets = statement.kind == StatementKind::setting && statement.name == "all";
    if (resets) step.statement = reset_all_inside();
  }
  Envelope& envelope = unit.envelope;
  const bool alone = envelope.prologue.empty() && envelope.epilogue.empty();
  based::nest(envelope, read_only_statement());
  if (in_transaction || !alone) return;
  envelope.prologue.push_back(control(StatementKind::begin, "SAVEPOINT"));
  envelope.epilogue.push_back(control(StatementKind::commit, "RELEASE SAVEPOINT"));
  envelope.recovery.push_back(control(StatementKind::rollback_to, "ROLLBACK TO SAVEPOINT"));
  envelope.recovery.push_back(control(StatementKind::rollback, "RELEASE SAVEPOINT"));
}

}  // namespace based::postgres
