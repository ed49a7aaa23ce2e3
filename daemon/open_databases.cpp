#include "daemon/open_databases.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "daemon/translation.h"

namespace based {
namespace {

// The embedded default is nobody's file yet: its folder is made, as a user's own state is, and for
// that user alone (the XDG Base Directory Specification asks for 0700).
Result<void> make_folder(const DatabaseSettings& database) {
  const std::filesystem::path folder = std::filesystem::path(database.path).parent_path();
  std::error_code error;
  if (folder.empty()) return {};
  if (std::filesystem::create_directories(folder, error))
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  if (!error) return {};
  return Error::make(sqlstate::undefined_file,
                     fmt::format("database {}: cannot make the folder {}: {}", database.name,
                                 folder.string(), error.message()));
}

Result<std::unique_ptr<Database>> open(const DatabaseSettings& database, Reactor& reactor,
                                       Log& log) {
  switch (database.kind) {
    case DatabaseKind::sqlite:
      if (database.embedded) {
        if (auto made = make_folder(database); !made) return std::move(made).error();
      }
      return open_sqlite(sqlite_options(database), reactor, log);
    case DatabaseKind::postgresql:
      return open_postgres(postgres_options(database), reactor, log);
  }
  INVARIANT(false);
}

DatabaseTimeouts timeouts(const DatabaseSettings& database) {
  return {.statement = database.statement_timeout,
          .queue = database.timeout,
          .idle_in_transaction = database.kind == DatabaseKind::sqlite
                                     ? database.idle_while_waited
                                     : database.idle_in_transaction};
}

Result<DatabaseDirectory::Entry> make(const DatabaseSettings& database, const std::string& name,
                                      Reactor& reactor, Log& log) {
  PostgresOptions options = postgres_options(database);
  options.name = name;
  options.dbname = name;
  auto opened = open_postgres(std::move(options), reactor, log);
  if (!opened) return std::move(opened).error();
  return DatabaseDirectory::Entry{*std::move(opened), timeouts(database),
                                  database.nested_transactions};
}

Result<void> set_catch_all(const ServerSettings& server, const DatabaseSettings& database,
                           Reactor& reactor, Log& log, DatabaseDirectory& directory) {
  // Its mistakes are to be found now, and not by the first client.
  if (auto checked = check_postgres(postgres_options(database)); !checked) return checked;
  directory.set_catch_all(
      {.make = [database, &reactor,
                &log](const std::string& name) { return make(database, name, reactor, log); },
       .databases_max = server.max_catch_all,
       .unused_max = server.catch_all_idle},
      reactor, log);
  return {};
}

}  // namespace

Result<void> open_databases(const Settings& settings, Reactor& reactor, Log& log,
                            DatabaseDirectory& directory) {
  for (const DatabaseSettings& database : settings.databases) {
    log.write(LogLevel::info,
              fmt::format("database {}: {}{}", database.name, database.shown,
                          database.force_rollback ? ", every change is discarded at the end" : ""));
    if (database.name == catch_all_name) {
      if (auto set = set_catch_all(settings.server, database, reactor, log, directory); !set)
        return set;
      continue;
    }
    auto opened = open(database, reactor, log);
    if (!opened) return std::move(opened).error();
    directory.add(std::move(*opened), timeouts(database), database.nested_transactions);
  }
  return {};
}

}  // namespace based
