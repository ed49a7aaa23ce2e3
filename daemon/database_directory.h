// DatabaseDirectory: the databases by name: the configured ones, in the order of the configuration,
// and those that a catch-all has made because a client named them. Loop thread.
//
// A made one that nobody uses is forgotten after a time, or as soon as its place is wanted. What a
// sandbox holds is not to be lost before the end: it is never forgotten.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/database.h"
#include "backends/log.h"
#include "backends/reactor.h"

namespace based {

// What a session's own timeouts are cut to. Zero: no limit.
struct DatabaseTimeouts {
  Duration statement{};
  Duration queue{};
  Duration idle_in_transaction{};
};

class DatabaseDirectory {
 public:
  struct Entry {
    std::unique_ptr<Database> database;
    DatabaseTimeouts timeouts;
    // Of PostgreSQL's clients where the backend does not speak their protocol itself: BEGIN inside
    // of a transaction begins another one.
    bool nested_transactions = false;
    mutable std::size_t uses = 0;  // see Use
  };

  // Held by whoever has a session of the entry's database: it is not forgotten meanwhile.
  class Use {
   public:
    explicit Use(const Entry& entry) : entry_(entry) { ++entry_.uses; }
    ~Use() { --entry_.uses; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    const Entry& entry_;
  };

  struct CatchAll {
    std::function<Result<Entry>(const std::string& name)> make;
    std::size_t databases_max = 100;  // made ones at once
    Duration unused_max{};            // then one is forgotten. Zero: only when its place is wanted
  };

  void add(std::unique_ptr<Database> database, DatabaseTimeouts timeouts,
           bool nested_transactions = false) {
    entries_.push_back({std::move(database), timeouts, nested_transactions});
  }
  // From now on names that no entry has are made. Once, before clients come; the reactor and the
  // log outlive the directory.
  void set_catch_all(CatchAll catch_all, Reactor& reactor, Log& log);

  // The empty name finds the first configured one. What the catch-all makes is valid while there is
  // a Use of it, or until the next call. 3D000 when there is none of that name; 53300 when all that
  // the catch-all may have made are in use.
  Result<const Entry*> find(std::string_view name);

  // The configured ones.
  const std::deque<Entry>& all() const { return entries_; }
  // These, then the made ones by name.
  std::vector<const Entry*> present() const;
  // Nothing is made or forgotten any more: before they are shut down.
  void end();
  void clear();

 private:
  struct Made {
    Entry entry;
    TimePoint unused_since;  // max: it was used when last looked at
  };
  using MadeMap = std::map<std::string, Made, std::less<>>;

  Result<const Entry*> make(std::string_view name);
  void note_uses();
  bool make_room();
  MadeMap::iterator forget(MadeMap::iterator made, std::string_view why);
  void sweep();

  std::deque<Entry> entries_;
  CatchAll catch_all_;
  Reactor* reactor_ = nullptr;  // null: there is no catch-all
  Log* log_ = nullptr;
  MadeMap made_;
  std::unique_ptr<Reactor::Timer> sweep_timer_;
};

}  // namespace based
