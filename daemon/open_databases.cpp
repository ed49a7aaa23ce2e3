#include "daemon/open_databases.h"

#include <fmt/format.h>

#include <filesystem>
#include <functional>
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

DatabaseTimeouts timeouts(const DatabaseSettings& database) {
  return {.statement = database.statement_timeout,
          .queue = database.timeout,
          .idle_in_transaction = database.kind == DatabaseKind::sqlite
                                     ? database.idle_while_waited
                                     : database.idle_in_transaction};
}

// Everything that is needed to make databases while clients come. Outlives them.
struct Maker {
  Reactor& reactor;
  Log& log;
  DatabaseDirectory& directory;
};

bool has_sandboxes(const DatabaseSettings& database) {
  return (database.force_rollback && !database.read_only) || database.sandboxes;
}

// What SANDBOX LIST shows in the database of this name.
std::function<std::vector<SandboxStatus>()> siblings_of(const DatabaseSettings& database,
                                                        const std::string& name,
                                                        const Maker& maker) {
  const auto split = NamedSandboxes::split(name);
  const std::string owner(split && database.force_rollback ? split->database : name);
  return [&directory = maker.directory, owner] { return directory.sandboxes_of(owner); };
}

SqliteOptions options_of(const DatabaseSettings& database, const Maker& maker) {
  SqliteOptions options = sqlite_options(database);
  options.siblings = siblings_of(database, database.name, maker);
  return options;
}

// Its options under this name; where a catch-all takes it, of the server's database `dbname`.
PostgresOptions options_of(const DatabaseSettings& database, const std::string& name,
                           const std::string& dbname, const Maker& maker) {
  PostgresOptions options = postgres_options(database);
  options.name = name;
  options.dbname = dbname;
  options.siblings = siblings_of(database, name, maker);
  options.leave_database = [&directory = maker.directory](const std::string& left) {
    for (const DatabaseEntry* entry : directory.present()) entry->database->leave(left);
  };
  options.logins_changed = maker.directory.logins_changed();
  return options;
}

Result<std::unique_ptr<Database>> open(const DatabaseSettings& database, const Maker& maker) {
  switch (database.kind) {
    case DatabaseKind::sqlite:
      if (database.embedded) {
        if (auto made = make_folder(database); !made) return std::move(made).error();
      }
      return open_sqlite(options_of(database, maker), maker.reactor, maker.log);
    case DatabaseKind::postgresql:
      return open_postgres(options_of(database, database.name, "", maker), maker.reactor,
                           maker.log);
  }
  INVARIANT(false);
}

Result<std::unique_ptr<Database>> open_sandbox(const DatabaseSettings& database,
                                               const std::string& name, const std::string& dbname,
                                               const Maker& maker) {
  DatabaseSettings settings = database;
  settings.force_rollback = true;
  settings.name = name;
  if (settings.kind == DatabaseKind::sqlite) {
    return open_sqlite(options_of(settings, maker), maker.reactor, maker.log);
  }
  return open_postgres(options_of(settings, name, dbname, maker), maker.reactor, maker.log);
}

DatabaseEntry entry_of(const DatabaseSettings& database, std::unique_ptr<Database> opened,
                       const std::string& dbname, const Maker& maker) {
  DatabaseEntry entry{.database = std::move(opened),
                      .timeouts = timeouts(database),
                      .nested_transactions = database.nested_transactions};
  if (!has_sandboxes(database)) return entry;
  entry.make_sandbox = [database, dbname, maker](const std::string& name) -> Result<DatabaseEntry> {
    auto sandbox = open_sandbox(database, name, dbname, maker);
    if (!sandbox) return std::move(sandbox).error();
    return DatabaseEntry{.database = *std::move(sandbox),
                         .timeouts = timeouts(database),
                         .nested_transactions = database.nested_transactions};
  };
  return entry;
}

Result<DatabaseEntry> make(const DatabaseSettings& database, const std::string& name,
                           const Maker& maker) {
  auto opened = open_postgres(options_of(database, name, name, maker), maker.reactor, maker.log);
  if (!opened) return std::move(opened).error();
  return entry_of(database, *std::move(opened), name, maker);
}

Result<void> set_catch_all(const ServerSettings& server, const DatabaseSettings& database,
                           const Maker& maker) {
  // Its mistakes are to be found now, and not by the first client.
  if (auto checked = check_postgres(postgres_options(database)); !checked) return checked;
  maker.directory.set_catch_all(
      {.make = [database, maker](const std::string& name) { return make(database, name, maker); },
       .sandboxes = has_sandboxes(database),
       .databases_max = server.max_catch_all,
       .unused_max = server.catch_all_idle},
      maker.reactor, maker.log);
  return {};
}

}  // namespace

Result<void> open_databases(const Settings& settings, Reactor& reactor, Log& log,
                            DatabaseDirectory& directory) {
  const Maker maker{.reactor = reactor, .log = log, .directory = directory};
  directory.set_sandboxes(sandbox_limits(settings.server), reactor, log);
  for (const DatabaseSettings& database : settings.databases) {
    log.write(LogLevel::info,
              fmt::format("database {}: {}{}", database.name, database.shown,
                          database.force_rollback ? ", every change is discarded at the end" : ""));
    if (database.name == catch_all_name) {
      if (auto set = set_catch_all(settings.server, database, maker); !set) return set;
      continue;
    }
    auto opened = open(database, maker);
    if (!opened) return std::move(opened).error();
    directory.add(entry_of(database, *std::move(opened), "", maker));
  }
  return {};
}

}  // namespace based
