// Unit: the piece of work between two ready points, with the envelope that Based puts around it.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/profile.h"
#include "backends/reactor.h"
#include "backends/sink.h"
#include "backends/statement.h"
#include "protocol/value.h"

namespace based {

struct Step {
  StatementRef statement;
  ValueList parameters;        // exactly statement->parameter_count of them
  std::uint64_t max_rows = 0;  // 0: all
  // Compile it and run nothing: its columns (SQLite's have their declared types, "NULL" for those
  // without one), its tag, and 0 rows affected where it would count them. No parameters are given.
  bool describe = false;
  bool own = false;  // Based's own question: no log of a sandbox shows it
};

// What Based itself runs around a unit's steps: transaction control of the session's stack, guards
// of a sandbox. Pure data, made by backends/envelope.h from (session, mode, statement) and tested
// without a socket.
struct Envelope {
  std::vector<StatementRef> prologue;  // before the first step
  std::vector<StatementRef> epilogue;  // after the last, if all succeeded
  // instead, after an error in step or epilogue that left a transaction
  std::vector<StatementRef> recovery;
  // After an error in the prologue, behind its first statement: what that one opened is undone, and
  // the transaction is as it was before the unit. Where the first one failed nothing was opened.
  std::vector<StatementRef> retreat;

  // What is to be run after an error there; `index` counts in the phase.
  const std::vector<StatementRef>& after_error(UnitPhase phase, std::size_t index) const;
};

struct Unit {
  Envelope envelope;
  std::vector<Step> steps;
  ProfileRef profile;  // null: the database's default
  // Keep the link, lane or turn for the session afterwards. It is given up all the same where the
  // transaction is lost, and kept (as UnitOutcome says) where a transaction is open although it
  // should not be.
  bool keep_lease = false;
  // The session is pinned: its connection keeps state that cannot be moved, and is reset when the
  // session ends.
  bool pin = false;
  // One statement outside of a transaction, and nobody asks for one around it: what needs a
  // transaction is refused, or warned of, also where a guard of ours is around it.
  bool alone = false;
  bool read_only = false;        // only reads, by its text: may go to a read handle
  TimePoint queue_deadline;      // to have begun by; else 55P03 or 53300 with executed == no
  Duration statement_timeout{};  // per step, from its start; zero: none. Then 57014
  Sink* sink = nullptr;          // outlives the unit, or the BackendSession is destroyed first
};

}  // namespace based
