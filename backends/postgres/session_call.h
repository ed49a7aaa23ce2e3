// CallMade: a call of set_config or pg_notify that a sandbox's client has made, its arguments as
// far as they are known, and what it means for the client's settings. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/sql/session_calls.h"
#include "backends/statement.h"

namespace based::postgres {

struct CallMade {
  sql::SessionCall::Function function = sql::SessionCall::Function::set_config;
  std::vector<std::optional<std::string>> arguments;
  bool sure = false;  // that it was made
};

// `parameter` gives the value of one, from 1, as text or PostgreSQL's binary bool; nullopt: it is
// null, or not known.
std::vector<CallMade> calls_made(
    const sql::SessionCalls& calls,
    const std::function<std::optional<std::string>(std::uint32_t)>& parameter);

// Is it a NOTIFY, or may it call pg_notify? Cheap where neither is in the text.
bool notifies(std::string_view text);
// Does it set what cannot be undone by name when the transaction ends?
bool taints(const CallMade& call);
// Does it make the transaction read only, as far as that is known?
bool sets_read_only(const CallMade& call);
// The SET or SET LOCAL that a set_config is; nullopt: nothing that is known, or no setting of a
// session's.
std::optional<Statement> setting_made(const CallMade& call);

}  // namespace based::postgres
