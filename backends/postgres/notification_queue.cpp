#include "backends/postgres/notification_queue.h"

#include <utility>

#include "protocol/postgres/backend_writer.h"
#include "protocol/result.h"

namespace based::postgres {
namespace {

void append_warning(std::string& out, std::string text) {
  BackendWriter(out).notice("WARNING", Error::make(Sqlstate("01000"), std::move(text)));
}

}  // namespace

std::size_t NotificationQueue::push(std::string_view message) {
  const std::size_t cost = message.size() + sizeof(std::string);
  std::size_t dropped = 0;
  while (!messages_.empty() && bytes_ + cost > bytes_max_) {
    bytes_ -= messages_.front().size() + sizeof(std::string);
    messages_.pop_front();
    ++dropped;
  }
  dropped_ += dropped;
  messages_.emplace_back(message);
  bytes_ += cost;
  return dropped;
}

std::string NotificationQueue::take() {
  std::string out;
  if (missed_) {
    append_warning(
        out, "the connection that listens was lost for a while: notifications may be missing");
  }
  if (dropped_ > 0) {
    append_warning(out, std::to_string(dropped_) +
                            " notifications were dropped: too many came during a transaction");
  }
  for (const std::string& message : messages_) out += message;
  messages_.clear();
  bytes_ = 0;
  dropped_ = 0;
  missed_ = false;
  return out;
}

}  // namespace based::postgres
