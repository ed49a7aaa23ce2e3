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

}  // namespace

Result<void> open_databases(const Settings& settings, Reactor& reactor, Log& log,
                            DatabaseDirectory& directory) {
  for (const DatabaseSettings& database : settings.databases) {
    auto opened = open(database, reactor, log);
    if (!opened) return std::move(opened).error();
    log.write(LogLevel::info,
              fmt::format("database {}: {}{}", database.name, database.shown,
                          database.force_rollback ? ", every change is discarded at the end" : ""));
    directory.add(std::move(*opened),
                  {.statement = database.statement_timeout,
                   .queue = database.timeout,
                   .idle_in_transaction = database.kind == DatabaseKind::sqlite
                                              ? database.idle_while_waited
                                              : database.idle_in_transaction},
                  database.nested_transactions);
  }
  return {};
}

}  // namespace based
