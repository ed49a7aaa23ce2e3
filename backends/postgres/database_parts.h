// What the databases behind a pool and those behind a sandbox's root have in common.
#pragma once

#include <string>
#include <vector>

#include "backends/postgres/link.h"
#include "backends/postgres/postgres_database.h"
#include "backends/postgres/relay_context.h"

namespace based::postgres {

// The init SQL as single statements, and what its SETs set.
struct InitSql {
  std::vector<std::string> texts;
  Settings settings;
  bool only_sets = true;
};

LinkLimits link_limits(const PostgresOptions& options);

RelayContext relay_context(const PostgresOptions& options, LeaseSource& leases, Pins& pins,
                           sql::StatementTable& texts, const Settings& base, Reactor& reactor,
                           Log& log);

}  // namespace based::postgres
