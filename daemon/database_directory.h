// DatabaseDirectory: the configured databases by name, in the order of the configuration. Loop
// thread.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "backends/database.h"

namespace based {

class DatabaseDirectory {
 public:
  void add(std::unique_ptr<Database> database) { databases_.push_back(std::move(database)); }

  // nullptr when there is none. The empty name finds the first.
  Database* find(std::string_view name) const {
    if (name.empty()) return databases_.empty() ? nullptr : databases_.front().get();
    for (const auto& database : databases_) {
      if (database->name() == name) return database.get();
    }
    return nullptr;
  }

  const std::vector<std::unique_ptr<Database>>& all() const { return databases_; }
  void clear() { databases_.clear(); }

 private:
  std::vector<std::unique_ptr<Database>> databases_;
};

}  // namespace based
