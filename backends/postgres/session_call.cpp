#include "backends/postgres/session_call.h"

#include <algorithm>
#include <array>
#include <utility>

#include "backends/postgres/client_objects.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/startup_settings.h"
#include "backends/sql/control.h"
#include "backends/sql/words.h"

namespace based::postgres {
namespace {

using Function = sql::SessionCall::Function;

// As a parameter or literal says it, in text or binary.
std::optional<bool> truth_of(const std::optional<std::string>& value) {
  if (!value) return std::nullopt;
  if (*value == std::string_view("\1", 1)) return true;
  if (*value == std::string_view("\0", 1)) return false;
  const std::string lower = sql::lower_ascii(*value);
  static constexpr std::array<std::string_view, 5> truths{"t", "true", "on", "yes", "1"};
  static constexpr std::array<std::string_view, 5> lies{"f", "false", "off", "no", "0"};
  if (std::ranges::find(truths, lower) != truths.end()) return true;
  if (std::ranges::find(lies, lower) != lies.end()) return false;
  return std::nullopt;
}

}  // namespace

std::vector<CallMade> calls_made(
    const sql::SessionCalls& calls,
    const std::function<std::optional<std::string>(std::uint32_t)>& parameter) {
  using Kind = sql::Argument::Kind;
  std::vector<CallMade> made;
  for (const sql::SessionCall& call : calls.calls) {
    CallMade one{.function = call.function, .arguments = {}, .sure = !calls.unclear};
    for (const sql::Argument& argument : call.arguments) {
      std::optional<std::string> value;
      if (argument.kind == Kind::literal) value = argument.text;
      if (argument.kind == Kind::parameter) value = parameter(argument.number);
      one.arguments.push_back(std::move(value));
    }
    made.push_back(std::move(one));
  }
  return made;
}

bool notifies(std::string_view text) {
  if (read_notify(text)) return true;
  const sql::SessionCalls calls = sql::find_session_calls(text);
  return std::ranges::any_of(calls.calls, [](const sql::SessionCall& call) {
    return call.function == sql::SessionCall::Function::pg_notify;
  });
}

bool taints(const CallMade& call) {
  if (call.function != Function::set_config) return false;
  const std::optional<std::string>& name = call.arguments[0];
  const std::optional<bool> local = truth_of(call.arguments[2]);
  const bool known = name && local && (*local || (call.arguments[1] && call.sure));
  return !known || is_withheld(sql::lower_ascii(*name));
}

bool sets_read_only(const CallMade& call) {
  const auto& given = call.arguments;
  if (call.function != Function::set_config || !call.sure || !given[0] || !given[1]) return false;
  if (sql::lower_ascii(*given[0]) != "transaction_read_only") return false;
  return truth_of(given[2]) && truth_of(given[1]).value_or(false);
}

std::optional<Statement> setting_made(const CallMade& call) {
  if (call.function != Function::set_config) return std::nullopt;
  const std::optional<std::string>& name = call.arguments[0];
  const std::optional<std::string>& value = call.arguments[1];
  const std::optional<bool> local = truth_of(call.arguments[2]);
  if (!name || !local || (!*local && (!value || !call.sure))) return std::nullopt;
  Statement setting;
  setting.name = sql::lower_ascii(*name);
  if (sql::is_mode_of_transaction(setting.name)) return std::nullopt;
  setting.kind = *local ? StatementKind::set_transaction : StatementKind::setting;
  const std::array<std::pair<std::string, std::string>, 1> given{
      {{setting.name, value.value_or("")}}};
  setting.setting = startup_settings(given).begin()->second;
  return setting;
}

}  // namespace based::postgres
