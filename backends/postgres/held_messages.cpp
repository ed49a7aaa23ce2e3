#include "backends/postgres/held_messages.h"

#include <cstring>

#include "protocol/postgres/requests.h"

namespace based::postgres {
namespace {

constexpr std::size_t bytes_kept = 4096;

}  // namespace

bool is_too_late(const WireMessage& message) {
  return !message.first || message.type == request::copy_data ||
         message.type == request::copy_done || message.type == request::copy_fail;
}

void HeldMessages::add(const WireMessage& message) {
  const Head head{.bytes = static_cast<std::uint32_t>(message.body.size()),
                  .body_bytes = message.body_bytes,
                  .type = message.type,
                  .first = message.first,
                  .last = message.last};
  if (empty()) clear();
  bytes_.append(reinterpret_cast<const char*>(&head), sizeof head);
  bytes_.append(message.body);
}

void HeldMessages::peek(WireMessage& message) const {
  Head head;
  std::memcpy(&head, bytes_.data() + begin_, sizeof head);
  message = {.type = head.type,
             .body = std::string_view(bytes_).substr(begin_ + sizeof head, head.bytes),
             .body_bytes = head.body_bytes,
             .first = head.first,
             .last = head.last};
}

void HeldMessages::pop() {
  Head head;
  std::memcpy(&head, bytes_.data() + begin_, sizeof head);
  begin_ += sizeof head + head.bytes;
}

void HeldMessages::clear() {
  begin_ = 0;
  bytes_.clear();
  if (bytes_.capacity() > bytes_kept) bytes_.shrink_to_fit();
}

}  // namespace based::postgres
