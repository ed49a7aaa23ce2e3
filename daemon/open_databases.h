// From the configured databases to Databases: the one place where settings become the backends'
// options.
#pragma once

#include "backends/log.h"
#include "backends/reactor.h"
#include "config/settings.h"
#include "daemon/database_directory.h"
#include "protocol/result.h"

namespace based {

// Opens every database of the settings into the directory, in their order; all or the first error,
// which names the database. A server that is away or a file that cannot be read is no error here:
// its clients are told.
Result<void> open_databases(const Settings& settings, Reactor& reactor, Log& log,
                            DatabaseDirectory& directory);

}  // namespace based
