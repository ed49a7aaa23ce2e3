#include "backends/postgres/sandbox_session.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/session_call.h"
#include "backends/postgres/startup_settings.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/control.h"
#include "backends/sql/words.h"

namespace based::postgres {
namespace {

StatementRef made(StatementKind kind, std::string text, std::string told_as) {
  auto statement = std::make_shared<Statement>();
  statement->kind = kind;
  statement->text = std::move(text);
  statement->told_as = std::move(told_as);
  return statement;
}

StatementRef nothing(std::string told_as) {
  return made(StatementKind::other, "DO 'BEGIN END'", std::move(told_as));
}

// Leaves the root's own settings as they have to be.
StatementRef reset_all() {
  static const StatementRef statement = [] {
    auto reset = std::make_shared<Statement>();
    reset->kind = StatementKind::setting;
    reset->name = "all";
    reset->told_as = "RESET";
    reset->text = "DO " + quote_literal("BEGIN RESET ALL; PERFORM " +
                                        restore_root_settings()->text.substr(7) + "; END");
    return reset;
  }();
  return statement;
}

std::optional<std::string> text_of(const ValueView& value) {
  switch (value.kind) {
    case ValueKind::text:
      return std::string(value.data);
    case ValueKind::boolean:
      return value.boolean ? "t" : "f";
    case ValueKind::int64:
      return std::to_string(value.int64);
    default:
      return std::nullopt;
  }
}

}  // namespace

struct SandboxSession::Shown {
  const Settings& settings;
  Settings withheld;
  std::string_view isolation;  // the root's
};

void SandboxSession::adopt(Settings& settings) {
  withheld_.clear();
  for (auto entry = settings.begin(); entry != settings.end();) {
    const auto next = std::next(entry);
    if (is_withheld(entry->first)) withheld_.insert(settings.extract(entry));
    entry = next;
  }
}

std::optional<std::chrono::milliseconds> SandboxSession::idle_in_transaction() const {
  const auto found = withheld_.find("idle_in_transaction_session_timeout");
  return found == withheld_.end() ? std::nullopt : read_timeout(found->second);
}

std::span<const StatementRef> SandboxSession::settings_made(std::size_t step) const {
  if (step >= made_.size()) return {};
  return made_[step];
}

void SandboxSession::begin(const Statement& begin) {
  isolation_ = begin.begin.isolation;
  queried_ = false;
  tainted_ = false;
}

void SandboxSession::prepare(Unit& unit, const Settings& settings, std::string_view isolation) {
  std::vector<StatementRef>& prologue = unit.envelope.prologue;
  const auto begins = std::ranges::find_if(
      prologue, [](const StatementRef& s) { return s->kind == StatementKind::begin; });
  if (begins != prologue.end()) {
    begin(**begins);
    const auto only = withheld_.find("default_transaction_read_only");
    const bool by_default = only != withheld_.end() && is_on(only->second) &&
                            (*begins)->begin.access != BeginOptions::Access::read_write;
    if (reads_ || by_default) prologue.insert(std::next(begins), read_only_statement());
  }
  Shown shown{.settings = settings, .withheld = withheld_, .isolation = isolation};
  made_.assign(unit.steps.size(), {});
  bool reads = !unit.steps.empty() && unit.read_only;
  const bool alone = unit.steps.size() == 1 && !unit.keep_lease;
  for (std::size_t i = 0; i < unit.steps.size(); ++i) {
    Step& step = unit.steps[i];
    if (!step.describe) note_calls(step, made_[i]);
    reads = reads && made_[i].empty();
    step.statement = in_place_of(step.statement, alone, unit.keep_lease, shown);
  }
  add_ending(unit.envelope, !reads);
}

void SandboxSession::note_calls(const Step& step, std::vector<StatementRef>& made) {
  const sql::SessionCalls calls = sql::find_session_calls(step.statement->text);
  if (calls.empty()) return;
  const std::span<const ValueView> values = step.parameters.views();
  const auto parameter = [values](std::uint32_t number) -> std::optional<std::string> {
    if (number == 0 || number > values.size()) return std::nullopt;
    return text_of(values[number - 1]);
  };
  tainted_ = tainted_ || calls.unclear;
  for (const CallMade& call : calls_made(calls, parameter)) {
    tainted_ = tainted_ || taints(call);
    if (std::optional<Statement> setting = setting_made(call)) {
      made.push_back(std::make_shared<const Statement>(*std::move(setting)));
    }
  }
}

// Fires deferred constraints while what was set for the transaction is still there.
void SandboxSession::add_ending(Envelope& envelope, bool writes) const {
  const auto commit = std::ranges::find_if(
      envelope.epilogue, [](const StatementRef& s) { return s->kind == StatementKind::commit; });
  if (commit == envelope.epilogue.end()) return;
  std::vector<StatementRef> before;
  if (writes) before = before_commit_statements(true);
  if (tainted_) before.push_back(reset_all());
  envelope.epilogue.insert(commit, before.begin(), before.end());
}

// `alone`: outside of a transaction; `inside`: of one that the client has begun.
StatementRef SandboxSession::in_place_of(const StatementRef& statement, bool alone, bool inside,
                                         Shown& shown) {
  queried_ = queried_ || is_query(*statement);
  if (statement->in_sandbox) return statement->in_sandbox;
  switch (statement->kind) {
    case StatementKind::read:
      break;
    case StatementKind::set_transaction:
      return mode_in_place_of(statement, alone, shown);
    case StatementKind::discard:
      return statement->name == "all" && !inside ? nothing("DISCARD ALL") : statement;
    case StatementKind::setting: {
      if (statement->name == "all") return reset_all();
      if (!is_withheld(statement->name)) return statement;
      // The server says what is wrong with it.
      if (!shown_withheld(statement->name, statement->setting)) return statement;
      shown.withheld[statement->name] = statement->setting;
      return nothing(statement->setting.empty() ? "RESET" : "SET");
    }
    default:
      return statement;
  }
  const std::string_view text = statement->text;
  if (!sql::is_word(text.substr(0, 4), "SHOW") && !may_ask_setting(text)) return statement;
  const std::optional<OwnRow> row = own_row_of(*statement);
  if (!row || row->setting.empty()) return statement;
  std::string value;
  if (row->setting == "transaction_isolation") {
    value = shown_isolation(isolation_, shown.settings, shown.isolation);
  } else {
    const std::string given = shown.withheld[row->setting];
    const Result<std::string> said = shown_withheld(row->setting, given);
    value = said ? *said : given;
  }
  return made(StatementKind::read,
              "SELECT " + quote_literal(value) + "::pg_catalog.text AS " + std::string(row->column),
              row->tag == "SHOW" ? "SHOW" : "");
}

// Every isolation level is true where sessions run one after another. One that comes too late is
// left to the server, which refuses it.
StatementRef SandboxSession::mode_in_place_of(const StatementRef& statement, bool alone,
                                              Shown& shown) {
  using Isolation = BeginOptions::Isolation;
  using Access = BeginOptions::Access;
  const BeginOptions& said = statement->begin;
  const bool modes = said.isolation != Isolation::unset || said.access != Access::unset ||
                     said.deferrable != BeginOptions::Deferrable::unset;
  if (!modes) return statement;
  if (said.isolation != Isolation::unset) {
    const std::string_view now = shown_isolation(isolation_, shown.settings, shown.isolation);
    if (queried_ && sql::isolation_named(now) != said.isolation) return statement;
    isolation_ = said.isolation;
  }
  if (alone) {
    isolation_ = Isolation::unset;
    return made(StatementKind::other,
                "DO 'BEGIN RAISE WARNING USING ERRCODE = ''25P01'', MESSAGE = ''SET TRANSACTION "
                "can only be used in transaction blocks''; END'",
                "SET");
  }
  if (said.access == Access::unset) return nothing("SET");
  if (said.access == Access::read_write) {
    return made(StatementKind::set_transaction, "SET TRANSACTION READ WRITE", "SET");
  }
  return made(StatementKind::set_transaction, read_only_statement()->text, "SET");
}

}  // namespace based::postgres
