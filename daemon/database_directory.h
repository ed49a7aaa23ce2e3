// DatabaseDirectory: the configured databases by name, in the order of the configuration. Loop
// thread.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/database.h"

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
  };

  void add(std::unique_ptr<Database> database, DatabaseTimeouts timeouts,
           bool nested_transactions = false) {
    entries_.push_back({std::move(database), timeouts, nested_transactions});
  }

  // nullptr when there is none. The empty name finds the first.
  const Entry* find(std::string_view name) const {
    if (name.empty()) return entries_.empty() ? nullptr : &entries_.front();
    for (const Entry& entry : entries_) {
      if (entry.database->name() == name) return &entry;
    }
    return nullptr;
  }

  const std::vector<Entry>& all() const { return entries_; }
  void clear() { entries_.clear(); }

 private:
  std::vector<Entry> entries_;
};

}  // namespace based
