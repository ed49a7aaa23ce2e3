// Settings that in a sandbox are the client's alone, and never reach the root: they would end it,
// or weaken what guards it. Based keeps them, shows them and acts on them. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "backends/postgres/link_settings.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based::postgres {

// statement_timeout, idle_in_transaction_session_timeout, transaction_timeout,
// idle_session_timeout, default_transaction_read_only.
bool is_withheld(std::string_view setting);

// What SHOW says of it: `value` as SQL text, as behind SET name TO; empty: the default. 22023 for
// what the server would not take.
Result<std::string> shown_withheld(std::string_view setting, std::string_view value);
// RESET, or SET ... TO DEFAULT.
bool is_default(std::string_view value);
// nullopt: none, or off.
std::optional<std::chrono::milliseconds> read_timeout(std::string_view value);
bool is_on(std::string_view value);

// So that the server ends a statement of a daemon that has been killed, and the root with it, and
// does not let its locks hold up others until it is done. A server that has its own notion keeps
// it.
inline constexpr const char* notice_when_we_are_gone =
    "SELECT CASE WHEN pg_catalog.current_setting('client_connection_check_interval', true) "
    "OPERATOR(pg_catalog.=) '0' AND pg_catalog.version() OPERATOR(pg_catalog.~) 'linux' "
    "THEN pg_catalog.set_config('client_connection_check_interval', '1s', false) END";

// What the server would end a link by, that sessions share; rows: each, and what it was.
inline constexpr const char* no_server_timeouts =
    "SELECT name, setting, pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings "
    "WHERE name IN "
    "('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')";

// RESET ALL by a client of a root: the root's own settings are set again, and what it keeps for
// those who have been joined (SandboxRoot::joining) stays.
StatementRef reset_all_in_root();
// The same where the session is inside of another's transaction, in no sandbox.
StatementRef reset_all_inside();
// How that is kept: "_based.since", and these for each depth of joining.
inline constexpr const char* joined_prefix = "_based.j";
inline constexpr const char* joined_settings = "_settings";
inline constexpr const char* joined_since = "_since";

}  // namespace based::postgres
