// The rules between settings: combinations that cannot work. Any thread, pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "config/problem.h"
#include "config/settings.h"

namespace based {

// A user's table for Written: no database has such a name.
inline std::string table_of_user(std::string_view name) { return "[users]" + std::string(name); }

// Which settings were written, and where: "based.toml:3:7", "--pool-size".
class Written {
 public:
  // `table` is "" for [server], table_of_user(), or the database's name.
  void note(std::string_view table, std::string_view key, std::string place) {
    places_[{std::string(table), std::string(key)}] = std::move(place);
  }
  // nullptr: it has its default.
  const std::string* find(std::string_view table, std::string_view key) const {
    const auto found = places_.find({std::string(table), std::string(key)});
    return found == places_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::pair<std::string, std::string>, std::string> places_;
};

// What of it cannot be: every case, in the order of the configuration.
ConfigProblems check_rules(const Settings& settings, const Written& written);

}  // namespace based
