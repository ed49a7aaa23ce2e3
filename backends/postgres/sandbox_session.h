// SandboxSession: a native session's settings, transaction modes and NOTIFYs in a sandbox, whose
// sessions share one link: what PostgreSQL would end, keep, show or tell for a session of its own.
// Pure.
//
// A unit is prepared when the session has its turn. Statements that must not reach the root, or
// that only Based can answer, have another in their place, with the client's tag.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/client_objects.h"
#include "backends/postgres/lease_source.h"
#include "backends/postgres/link_settings.h"
#include "backends/postgres/listen_journal.h"
#include "backends/postgres/session_objects.h"
#include "backends/postgres/transaction_modes.h"
#include "backends/statement.h"
#include "backends/unit.h"

namespace based::postgres {

// Does nothing, and is told as this.
StatementRef nothing(std::string told_as);
// Fails with it.
StatementRef raised(const Error& error);

class SandboxSession {
 public:
  // `reads`: the session was opened for reading.
  SandboxSession(bool reads, SandboxObjects* objects) : reads_(reads), objects_(objects) {}

  // Takes what the root never gets out of the session's settings.
  void adopt(Settings& settings);

  // It says more than is kept for one transaction: it is not to run.
  std::optional<Error> refusal(const Unit& unit, const LeaseSource& root) const;
  // A unit waits for its turn.
  void submitted() { asked_.clear(); }
  // `settings` are the session's, `root` where the unit runs. Called once for each unit, in order.
  void prepare(Unit& unit, const Settings& settings, const LeaseSource& root);
  // Outside of a sandbox, on a link that others have, too: settings_made() only.
  void note_settings(const Unit& unit);
  // A step of that unit is over, and returned or changed so many rows.
  void step_over(std::size_t step, std::uint64_t rows);
  // That unit is over.
  // `reached`: of a failed one's steps, those that the server has looked at.
  void done(const Envelope& envelope, bool failed, std::size_t reached);
  // Its client has gone: nothing of it runs any more.
  // `unanswered`: what the last unit's steps made is not known, but that they may have.
  void leave(bool unanswered);
  // What others are to hear since a transaction has committed; of each only once.
  std::vector<ListenJournal::Action> take_notifications() { return notifications_.take(); }
  // Where another session's is a part of its transaction: what that begins with, and has left.
  OuterTransaction as_outer() const {
    return {.modes = modes_, .queried = queried_, .full = keeps_no_more()};
  }
  void take_over(LeftToOuter left);
  // What its own, a part of another's, has left; of each only once. nullopt: it is none.
  std::optional<LeftToOuter> leave_to_outer();
  // What the client has said where a step of that unit may be another; null: it is not prepared.
  const Statement* asked(std::size_t step) const {
    return step < asked_.size() ? asked_[step].get() : nullptr;
  }
  // What a step of that unit fails with as it runs; null: nothing.
  const Error* refused(std::size_t step) const {
    return refused_ && step == refused_at_ ? &*refused_ : nullptr;
  }
  // What a step of that unit sets otherwise than by SET.
  std::span<const StatementRef> settings_made(std::size_t step) const;

  // The client's own limits, for its transactions and a step of that unit; nullopt: none.
  std::optional<std::chrono::milliseconds> idle_in_transaction() const;
  std::optional<std::chrono::milliseconds> transaction() const { return transaction_; }
  std::optional<std::chrono::milliseconds> statement(std::size_t step) const;

 private:
  struct Shown;  // the settings, as the unit's statements change them
  struct Savepoint {
    std::string name;
    Settings local;
    TransactionModes modes;
  };
  bool keeps_no_more() const { return notifications_.full() || (outer_ && outer_->full); }
  void begin(const Statement& begin, const Settings& settings, const LeaseSource& root);
  void begin_with(Unit& unit, const Settings& settings, const LeaseSource& root);
  void set_read_only_apart(Unit& unit);
  struct Saying {
    std::vector<SaidNotify> calls;     // said if it had a row
    std::optional<SaidNotify> notify;  // said by itself
  };
  void note_calls(const Step& step, std::vector<StatementRef>& made, Saying& saying);
  StatementRef in_place_of(const StatementRef& statement, bool alone, bool inside, Shown& shown);
  std::optional<Error> change_modes_here(std::span<const BeginOptions> asked);
  StatementRef mode_in_place_of(const StatementRef& statement, bool alone, Shown& shown);
  StatementRef reset_in_place_of(const StatementRef& statement);
  StatementRef discard_in_place_of(const StatementRef& statement, bool alone);
  StatementRef limit_in_place_of(const StatementRef& statement, bool alone, Shown& shown);
  void follow(const Statement& step);
  void add_ending(Envelope& envelope, bool writes) const;
  void restore_constraints(Envelope& envelope) const;

  const bool reads_;
  SessionObjects objects_;
  std::vector<StatementRef> asked_;  // by the unit's steps
  std::optional<Error> refused_;     // the first that is
  std::size_t refused_at_ = 0;
  Settings withheld_;
  std::vector<std::optional<std::chrono::milliseconds>> limits_;  // by the unit's steps
  std::optional<std::chrono::milliseconds> transaction_;
  std::vector<std::vector<StatementRef>> made_;  // by the unit's steps
  std::vector<Saying> sayings_;                  // by the unit's steps
  std::vector<SaidNotify> said_;                 // by the steps of the unit that are over
  ListenJournal notifications_;
  LeftToOuter left_;
  // Of the transaction:
  std::optional<OuterTransaction> outer_;  // that it is a part of
  TransactionModes modes_;
  bool queried_ = false;
  std::optional<std::size_t> first_query_;  // the unit's step that made it so
  std::size_t only_apart_ = 0;    // savepoints for read only alone, whose release ends that
  Settings local_, local_after_;  // withheld until it ends; and when the unit has succeeded
  std::vector<Savepoint> savepoints_;
  bool constraints_ = false;  // were set where only the outermost transaction's end undoes it
  bool tainted_ = false;      // something was set that cannot be undone by name
};

}  // namespace based::postgres
