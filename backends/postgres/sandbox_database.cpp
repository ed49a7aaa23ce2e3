#include "backends/postgres/sandbox_database.h"

#include <algorithm>
#include <utility>

#include "backends/postgres/postgres_session.h"
#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_locks.h"
#include "backends/postgres/sandbox_root.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/sandbox_vacuum.h"
#include "backends/postgres/sandbox_watch.h"
#include "backends/sql/statement_table.h"

namespace based::postgres {
namespace {

// What SANDBOX acts on.
class RootSandbox final : public Sandbox {
 public:
  RootSandbox(SandboxRoot& root, const PostgresOptions& options, Reactor& reactor)
      : root_(root), options_(options), reactor_(reactor) {}

  void mark(const std::string& name, Done done) override {
    root_.mark(name, reactor_.now() + options_.turn_timeout, std::move(done));
  }
  void reset(const std::optional<std::string>& mark, Done done) override {
    mark ? root_.reset_to(*mark, std::move(done)) : root_.reset(std::move(done));
  }
  void drop(Done done) override {
    root_.drop([this, done = std::move(done)](const std::optional<Error>& error) {
      if (!error) log_.clear();
      done(error);
    });
  }
  SandboxStatus status() const override { return root_.status(); }
  std::vector<SandboxStatus> list() const override {
    return options_.siblings ? options_.siblings() : std::vector<SandboxStatus>{status()};
  }
  SandboxLog& log() override { return log_; }

 private:
  SandboxRoot& root_;
  const PostgresOptions& options_;
  Reactor& reactor_;
  SandboxLog log_;
};

// Behind the conninfo's own options, so that ours win.
ConnectionKeywords for_sandbox(ConnectionKeywords keywords) {
  const std::string added = sandbox_startup_options;
  for (auto& [keyword, value] : keywords) {
    if (keyword != "options") continue;
    value += " " + added;
    return keywords;
  }
  keywords.emplace_back("options", added);
  return keywords;
}

bool names_user(const ConnectionKeywords& keywords) {
  return std::ranges::any_of(keywords, [](const auto& keyword) {
    return keyword.first == "user" && !keyword.second.empty();
  });
}

// What the root's link has of them: the others never reach it.
Settings of_root(Settings settings) {
  std::erase_if(settings, [](const auto& entry) { return is_withheld(entry.first); });
  return settings;
}

class SandboxDatabase final : public Database {
 public:
  SandboxDatabase(PostgresOptions options, const ConnectionKeywords& keywords, InitSql init,
                  Reactor& reactor, Log& log)
      : options_(std::move(options)),
        statements_(Dialect::postgres),
        opener_(for_sandbox(keywords), options_.connect_timeout, reactor),
        plain_opener_(keywords, options_.connect_timeout, reactor),
        vacuum_(options_.name, link_limits(options_), plain_opener_, reactor, log),
        watch_(options_.name, link_limits(options_), plain_opener_, reactor, log,
               [this](const std::vector<std::int32_t>& processes) {
                 root_.note_blocker(names_of(processes));
               }),
        locks_(options_.name, link_limits(options_), plain_opener_, reactor, log,
               [this](std::uint64_t count, std::string names) {
                 root_.note_locked(count, std::move(names));
               }),
        waits_{.name = options_.name},
        context_{.leases = root_,
                 .pins = pins_,
                 .waits = waits_,
                 .types = types_,
                 .seen = seen_,
                 .reactor = reactor,
                 .log = log,
                 .rooted = true,
                 .joins = options_.turns == TurnMode::join,
                 .lease_timeout = options_.turn_timeout,
                 .settings_timeout = options_.cleanup_timeout,
                 .idle_in_transaction = options_.idle_in_transaction,
                 .transaction_timeout = options_.transaction_timeout,
                 .base_settings = init.settings,
                 .siblings = options_.siblings},
        relays_(relay_context(options_, root_, pins_, statements_, init.settings, reactor, log)),
        root_({.name = options_.name,
               .max_waiting = options_.max_waiting,
               .link = link_limits(options_),
               .session_texts = init.only_sets ? init.texts : std::vector<std::string>(),
               .init_texts = init.only_sets ? std::vector<std::string>() : init.texts,
               .base_settings = of_root(init.settings),
               .restores_sequences = options_.restores_sequences,
               .vacuum_every = options_.vacuum_every,
               .vacuum = [this](std::string_view oids) { vacuum_.run(oids); },
               .idle_while_waited = options_.idle_while_waited,
               .joins = options_.turns == TurnMode::join,
               .refuses = options_.turns == TurnMode::error,
               .acts_as_user = !names_user(keywords),
               .objects = &relays_.objects,
               .ask_blocker =
                   [this](std::int32_t process) {
                     process == 0 ? watch_.rest() : watch_.ask(process);
                   },
               .ask_locked = [this](std::int32_t process) { locks_.ask(process); }},
              opener_, types_, reactor, log),
        sandbox_(root_, options_, reactor) {
    if (options_.rewrite) statements_.rewrite_for_sandbox();
    context_.acts_as_user = relays_.acts_as_user = !names_user(keywords);
    relays_.sandbox = &sandbox_;
    relays_.channels = &channels_;
    context_.channels = &channels_;
    context_.objects = &relays_.objects;
    relays_.objects.unlock = [this](bool due) { root_.unlock(due); };
    context_.ran = &sandbox_.log();
  }

  const std::string& name() const override { return options_.name; }
  Dialect dialect() const override { return Dialect::postgres; }
  bool rooted() const override { return true; }
  bool force_rollback() const override { return true; }

  Result<ScriptRef> intern(std::string_view text, ParameterStyle style) override {
    return statements_.intern(text, style);
  }

  std::unique_ptr<BackendSession> open_session(SessionOptions options,
                                               SessionListener& listener) override {
    return std::make_unique<PostgresSession>(context_, std::move(options), listener);
  }

  std::unique_ptr<WireSession> open_wire_session(WireOptions options, WireClient& client) override {
    return std::make_unique<Relay>(relays_, std::move(options), client);
  }

  DatabaseStatus status() const override {
    DatabaseStatus status{.name = options_.name, .backend = "postgresql", .force_rollback = true};
    status.sandboxes.push_back(root_.status());
    return status;
  }
  bool is_idle() const override { return root_.is_closed(); }
  Sandbox* sandbox() override { return &sandbox_; }
  void shut_down(std::function<void(std::vector<std::string>)> done) override {
    root_.end([this, done = std::move(done)](std::vector<std::string> lines) {
      vacuum_.stop([this, done, lines = std::move(lines)] {
        watch_.stop([this, done, lines] { locks_.stop([done, lines] { done(lines); }); });
      });
    });
  }

 private:
  // Whose the server's processes are.
  std::string names_of(const std::vector<std::int32_t>& processes) const {
    std::string names;
    const std::vector<SandboxStatus> all = sandbox_.list();
    for (const std::int32_t process : processes) {
      const auto found = std::ranges::find(all, process, &SandboxStatus::process);
      names += names.empty() ? "" : ", ";
      if (found == all.end()) {
        names += "server process " + std::to_string(process) + ", which is no sandbox's";
      } else {
        names += named(*found);
      }
    }
    return names;
  }

  const PostgresOptions options_;
  sql::StatementTable statements_;
  TypeCatalogue types_;
  SeenTexts seen_;
  PqOpener opener_;
  PqOpener plain_opener_;
  SandboxVacuum vacuum_;
  SandboxWatch watch_;
  SandboxLocks locks_;
  WaitResource waits_;
  Pins pins_;  // none: what is on the link is the sandbox's
  SessionContext context_;
  SandboxChannels channels_;
  RelayContext relays_;
  SandboxRoot root_;
  RootSandbox sandbox_;
};

}  // namespace

std::unique_ptr<Database> make_sandbox_database(PostgresOptions options,
                                                const ConnectionKeywords& keywords, InitSql init,
                                                Reactor& reactor, Log& log) {
  return std::make_unique<SandboxDatabase>(std::move(options), keywords, std::move(init), reactor,
                                           log);
}

}  // namespace based::postgres
