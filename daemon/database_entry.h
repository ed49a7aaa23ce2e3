// DatabaseEntry: one database of the directory with what the daemon knows beside it. Loop thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "backends/database.h"

namespace based {

// What a session's own timeouts are cut to. Zero: no limit.
struct DatabaseTimeouts {
  Duration statement{};
  Duration queue{};
  Duration idle_in_transaction{};
};

struct DatabaseEntry {
  using Make = std::function<Result<DatabaseEntry>(const std::string& name)>;

  std::unique_ptr<Database> database;
  DatabaseTimeouts timeouts;
  // Of PostgreSQL's clients where the backend does not speak their protocol itself: BEGIN inside
  // of a transaction begins another one.
  bool nested_transactions = false;
  // Makes a sandbox of it under this name: "app#worker3". Empty: it has no sandboxes.
  Make make_sandbox;
  mutable std::size_t uses = 0;  // see DatabaseUse
};

// Held by whoever has a session of the entry's database: it is not forgotten meanwhile.
class DatabaseUse {
 public:
  explicit DatabaseUse(const DatabaseEntry& entry) : entry_(entry) { ++entry_.uses; }
  ~DatabaseUse() { --entry_.uses; }
  DatabaseUse(const DatabaseUse&) = delete;
  DatabaseUse& operator=(const DatabaseUse&) = delete;

 private:
  const DatabaseEntry& entry_;
};

}  // namespace based
