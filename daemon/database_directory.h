// DatabaseDirectory: the databases by name: the configured ones, in the order of the configuration,
// and those that a catch-all has made because a client named them. Loop thread.
//
// A made one that nobody uses is forgotten after a time, or as soon as its place is wanted. What a
// sandbox holds is not to be lost before the end: it is never forgotten. Those that clients have
// named ("app#worker3") have their own rules: NamedSandboxes.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/database.h"
#include "backends/log.h"
#include "backends/reactor.h"
#include "daemon/database_entry.h"
#include "daemon/named_sandboxes.h"

namespace based {

class DatabaseDirectory {
 public:
  using Entry = DatabaseEntry;
  using Use = DatabaseUse;

  struct CatchAll {
    Entry::Make make;
    bool sandboxes = false;           // of what it makes: they may be named
    std::size_t databases_max = 100;  // made ones at once
    Duration unused_max{};            // then one is forgotten. Zero: only when its place is wanted
  };

  void add(Entry entry) { entries_.push_back(std::move(entry)); }
  void add(std::unique_ptr<Database> database, DatabaseTimeouts timeouts) {
    add({.database = std::move(database), .timeouts = timeouts});
  }
  // From now on names that no entry has are made. Once, before clients come; the reactor and the
  // log outlive the directory.
  void set_catch_all(CatchAll catch_all, Reactor& reactor, Log& log);

  // From now on sandboxes may be named. The same.
  void set_sandboxes(const SandboxLimits& limits, Reactor& reactor, Log& log);

  // The empty name finds the first configured one. What is made is valid while there is a Use of
  // it, or until the next call. 3D000 when there is none of that name; 53300 when all that the
  // catch-all may have made are in use; what NamedSandboxes::find says. `peer_pid`: the client's
  // process, whose sandbox it is where they go by process and the name is a database's.
  Result<const Entry*> find(std::string_view name,
                            std::optional<std::int32_t> peer_pid = std::nullopt);
  // Whose rights decide over this name: of a sandbox its database's.
  std::string_view owner_of(std::string_view name) const;
  // What SANDBOX LIST shows: the database's own, then those that clients have named.
  std::vector<SandboxStatus> sandboxes_of(std::string_view database) const;

  // The configured ones.
  const std::deque<Entry>& all() const { return entries_; }
  // These, then the made ones by name, then the named sandboxes.
  std::vector<const Entry*> present() const;
  // Of the databases of PostgreSQL, which share it (backends/postgres/login_watch.h).
  std::uint64_t* logins_changed() { return &logins_changed_; }
  // Nothing is made or forgotten any more: before they are shut down.
  void end();
  void clear();

 private:
  struct Made {
    Entry entry;
    TimePoint unused_since;  // max: it was used when last looked at
  };
  using MadeMap = std::map<std::string, Made, std::less<>>;

  const Entry* look_up(std::string_view name) const;
  Result<const Entry*> find_database(std::string_view name);
  Result<const Entry*> make(std::string_view name);
  void note_uses();
  bool make_room();
  MadeMap::iterator forget(MadeMap::iterator made, std::string_view why);
  void sweep();

  std::uint64_t logins_changed_ = 0;
  std::deque<Entry> entries_;
  CatchAll catch_all_;
  Reactor* reactor_ = nullptr;  // null: there is no catch-all
  Log* log_ = nullptr;
  MadeMap made_;
  std::unique_ptr<Reactor::Timer> sweep_timer_;
  std::optional<NamedSandboxes> sandboxes_;
};

}  // namespace based
