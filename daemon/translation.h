// Settings into the option structs of the layers below, which do not know config/. Any thread,
// pure.
#pragma once

#include "backends/log.h"
#include "backends/postgres/postgres_database.h"
#include "backends/sqlite/sqlite_database.h"
#include "config/settings.h"
#include "daemon/named_sandboxes.h"
#include "daemon/native/limits.h"
#include "daemon/postgres/front_end.h"
#include "daemon/server.h"
#include "daemon/users.h"

namespace based {

ServerOptions server_options(const ServerSettings& settings);
LogLevel log_level(LogLevelSetting level);

// `first` is the database that a client gets who names none: its timeouts are announced.
native::NativeLimits native_limits(const ServerSettings& settings, const DatabaseSettings& first);

Users users(const Settings& settings);
postgres::PostgresLimits postgres_limits(const ServerSettings& settings);

SandboxLimits sandbox_limits(const ServerSettings& settings);

// REQUIRES a database of that kind.
SqliteOptions sqlite_options(const DatabaseSettings& settings);
PostgresOptions postgres_options(const DatabaseSettings& settings);

}  // namespace based
