// Small parts of a Relay's state (relay.h).
#pragma once

#include "backends/postgres/listen_journal.h"
#include "backends/postgres/notification_queue.h"

namespace based::postgres {

// What a session has that listens through the shared listener.
struct Listening {
  ListenJournal journal;
  NotificationQueue queue;
  bool on_link = false;      // the link listens too, for nothing
  bool unlistening = false;  // it is being told to stop
};

}  // namespace based::postgres
