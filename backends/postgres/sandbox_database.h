// A sandbox: every session's work is in one root transaction, which is rolled back at the end.
#pragma once

#include <memory>

#include "backends/database.h"
#include "backends/log.h"
#include "backends/postgres/database_parts.h"
#include "backends/postgres/opener.h"
#include "backends/reactor.h"

namespace based::postgres {

std::unique_ptr<Database> make_sandbox_database(PostgresOptions options,
                                                const ConnectionKeywords& keywords, InitSql init,
                                                Reactor& reactor, Log& log);

}  // namespace based::postgres
