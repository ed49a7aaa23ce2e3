// NotificationQueue: what a session is notified of while it is in a transaction. Pure.
//
// Bounded in bytes: what comes when it is full pushes the oldest out, and the client is told how
// many by a warning in front of the rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace based::postgres {

class NotificationQueue {
 public:
  explicit NotificationQueue(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  // A whole NotificationResponse. Returns how many were dropped for it.
  std::size_t push(std::string_view message);
  // The link was lost: some may have been missed.
  void note_missed() { missed_ = true; }
  bool empty() const { return messages_.empty() && dropped_ == 0 && !missed_; }
  // Everything that waits, as the server's messages, warnings first; it is empty then.
  std::string take();
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_max_;
  std::size_t bytes_ = 0;  // with what each takes beside its text
  std::deque<std::string> messages_;
  std::uint64_t dropped_ = 0;  // since the last take()
  bool missed_ = false;
};

}  // namespace based::postgres
