#include "backends/sqlite/sqlite_database.h"

#include "backends/sql/statement_table.h"
#include "backends/sqlite/lane.h"
#include "backends/sqlite/sandbox.h"
#include "backends/sqlite/session.h"
#include "protocol/check.h"

namespace based {
namespace {

class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(SqliteOptions options, Reactor& reactor, Log& log)
      : options_(std::move(options)),
        reactor_(reactor),
        sandbox_(options_, reactor),
        lane_(options_, reactor, log, options_.force_rollback ? &sandbox_.log() : nullptr) {
    sandbox_.attach(lane_);
  }

  const std::string& name() const override { return options_.name; }
  Dialect dialect() const override { return Dialect::sqlite; }
  bool rooted() const override { return false; }
  bool force_rollback() const override { return options_.force_rollback; }

  Result<ScriptRef> intern(std::string_view text, ParameterStyle style) override {
    return texts_.intern(text, style);
  }

  std::unique_ptr<BackendSession> open_session(SessionOptions options,
                                               SessionListener& listener) override {
    return std::make_unique<sqlite::SqliteSession>(options_, reactor_, lane_, waits_,
                                                   std::move(options), listener);
  }

  DatabaseStatus status() const override {
    DatabaseStatus status;
    status.name = options_.name;
    status.backend = "sqlite";
    status.force_rollback = options_.force_rollback;
    status.lanes.push_back(lane_.status());
    if (!options_.force_rollback) return status;
    status.sandboxes.push_back(sandbox_.status());
    return status;
  }

  Sandbox* sandbox() override { return options_.force_rollback ? &sandbox_ : nullptr; }

  void shut_down(std::function<void(std::vector<std::string>)> done) override {
    sandbox_.shut_down();
    lane_.close(std::move(done));
  }

 private:
  const SqliteOptions options_;
  Reactor& reactor_;
  sql::StatementTable texts_{Dialect::sqlite};
  WaitResource waits_{.name = options_.name};
  sqlite::SqliteSandbox sandbox_;
  sqlite::Lane lane_;
};

Error bad_option(const SqliteOptions& options, std::string_view what) {
  return Error::make(sqlstate::invalid_parameter_value,
                     "database " + options.name + ": " + std::string{what});
}

}  // namespace

Result<std::unique_ptr<Database>> open_sqlite(SqliteOptions options, Reactor& reactor, Log& log) {
  if (options.name.empty()) return bad_option(options, "a name is needed");
  if (options.path.find('\0') != std::string::npos) {
    return bad_option(options, "the path contains a NUL byte");
  }
  if (options.read_only && options.path.empty()) {
    return bad_option(options, "a database in memory cannot be read only");
  }
  if (options.read_only && options.force_rollback) {
    return bad_option(options, "read_only and force_rollback exclude each other");
  }
  if (options.waiting_max == 0 || options.result_buffer_bytes == 0 ||
      options.checkpoint_pages == 0 || options.value_bytes_max < 1024) {
    return bad_option(options, "a limit is too small");
  }
  if (options.idle_in_transaction <= Duration{} || options.slow_reader <= Duration{} ||
      options.busy_timeout < Duration{} || options.transaction_max < Duration{}) {
    return bad_option(options, "a time limit is not positive");
  }
  return std::unique_ptr<Database>{
      std::make_unique<SqliteDatabase>(std::move(options), reactor, log)};
}

}  // namespace based
