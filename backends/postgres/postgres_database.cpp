#include "backends/postgres/postgres_database.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string_view>
#include <utility>

#include "backends/postgres/database_parts.h"
#include "backends/postgres/opener.h"
#include "backends/postgres/pool.h"
#include "backends/postgres/postgres_session.h"
#include "backends/postgres/refused_session.h"
#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_database.h"
#include "backends/postgres/shared_links.h"
#include "backends/postgres/user_pools.h"
#include "backends/sql/script.h"
#include "backends/sql/statement_table.h"
#include "protocol/check.h"

namespace based {

using namespace postgres;

namespace {

// Does it mean outside of a transaction what it means inside of one, which has it to its end?
bool only_sets(const Statement& statement) {
  return statement.kind == StatementKind::setting && !statement.setting.empty() &&
         !statement.name.starts_with("session") &&
         statement.name.find("transaction") == statement.name.npos;
}

Result<InitSql> read_init_sql(const std::vector<std::string>& scripts) {
  InitSql init;
  for (const std::string& text : scripts) {
    const Result<ScriptRef> script =
        sql::parse_script(text, Dialect::postgres, ParameterStyle::none);
    if (!script) return script.error();
    for (const StatementRef& statement : (*script)->statements) {
      if (statement->kind == StatementKind::empty) continue;
      init.texts.push_back(statement->text);
      init.only_sets = init.only_sets && only_sets(*statement);
      if (statement->kind == StatementKind::setting && !statement->setting.empty()) {
        init.settings[statement->name] = statement->setting;
      }
    }
  }
  return init;
}

PoolSettings pool_settings(const PostgresOptions& options, const InitSql& init,
                           const LinkLimits& limits) {
  PoolSettings settings;
  settings.name = options.name;
  settings.min_size = options.min_size;
  settings.max_size = options.max_size;
  settings.max_waiting = options.max_waiting;
  settings.max_lifetime = options.max_lifetime;
  settings.max_idle = options.max_idle;
  settings.reconnect_timeout = options.reconnect_timeout;
  settings.check_interval = options.check_interval;
  settings.link = limits;
  settings.init_texts = init.texts;
  settings.base_settings = init.settings;
  settings.leave_database = options.leave_database;
  settings.seed = std::random_device()();
  return settings;
}

std::string value_of(const ConnectionKeywords& keywords, std::string_view name) {
  const auto found = std::ranges::find(keywords, name, &ConnectionKeywords::value_type::first);
  return found == keywords.end() ? std::string() : found->second;
}

// The pool outlives its sessions: its Use is a base, and goes after the session.
class PooledRelay final : private UserPools::Use, public Relay {
 public:
  PooledRelay(UserPools::UserPool& pool, WireOptions options, WireClient& client)
      : Use(pool), Relay(pool.relays, std::move(options), client) {}
};

class PooledSession final : private UserPools::Use, public PostgresSession {
 public:
  PooledSession(UserPools::UserPool& pool, SessionOptions options, SessionListener& listener)
      : Use(pool), PostgresSession(pool.sessions, std::move(options), listener) {}
};

class SharedRelay final : private SharedLinks::Use, public Relay {
 public:
  SharedRelay(SharedLinks& links, SharedLinks::Group& group, WireOptions options,
              WireClient& client)
      : Use(links, group), Relay(group.relays, std::move(options), client) {}
};

class SharedSession final : private SharedLinks::Use, public PostgresSession {
 public:
  SharedSession(SharedLinks& links, SharedLinks::Group& group, SessionOptions options,
                SessionListener& listener)
      : Use(links, group), PostgresSession(group.sessions, std::move(options), listener) {}
};

class PooledDatabase final : public Database {
 public:
  PooledDatabase(PostgresOptions options, ConnectionKeywords keywords, const InitSql& init,
                 Reactor& reactor, Log& log)
      : options_(std::move(options)),
        base_settings_(init.settings),
        reactor_(reactor),
        log_(log),
        dbname_(value_of(keywords, "dbname")),
        statements_(Dialect::postgres),
        pools_(pool_settings(options_, init, limits()),
               {.most = options_.max_pinned, .idle = options_.idle_while_pinned},
               std::move(keywords), options_.connect_timeout,
               {.relays = [this](UserPools::UserPool& pool) { return relays_of(pool); },
                .sessions =
                    [this](UserPools::UserPool& pool) {
                      return sessions_of(pool, pool.pool, pool.pins, pool.waits);
                    }},
               reactor, log),
        shared_most_(options_.max_pinned > 0 ? std::min(options_.max_pinned, JoinTokens::shared_max)
                                             : JoinTokens::shared_max),
        shared_({.name = options_.name,
                 .max_waiting = options_.max_waiting,
                 .link = limits(),
                 .session_texts = init.texts,
                 .base_settings = init.settings,
                 .idle_while_waited = options_.idle_while_waited,
                 .joins = true,
                 .shared = true},
                shared_most_,
                {.relays = [this](auto& pool, auto& group) { return shared_relays(pool, group); },
                 .sessions =
                     [this](auto& pool, auto& group) {
                       SessionContext context =
                           sessions_of(pool, group.root, group.pins, group.waits);
                       context.shared = context.joins = true;
                       return context;
                     }},
                reactor, log) {
    pools_.start();
  }

  const std::string& name() const override { return options_.name; }
  Dialect dialect() const override { return Dialect::postgres; }
  bool rooted() const override { return false; }
  bool force_rollback() const override { return false; }

  Result<ScriptRef> intern(std::string_view text, ParameterStyle style) override {
    return statements_.intern(text, style);
  }

  std::unique_ptr<BackendSession> open_session(SessionOptions options,
                                               SessionListener& listener) override {
    const Result<UserPools::UserPool*> found = pools_.find(options.user);
    if (!found) return std::make_unique<RefusedUnits>(found.error(), reactor_);
    if (options.group != 0) {
      const Result<SharedLinks::Group*> group = shared_.find(options.group, **found);
      if (!group) return std::make_unique<RefusedUnits>(group.error(), reactor_);
      return std::make_unique<SharedSession>(shared_, **group, std::move(options), listener);
    }
    return std::make_unique<PooledSession>(**found, std::move(options), listener);
  }

  std::unique_ptr<WireSession> open_wire_session(WireOptions options, WireClient& client) override {
    const Result<UserPools::UserPool*> found = pools_.find(options.user);
    if (!found) return std::make_unique<RefusedSession>(found.error(), client);
    if (options.group != 0) {
      const Result<SharedLinks::Group*> group = shared_.find(options.group, **found);
      if (!group) return std::make_unique<RefusedSession>(group.error(), client);
      return std::make_unique<SharedRelay>(shared_, **group, std::move(options), client);
    }
    return std::make_unique<PooledRelay>(**found, std::move(options), client);
  }

  void leave(const std::string& database) override {
    if (database == dbname_) pools_.leave();
  }

  bool is_idle() const override { return pools_.unused() && shared_.empty(); }
  DatabaseStatus status() const override {
    DatabaseStatus status{.name = options_.name, .backend = "postgresql"};
    status.pools = pools_.status();
    return status;
  }

  void shut_down(std::function<void(std::vector<std::string>)> done) override {
    INVARIANT(!ending_);
    pools_.stop();
    // What an abandoned session left is rolled back by the server when its link closes.
    ending_ = reactor_.make_timer([this, done = std::move(done)] {
      if (pools_.empty() && shared_.empty()) return done({});
      pools_.stop();
      ending_->arm(reactor_.now() + std::chrono::milliseconds(5));
    });
    ending_->arm(reactor_.now());
  }

 private:
  RelayContext relays_of(UserPools::UserPool& pool) {
    RelayContext context =
        relay_context(options_, pool.pool, pool.pins, statements_, base_settings_, reactor_, log_);
    // Where a session has its link to itself, or its transactions are not the server's own, it
    // listens on its own link.
    const bool shared = options_.listen == ListenMode::shared && !options_.session_mode;
    if (shared && !options_.nested_transactions) context.listener = &pool.listener;
    const bool unasked = options_.auto_prepare && options_.statements_cached_max > 0;
    if (unasked && !options_.session_mode && !options_.nested_transactions)
      context.seen = &pool.seen;
    return context;
  }

  RelayContext shared_relays(UserPools::UserPool&, SharedLinks::Group& group) {
    RelayContext context = relay_context(options_, group.root, group.pins, statements_,
                                         base_settings_, reactor_, log_);
    context.shared = true;
    context.session_mode = context.verify_release = false;
    return context;
  }

  SessionContext sessions_of(UserPools::UserPool& pool, LeaseSource& leases, Pins& pins,
                             WaitResource& waits) {
    return {.leases = leases,
            .pins = pins,
            .waits = waits,
            .types = pool.types,
            .seen = pool.seen,
            .reactor = reactor_,
            .log = log_,
            .lease_timeout = options_.timeout,
            .settings_timeout = options_.cleanup_timeout,
            .idle_in_transaction = options_.idle_in_transaction,
            .transaction_timeout = options_.transaction_timeout,
            .base_settings = base_settings_,
            .siblings = options_.siblings};
  }

  LinkLimits limits() {
    LinkLimits limits = link_limits(options_);
    limits.definitions_committed = &definitions_committed_;
    limits.processes = &processes_;
    limits.logins_changed = options_.logins_changed;
    return limits;
  }

  const PostgresOptions options_;
  const Settings base_settings_;
  Reactor& reactor_;
  Log& log_;
  const std::string dbname_;
  sql::StatementTable statements_;
  DefinitionNews definitions_committed_;
  PublicProcesses processes_;
  UserPools pools_;
  const std::size_t shared_most_;
  SharedLinks shared_;
  std::unique_ptr<Reactor::Timer> ending_;
};

Error bad_option(const PostgresOptions& options, std::string_view what) {
  return Error::make(sqlstate::invalid_parameter_value,
                     "database " + options.name + ": " + std::string(what));
}

Result<void> check_options(const PostgresOptions& options) {
  constexpr Duration none{};
  if (options.max_size == 0) return bad_option(options, "max_size must be at least 1");
  if (options.min_size > options.max_size) return bad_option(options, "min_size is over max_size");
  if (options.timeout <= none || options.connect_timeout <= none ||
      options.cleanup_timeout <= none || options.turn_timeout <= none) {
    return bad_option(
        options, "timeout, connect_timeout, cleanup_timeout and turn_timeout must be positive");
  }
  if (options.max_lifetime < none || options.max_idle < none || options.reconnect_timeout < none ||
      options.check_interval < none || options.idle_in_transaction < none ||
      options.transaction_timeout < none || options.idle_while_waited < none ||
      options.idle_while_pinned < none) {
    return bad_option(options, "a duration is negative");
  }
  if (options.message_bytes_max < 1024)
    return bad_option(options, "message_bytes_max is too small");
  return {};
}

// What is read of the options.
struct Read {
  ConnectionKeywords keywords;
  InitSql init;
};

Result<Read> read_options(const PostgresOptions& options) {
  if (options.name.empty()) return bad_option(options, "a PostgreSQL database needs a name");
  if (const Result<void> checked = check_options(options); !checked) return checked.error();
  Result<InitSql> init = read_init_sql(options.init_sql);
  if (!init) return bad_option(options, "init SQL: " + init.error().message);
  OpenerOptions opener{.conninfo = options.conninfo,
                       .password = options.password,
                       .application_name = options.application_name,
                       .forced = {{"client_encoding", "UTF8"}, {"gssencmode", "disable"}},
                       .connect_timeout = options.connect_timeout};
  // The opener tells libpq not to look into it, whatever it looks like.
  if (!options.dbname.empty()) opener.forced.emplace_back("dbname", options.dbname);
  Result<ConnectionKeywords> keywords = connection_keywords(opener);
  if (!keywords) return bad_option(options, keywords.error().message);
  return Read{*std::move(keywords), *std::move(init)};
}

}  // namespace

void forget_postgres_environment() {
  std::vector<std::string> names;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view entry(*variable);
    if (entry.starts_with("PG")) names.emplace_back(entry.substr(0, entry.find('=')));
  }
  for (const std::string& name : names) ::unsetenv(name.c_str());
}

Result<void> check_postgres(const PostgresOptions& options) {
  const Result<Read> read = read_options(options);
  if (!read) return read.error();
  return {};
}

Result<std::unique_ptr<Database>> open_postgres(PostgresOptions options, Reactor& reactor,
                                                Log& log) {
  Result<Read> read = read_options(options);
  if (!read) return std::move(read).error();
  if (options.force_rollback) {
    return make_sandbox_database(std::move(options), read->keywords, std::move(read->init), reactor,
                                 log);
  }
  return std::unique_ptr<Database>(std::make_unique<PooledDatabase>(
      std::move(options), std::move(read->keywords), std::move(read->init), reactor, log));
}

}  // namespace based
