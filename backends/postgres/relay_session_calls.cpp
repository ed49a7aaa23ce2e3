// The Relay in a sandbox: what set_config has set ends as SET and SET LOCAL do. Where its arguments
// cannot be known, everything that is set is reset when the transaction ends.
#include <algorithm>
#include <array>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/startup_settings.h"
#include "backends/sql/control.h"
#include "backends/sql/words.h"

namespace based::postgres {
namespace {

using Function = sql::SessionCall::Function;

std::optional<std::string> value_of(const sql::Argument& argument, const BindRequest* bound) {
  using Kind = sql::Argument::Kind;
  if (argument.kind == Kind::literal) return argument.text;
  if (argument.kind != Kind::parameter || bound == nullptr) return std::nullopt;
  if (argument.number == 0 || argument.number > bound->values.size()) return std::nullopt;
  const std::optional<std::string_view>& value = bound->values[argument.number - 1];
  if (!value) return std::nullopt;
  return std::string(*value);
}

// As a parameter or literal says it, in text or binary.
std::optional<bool> truth_of(const std::string& value) {
  if (value == std::string_view("\1", 1)) return true;
  if (value == std::string_view("\0", 1)) return false;
  const std::string lower = sql::lower_ascii(value);
  static constexpr std::array<std::string_view, 5> truths{"t", "true", "on", "yes", "1"};
  static constexpr std::array<std::string_view, 5> lies{"f", "false", "off", "no", "0"};
  if (std::ranges::find(truths, lower) != truths.end()) return true;
  if (std::ranges::find(lies, lower) != lies.end()) return false;
  return std::nullopt;
}

}  // namespace

std::vector<CallMade> calls_made(const sql::SessionCalls& calls, const WireMessage* bind) {
  BindRequest bound;
  const bool readable =
      bind != nullptr && bind->whole() && !calls.calls.empty() && decode_bind(bind->body, bound);
  std::vector<CallMade> made;
  for (const sql::SessionCall& call : calls.calls) {
    CallMade one{.function = call.function, .arguments = {}, .sure = !calls.unclear};
    for (const sql::Argument& argument : call.arguments) {
      one.arguments.push_back(value_of(argument, readable ? &bound : nullptr));
    }
    made.push_back(std::move(one));
  }
  return made;
}

// Before the statement: what of it cannot be undone by name.
void Relay::note_taint(const sql::SessionCalls& calls, const std::vector<CallMade>& made) {
  if (calls.unclear) settings_tainted_ = true;
  for (const CallMade& call : made) {
    if (call.function != Function::set_config) continue;
    const std::optional<std::string>& name = call.arguments[0];
    const std::optional<bool> local =
        call.arguments[2] ? truth_of(*call.arguments[2]) : std::nullopt;
    const bool known = name && local && (*local || (call.arguments[1] && call.sure));
    if (!known || is_withheld(sql::lower_ascii(*name))) settings_tainted_ = true;
  }
}

// What an EXECUTE executes that SQL's PREPARE has prepared.
void Relay::note_taint(const Script& script) {
  for (const StatementRef& statement : script.statements) {
    if (statement->kind != StatementKind::prepare) continue;
    const PreparedRef* prepared = find_prepared(statement->name);
    if (prepared != nullptr && !sql::find_session_calls((*prepared)->text).empty()) {
      settings_tainted_ = true;
    }
  }
}

// The statement has succeeded.
void Relay::apply_calls(Item& made, std::string_view tag) {
  if (tag == "NOTIFY" || tag == "LISTEN") return;  // in front of it in the same text
  for (const CallMade& call : std::exchange(made.calls, {})) {
    if (call.function == Function::set_config) apply_setting(call);
    const bool known = call.arguments[0] && call.arguments[1];
    if (call.function == Function::pg_notify && known && tag != "SELECT 0") {
      notify(*call.arguments[0], *call.arguments[1]);
    }
  }
}

void Relay::apply_setting(const CallMade& call) {
  const std::optional<std::string>& name = call.arguments[0];
  const std::optional<std::string>& value = call.arguments[1];
  const std::optional<bool> local = call.arguments[2] ? truth_of(*call.arguments[2]) : std::nullopt;
  if (!name || !local || (!*local && (!value || !call.sure))) return;
  Statement setting;
  setting.name = sql::lower_ascii(*name);
  if (is_withheld(setting.name) || sql::is_mode_of_transaction(setting.name)) return;
  setting.kind = *local ? StatementKind::set_transaction : StatementKind::setting;
  const std::array<std::pair<std::string, std::string>, 1> given{
      {{setting.name, value.value_or("")}}};
  setting.setting = startup_settings(given).begin()->second;
  link_->settings().executed(setting, true);
  if (!*local) journal_.done(setting, "SET");
}

// What is run before the client's transaction ends: PostgreSQL would have done it by itself.
std::vector<StatementRef> Relay::settings_ending() const {
  if (!settings_tainted_ && !context_.verify_release) return {};
  static const StatementRef reset = [] {
    auto statement = std::make_shared<Statement>();
    statement->kind = StatementKind::other;
    statement->name = "all";
    statement->text = "RESET ALL";
    return statement;
  }();
  return {reset, restore_root_settings()};
}

}  // namespace based::postgres
