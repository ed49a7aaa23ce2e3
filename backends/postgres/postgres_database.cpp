#include "backends/postgres/postgres_database.h"

#include <stdlib.h>
#include <unistd.h>

#include <string_view>

namespace based {

void forget_postgres_environment() {
  std::vector<std::string> names;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view entry(*variable);
    if (entry.starts_with("PG")) names.emplace_back(entry.substr(0, entry.find('=')));
  }
  for (const std::string& name : names) ::unsetenv(name.c_str());
}

Result<std::unique_ptr<Database>> open_postgres(PostgresOptions options, Reactor&, Log&) {
  if (options.name.empty()) {
    return Error::make(sqlstate::invalid_parameter_value, "a PostgreSQL database needs a name");
  }
  return Error::make(sqlstate::feature_not_supported,
                     "database " + options.name + ": the PostgreSQL pool is not there yet");
}

}  // namespace based
