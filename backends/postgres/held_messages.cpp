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

HeldMessages::Head HeldMessages::head_at(std::size_t at) const {
  Head head;
  std::memcpy(&head, bytes_.data() + at, sizeof head);
  return head;
}

WireMessage HeldMessages::message_at(std::size_t at) const {
  const Head head = head_at(at);
  return {.type = head.type,
          .body = std::string_view(bytes_).substr(at + sizeof head, head.bytes),
          .body_bytes = head.body_bytes,
          .first = head.first,
          .last = head.last};
}

void HeldMessages::peek(WireMessage& message) const { message = message_at(begin_); }

bool HeldMessages::peek_next(WireMessage& message) const {
  if (empty()) return false;
  const std::size_t next = begin_ + sizeof(Head) + head_at(begin_).bytes;
  if (next == bytes_.size()) return false;
  message = message_at(next);
  return true;
}

void HeldMessages::pop() { begin_ += sizeof(Head) + head_at(begin_).bytes; }

void HeldMessages::clear() {
  begin_ = 0;
  bytes_.clear();
  if (bytes_.capacity() > bytes_kept) bytes_.shrink_to_fit();
}

}  // namespace based::postgres
