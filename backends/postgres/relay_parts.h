// Small parts of a Relay's state (relay.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "backends/postgres/listen_journal.h"
#include "backends/postgres/notification_queue.h"
#include "backends/sql/statement_table.h"
#include "backends/statement.h"

namespace based::postgres {

// Of a cancel that is meant for one statement only.
inline constexpr std::string_view statement_timeout_reason =
    "canceling statement due to statement timeout";

// What a session has that listens through the shared listener.
struct Listening {
  ListenJournal journal;
  NotificationQueue queue;
  bool on_link = false;      // the link listens too, for nothing
  bool unlistening = false;  // it is being told to stop
  bool subscribed = false;   // it hears of what others notify
  bool notified = false;     // its transaction has, as its texts say
  bool proved = false;       // its unit's end: everybody has heard of what was committed before
};

// A BEGIN that was answered here (relay_begin.cpp): what the server has heard of it.
// begun: in a Query's text, the rest of which is to be answered.
enum class BeginDue : std::uint8_t { no, due, sent, begun };

// Is its transaction there, and its link lent to others? struck: the server is to fail it.
enum class Parked : std::uint8_t { no, sound, struck };

// Where a Relay stands (relay.h).
enum class RelayState : std::uint8_t {
  idle,
  waiting,
  preparing,
  flowing,
  listening,
  settling,
  skipping,
  commanding,
  ended,
};

bool executes(const Statement& statement);  // an EXECUTE
// Has the server ended a connection between two things that it does? Behind a crash, or as fast as
// it can (57P02), it may have committed what it has not answered.
bool ends_orderly(std::string_view sqlstate);

}  // namespace based::postgres
