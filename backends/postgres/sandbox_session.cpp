#include "backends/postgres/sandbox_session.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "backends/postgres/own_row.h"
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

constexpr std::string_view statement_limit = "statement_timeout";
constexpr std::string_view transaction_limit = "transaction_timeout";

// The server has no such setting, and says so.
bool is_unknown(std::string_view setting, const LeaseSource& root) {
  return setting == transaction_limit && root.server_limit(setting) == nullptr;
}

StatementRef block(const std::string& body, std::string told_as) {
  return made(StatementKind::other, "DO " + quote_literal("BEGIN " + body + "END"),
              std::move(told_as));
}

// The server refuses to reset it where it is a newer one. What the root has stays.
constexpr const char* try_reset_isolation =
    "BEGIN RESET transaction_isolation; RAISE EXCEPTION USING ERRCODE = 'BA5ED'; "
    "EXCEPTION WHEN SQLSTATE 'BA5ED' THEN NULL; END; ";

StatementRef only_savepoint(const char* verb) {
  return made(StatementKind::other, std::string(verb) + " \"based_only\"", "SET");
}

bool is_read_only(const StatementRef& own) { return own->kind == StatementKind::set_transaction; }

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

StatementRef nothing(std::string told_as) {
  return made(StatementKind::other, "DO 'BEGIN END'", std::move(told_as));
}

StatementRef raised(const Error& error) {
  return block("RAISE EXCEPTION USING ERRCODE = " + quote_literal(error.sqlstate.text()) +
                   ", MESSAGE = " + quote_literal(error.message) + "; ",
               "SET");
}

struct SandboxSession::Shown {
  const Settings& settings;
  Settings withheld, local;
  const LeaseSource& root;

  // As SET takes it; empty: the default.
  std::string_view value(std::string_view name) const {
    for (const Settings* own : {&local, &withheld}) {
      const auto found = own->find(name);
      if (found != own->end() && !is_default(found->second)) return found->second;
    }
    const bool kept = name == statement_limit || name == transaction_limit;
    const std::string* servers = kept ? root.server_limit(name) : nullptr;
    return servers == nullptr ? std::string_view() : *servers;
  }
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

std::optional<std::chrono::milliseconds> SandboxSession::statement(std::size_t step) const {
  return step < limits_.size() ? limits_[step] : std::nullopt;
}

std::span<const StatementRef> SandboxSession::settings_made(std::size_t step) const {
  if (step >= made_.size()) return {};
  return made_[step];
}

void SandboxSession::begin(const Statement& begin, const Settings& settings,
                           const LeaseSource& root) {
  const auto only = withheld_.find(sandbox_guard);
  const LeaseWaiter* outer = root.outer();
  outer_ = outer == nullptr ? std::nullopt : std::optional(outer->as_outer());
  queried_ = outer_ && outer_->queried;
  if (outer_) {
    modes_ = outer_->modes;
    modes_.read_only = modes_.read_only || begin.begin.access == BeginOptions::Access::read_only;
  } else {
    modes_ =
        default_modes(settings, only == withheld_.end() ? "" : only->second, root.server_modes());
    change_modes(modes_, std::span(&begin.begin, 1), {});
  }
  modes_.read_only = modes_.read_only || reads_;
  only_apart_ = 0;
  tainted_ = constraints_ = false;
  local_.clear();
  savepoints_.clear();
  notifications_.roll_back();  // of one that was lost
}

std::optional<Error> SandboxSession::refusal(const Unit& unit, const LeaseSource& root) const {
  const LeaseWaiter* outer = root.outer();
  if (!keeps_no_more() && (outer == nullptr || !outer->as_outer().full)) return std::nullopt;
  const bool more = std::ranges::any_of(
      unit.steps, [](const Step& step) { return notifies(step.statement->text); });
  if (!more) return std::nullopt;
  Error error = ListenJournal::full_error();
  error.executed = Executed::no;
  return error;
}

void SandboxSession::leave(bool unanswered) {
  if (unanswered) {
    for (const StatementRef& statement : asked_) objects_.done(*statement);
  }
  objects_.leave();
}

// What is in front of its first step.
void SandboxSession::begin_with(Unit& unit, const Settings& settings, const LeaseSource& root) {
  std::vector<StatementRef>& prologue = unit.envelope.prologue;
  const auto begins = std::ranges::find_if(
      prologue, [](const StatementRef& s) { return s->kind == StatementKind::begin; });
  std::vector<StatementRef> behind;
  if (begins != prologue.end()) {
    begin(**begins, settings, root);
    behind = objects_.left_by_others();
  }
  for (const StatementRef& step : prologue) follow(*step);
  const bool first = begins != prologue.end();
  if (first && modes_.read_only && std::ranges::none_of(prologue, is_read_only)) {
    behind.push_back(read_only_statement());
  }
  prologue.insert(first ? std::next(begins) : prologue.end(), behind.begin(), behind.end());
  set_read_only_apart(unit);
}

// A savepoint cannot be made read write again: what may have to be is read only in another one.
void SandboxSession::set_read_only_apart(Unit& unit) {
  using Access = BeginOptions::Access;
  const auto asks = [&unit](Access access) {
    return std::ranges::count_if(unit.steps, [access](const Step& step) {
      return step.statement->kind == StatementKind::set_transaction &&
             step.statement->begin.access == access;
    });
  };
  if (outer_ || (!unit.keep_lease && asks(Access::read_write) == 0)) return;
  std::vector<StatementRef>& prologue = unit.envelope.prologue;
  const auto only = std::ranges::find_if(prologue, [](const StatementRef& step) {
    return is_read_only(step) || step->kind == StatementKind::savepoint;
  });
  auto savepoints = savepoints_.empty() && !queried_ ? asks(Access::read_only) : 0;
  only_apart_ += static_cast<std::size_t>(savepoints);
  if (only != prologue.end() && is_read_only(*only)) {
    prologue.insert(only, only_savepoint("SAVEPOINT"));
    ++only_apart_;
  }
  for (; savepoints > 0; --savepoints) prologue.push_back(only_savepoint("SAVEPOINT"));
}

void SandboxSession::prepare(Unit& unit, const Settings& settings, const LeaseSource& root) {
  begin_with(unit, settings, root);
  Shown shown{.settings = settings, .withheld = withheld_, .local = local_, .root = root};
  if (reads_) shown.withheld.emplace(sandbox_guard, "on");
  made_.assign(unit.steps.size(), {});
  sayings_.assign(unit.steps.size(), {});
  asked_.clear();
  refused_.reset();
  said_.clear();
  limits_.assign(unit.steps.size(), {});
  bool reads = !unit.steps.empty() && unit.read_only;
  const bool queried = queried_;
  first_query_.reset();
  for (std::size_t i = 0; i < unit.steps.size(); ++i) {
    Step& step = unit.steps[i];
    if (!queried_) first_query_ = i;
    if (step.describe) {  // nothing of it runs, and only these are looked at with a snapshot
      const StatementKind kind = step.statement->kind;
      const bool planned = kind == StatementKind::read || kind == StatementKind::write;
      queried_ = queried_ || (planned && is_query(*step.statement));
      asked_.push_back(nothing(""));
      continue;
    }
    asked_.push_back(step.statement);
    objects_.sent(*step.statement);
    note_calls(step, made_[i], sayings_[i]);
    reads = reads && made_[i].empty();
    limits_[i] = read_timeout(shown.value(statement_limit));
    StatementRef ran = in_place_of(step.statement, unit.alone, unit.keep_lease, shown);
    // What is Based's own is not limited: so a limit that is too low can be raised.
    if (ran != step.statement) limits_[i].reset();
    step.statement = std::move(ran);
  }
  if (queried || !queried_) first_query_.reset();
  transaction_ = read_timeout(shown.value(transaction_limit));
  local_after_ = std::move(shown.local);
  add_ending(unit.envelope, !reads);
  if (constraints_ && !outer_) restore_constraints(unit.envelope);
}

void SandboxSession::note_settings(const Unit& unit) {
  made_.assign(unit.steps.size(), {});
  Saying heard_by_the_server;
  for (std::size_t i = 0; i < unit.steps.size(); ++i) {
    if (!unit.steps[i].describe) note_calls(unit.steps[i], made_[i], heard_by_the_server);
  }
}

void SandboxSession::note_calls(const Step& step, std::vector<StatementRef>& made, Saying& saying) {
  if (step.statement->kind == StatementKind::other) {
    saying.notify = read_notify(step.statement->text);
    if (saying.notify) return;
  }
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
    modes_.read_only = modes_.read_only || sets_read_only(call);
    if (std::optional<Statement> setting = setting_made(call)) {
      made.push_back(std::make_shared<const Statement>(*std::move(setting)));
    }
    const bool notifies = call.function == sql::SessionCall::Function::pg_notify;
    if (notifies && call.arguments[0] && call.arguments[1]) {
      saying.calls.push_back({*call.arguments[0], *call.arguments[1]});
    }
  }
}

// `alone`: as Unit's; `inside`: of a transaction that the client has begun.
StatementRef SandboxSession::in_place_of(const StatementRef& statement, bool alone, bool inside,
                                         Shown& shown) {
  queried_ = queried_ || is_query(*statement);
  if (statement->in_sandbox) return outer_ ? statement : statement->in_sandbox;
  switch (statement->kind) {
    case StatementKind::read:
    case StatementKind::pinning:
      break;
    case StatementKind::set_transaction:
      return mode_in_place_of(statement, alone, shown);
    case StatementKind::discard:
      return discard_in_place_of(statement, alone);
    case StatementKind::setting: {
      if (statement->name == "all") return reset_all_in_root();
      if (statement->begin.access != BeginOptions::Access::unset) {  // of SESSION CHARACTERISTICS
        const bool only = statement->begin.access == BeginOptions::Access::read_only;
        shown.withheld[std::string(sandbox_guard)] = only ? "on" : "off";
        shown.local.erase(std::string(sandbox_guard));
      }
      if (!is_withheld(statement->name)) return statement;
      // The server says what is wrong with it.
      if (!shown_withheld(statement->name, statement->setting)) return statement;
      if (is_unknown(statement->name, shown.root)) return statement;
      shown.withheld[statement->name] = statement->setting;
      shown.local.erase(statement->name);
      return nothing(statement->setting.empty() ? "RESET" : "SET");
    }
    case StatementKind::other:
      if (!is_close_all(*statement)) return statement;
      return made(StatementKind::other, objects_.close_cursors(inside)->text, "CLOSE CURSOR ALL");
    default:
      return statement;
  }
  const std::string_view text = statement->text;
  if (!sql::is_word(text.substr(0, 4), "SHOW") && !may_ask_setting(text)) return statement;
  const std::optional<OwnRow> row = own_row_of(*statement);
  if (!row || row->setting.empty() || is_unknown(row->setting, shown.root)) return statement;
  if (row->sets != BeginOptions()) {
    std::optional<Error> error = change_modes_here(std::span(&row->sets, 1));
    if (error && !refused_) {  // nothing behind it runs
      refused_ = std::move(error);
      refused_at_ = asked_.size() - 1;
    }
    if (refused_) return statement;
    // The server has it in the same savepoint.
    if (row->sets.access != BeginOptions::Access::unset) return statement;
  }
  std::string value = shown_mode(modes_, row->setting).value_or("");
  if (value.empty()) {
    const std::string given(shown.value(row->setting));
    const Result<std::string> said = shown_withheld(row->setting, given);
    value = said ? *said : given;
  }
  return made(StatementKind::read,
              "SELECT " + quote_literal(value) + "::pg_catalog.text AS " + quote_name(row->column),
              row->tag == "SHOW" ? "SHOW" : "");
}

// Nobody else's is discarded.
StatementRef SandboxSession::discard_in_place_of(const StatementRef& statement, bool alone) {
  if (statement->name == "all" && alone && outer_) return statement;
  if (statement->name == "all" && alone) {
    objects_.leave();
    return nothing("DISCARD ALL");
  }
  if (statement->name != "temp") return statement;
  const StatementRef drop = objects_.drop_temporary();
  return drop ? made(StatementKind::definition, drop->text, "DISCARD TEMP")
              : nothing("DISCARD TEMP");
}

// SET LOCAL of one that the root does not get.
StatementRef SandboxSession::limit_in_place_of(const StatementRef& statement, bool alone,
                                               Shown& shown) {
  if (!shown_withheld(statement->name, statement->setting)) return statement;
  if (is_unknown(statement->name, shown.root)) return statement;
  if (alone) return nothing("SET");
  std::string& value = shown.local[statement->name] = statement->setting;
  if (is_default(value)) {
    const std::string* servers = shown.root.server_limit(statement->name);
    value = servers == nullptr ? "0" : *servers;
  }
  return nothing("SET");
}

std::optional<Error> SandboxSession::change_modes_here(std::span<const BeginOptions> asked) {
  return change_modes(modes_, asked,
                      {.queried = queried_, .in_savepoint = outer_ || !savepoints_.empty()});
}

// Every isolation level is true where sessions run one after another.
StatementRef SandboxSession::mode_in_place_of(const StatementRef& statement, bool alone,
                                              Shown& shown) {
  if (sql::is_mode_of_transaction(statement->name) && is_default(statement->setting)) {
    return reset_in_place_of(statement);
  }
  if (word_at(statement->text, 1) == "constraints") {
    if (alone && outer_) return nothing("SET CONSTRAINTS");
    constraints_ = constraints_ || outer_ || !savepoints_.empty();
  }
  if (statement->begin == BeginOptions()) {
    return is_withheld(statement->name) ? limit_in_place_of(statement, alone, shown) : statement;
  }
  if (alone) return nothing("SET");  // for nothing that is to come
  if (statement->name == "session characteristics") {
    std::string body;
    for (StatementRef& set : local_defaults(statement->begin)) {
      const bool withheld = is_withheld(set->name);
      withheld ? shown.local[set->name] = set->setting : body += set->text + "; ";
      made_[asked_.size() - 1].push_back(std::move(set));
    }
    return block(body, "SET");
  }
  const bool was_only = modes_.read_only;
  std::optional<Error> error = change_modes_here(sql::modes_in_order(*statement));
  if (!error && was_only && !modes_.read_only && only_apart_ == 0) error = read_only_around();
  if (error) return raised(*error);
  if (was_only == modes_.read_only) return nothing("SET");
  if (modes_.read_only) {
    return made(StatementKind::set_transaction, read_only_statement()->text, "SET");
  }
  --only_apart_;
  return only_savepoint("RELEASE");
}

// RESET, or SET ... TO DEFAULT. The server refuses to where it is a newer one.
StatementRef SandboxSession::reset_in_place_of(const StatementRef& statement) {
  reset_mode(modes_, statement->name);
  if (statement->name != "transaction_isolation") return statement;
  return block(try_reset_isolation, word_at(statement->text, 0) == "reset" ? "RESET" : "SET");
}

}  // namespace based::postgres
