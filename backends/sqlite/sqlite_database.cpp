#include "backends/sqlite/sqlite_database.h"

namespace based {

Result<std::unique_ptr<Database>> open_sqlite(SqliteOptions options, Reactor&, Log&) {
  if (options.name.empty()) {
    return Error::make(sqlstate::invalid_parameter_value, "a SQLite database needs a name");
  }
  return Error::make(sqlstate::feature_not_supported,
                     "database " + options.name + ": the SQLite lane is not there yet");
}

}  // namespace based
