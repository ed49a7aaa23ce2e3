// The Relay in a sandbox: what set_config has set ends as SET and SET LOCAL do. Where its arguments
// cannot be known, everything that is set is reset when the transaction ends.
#include <algorithm>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_settings.h"

namespace based::postgres {
namespace {

using Function = sql::SessionCall::Function;

}  // namespace

std::vector<CallMade> calls_made(const sql::SessionCalls& calls, const WireMessage* bind) {
  BindRequest bound;
  const bool readable =
      bind != nullptr && bind->whole() && !calls.calls.empty() && decode_bind(bind->body, bound);
  return calls_made(calls, [&](std::uint32_t number) -> std::optional<std::string> {
    if (!readable || number == 0 || number > bound.values.size()) return std::nullopt;
    const std::optional<std::string_view>& value = bound.values[number - 1];
    if (!value) return std::nullopt;
    return std::string(*value);
  });
}

// Before the statement: what of it cannot be undone by name, and what it makes of the transaction.
void Relay::note_taint(const sql::SessionCalls& calls, const std::vector<CallMade>& made) {
  if (calls.unclear || std::ranges::any_of(made, taints)) settings_tainted_ = true;
  if (std::ranges::any_of(made, sets_read_only)) stack_.note_read_only();
}

// What an EXECUTE executes that SQL's PREPARE has prepared.
void Relay::note_taint(const Script& script) {
  for (const StatementRef& statement : script.statements) {
    const bool inside = !statement->executes.empty();  // of an EXPLAIN
    if (!inside && statement->kind != StatementKind::prepare) continue;
    const PreparedRef* prepared = find_prepared(inside ? statement->executes : statement->name);
    if (prepared != nullptr && !sql::find_session_calls((*prepared)->text).empty()) {
      settings_tainted_ = true;
    }
  }
}

// A statement has succeeded: the item's, or the one of its script that comes next.
void Relay::apply_calls(Item& made, std::string_view tag) {
  if (made.calls().empty()) return;
  const ScriptRef& script = made.running();
  const bool several = script && script->statements.size() > 1;
  std::vector<CallMade> calls;
  if (!several) {
    calls = std::exchange(made.detail->calls, {});
  } else if (made.at < script->statements.size()) {
    calls = calls_made(sql::find_session_calls(script->statements[made.at]->text), nullptr);
  }
  for (const CallMade& call : calls) {
    if (call.function == Function::set_config) apply_setting(call);
    const bool known = call.arguments[0] && call.arguments[1];
    if (call.function == Function::pg_notify && known && tag != "SELECT 0") {
      notify(*call.arguments[0], *call.arguments[1]);
    }
  }
}

void Relay::apply_setting(const CallMade& call) {
  const std::optional<Statement> setting = setting_made(call);
  if (!setting) return;
  // The root has it until the transaction ends: it is tainted.
  const bool kept = context_.stack.rooted && is_withheld(setting->name);
  if (!kept) link_->settings().executed(*setting, true);
  if (kept || setting->kind == StatementKind::setting) journal_.done(*setting, "SET");
}

// What is run before the client's transaction ends: PostgreSQL would have done it by itself.
std::vector<StatementRef> Relay::settings_ending() const {
  if (!settings_tainted_ && !context_.verify_release) return {};
  const auto by_us = [](const StatementRef& reset) {
    auto statement = std::make_shared<Statement>(*reset);
    statement->kind = StatementKind::other;
    return statement;
  };
  static const StatementRef in_root = by_us(reset_all_in_root());
  static const StatementRef inside = by_us(reset_all_inside());
  return {rules_.inside ? inside : in_root};
}

}  // namespace based::postgres
