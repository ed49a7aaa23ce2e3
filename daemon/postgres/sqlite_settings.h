// The settings of one PostgreSQL client's session on a SQLite database. Loop thread.
//
// Those that drivers set are known and kept, so that SHOW and ParameterStatus say what was set. Two
// have an effect: statement_timeout and default_transaction_read_only. What would change the
// meaning of the answers (client_encoding, DateStyle, standard_conforming_strings) takes only the
// value it has.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/profile.h"
#include "backends/reactor.h"
#include "protocol/result.h"

namespace based {

class SqliteSettings {
 public:
  using Pairs = std::vector<std::pair<std::string, std::string>>;

  // The user, and what the start-up packet set: it becomes the default, to which RESET goes back.
  explicit SqliteSettings(std::string user) : user_(std::move(user)) {}

  // Names in lower case. 42704 for an unknown one, 22023 for a value it cannot have, 55P02 for one
  // that cannot be changed.
  Result<void> set_default(std::string_view name, std::string_view value);
  Result<void> set(std::string_view name, std::string_view value);
  Result<void> reset(std::string_view name);
  void reset_all() { changed_.reset(); }

  std::optional<std::string> value(std::string_view name) const;
  // Every setting with its value.
  Pairs all() const;

  // What a rollback brings back.
  const ProfileRef& snapshot() const { return changed_; }
  void restore(ProfileRef snapshot) { changed_ = std::move(snapshot); }

  // What a client is told of, and, from the second call on, only what is not as it was told last.
  Pairs to_report();

  Duration statement_timeout() const;  // zero: none
  bool read_only() const;              // of transactions that do not say so themselves

 private:
  Result<std::string> check(std::string_view name, std::string_view value) const;

  std::string user_;
  Profile defaults_;
  ProfileRef changed_;
  std::optional<Pairs> reported_;
};

// "5s", "100", "'2 min'": in milliseconds where no unit is given. nullopt: none such.
std::optional<Duration> parse_setting_duration(std::string_view text);

}  // namespace based
