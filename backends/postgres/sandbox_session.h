// SandboxSession: a native session's settings and transaction modes in a sandbox, whose sessions
// share one link: what PostgreSQL would end, keep or show for a session of its own. Pure.
//
// A unit is prepared when the session has its turn. Statements that must not reach the root, or
// that only Based can answer, have another in their place, with the client's tag.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "backends/postgres/link_settings.h"
#include "backends/statement.h"
#include "backends/unit.h"

namespace based::postgres {

class SandboxSession {
 public:
  // `reads`: the session was opened for reading.
  explicit SandboxSession(bool reads) : reads_(reads) {}

  // Takes what the root never gets out of the session's settings.
  void adopt(Settings& settings);

  // `settings` are the session's, `isolation` the root's. Called once for each unit, in order.
  void prepare(Unit& unit, const Settings& settings, std::string_view isolation);
  // What a step of that unit sets otherwise than by SET.
  std::span<const StatementRef> settings_made(std::size_t step) const;

  // The client's own limit for its transactions; nullopt: none.
  std::optional<std::chrono::milliseconds> idle_in_transaction() const;

 private:
  struct Shown;  // the settings, as the unit's statements change them
  void begin(const Statement& begin);
  void note_calls(const Step& step, std::vector<StatementRef>& made);
  StatementRef in_place_of(const StatementRef& statement, bool alone, bool inside, Shown& shown);
  StatementRef mode_in_place_of(const StatementRef& statement, bool alone, Shown& shown);
  void add_ending(Envelope& envelope, bool writes) const;

  const bool reads_;
  Settings withheld_;
  std::vector<std::vector<StatementRef>> made_;  // by the unit's steps
  // Of the transaction:
  BeginOptions::Isolation isolation_ = BeginOptions::Isolation::unset;  // as asked for
  bool queried_ = false;
  bool tainted_ = false;  // something was set that cannot be undone by name
};

}  // namespace based::postgres
