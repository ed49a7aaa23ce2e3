#include "daemon/greeter.h"

#include <utility>

namespace based {
namespace {

constexpr char native_first_byte = 0x1F;
constexpr char postgres_first_byte = 0;  // of a length that is below 2^24
constexpr char tls_first_byte = 0x16;
// RFC 8446 §6: a fatal alert record, protocol_version.
constexpr std::string_view tls_alert("\x15\x03\x01\x00\x02\x02\x46", 7);

constexpr std::string_view http_refusal =
    "HTTP/1.1 400 Bad Request\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 69\r\n"
    "Connection: close\r\n"
    "\r\n"
    "This port speaks Based's native protocol. HTTP is not answered here.\n";
static_assert(http_refusal.substr(http_refusal.find("\r\n\r\n") + 4).size() == 69);

bool begins_like_http(char first) { return first >= 'A' && first <= 'Z'; }

}  // namespace

Greeter::Greeter(Transport& transport, const GreeterOptions& options, Reactor& reactor)
    : transport_(transport),
      options_(options),
      silence_(reactor.make_timer([this] { give_up(); })) {
  silence_->arm(reactor.now() + options.first_byte_max);
}

void Greeter::on_bytes(std::string_view bytes) {
  if (front_end_ != nullptr) return front_end_->on_bytes(bytes);
  if (refused_ || bytes.empty()) return;
  const char first = bytes.front();
  if (first == native_first_byte || first == postgres_first_byte) {
    const auto uid =
        options_.peer_names != nullptr ? transport_.peer_uid() : std::optional<std::uint32_t>();
    return uid ? find_peer_user(*uid, bytes) : hand_over(bytes);
  }
  if (first == tls_first_byte) return refuse(tls_alert, "TLS on a port without it");
  if (begins_like_http(first)) return refuse(http_refusal, "HTTP on a native port");
  refuse("", "an unknown protocol");
}

void Greeter::give_up() {
  refused_ = true;
  transport_.close(held_.empty() ? "it said nothing" : "its user was not found in time");
}

void Greeter::find_peer_user(std::uint32_t uid, std::string_view bytes) {
  held_ = bytes;
  transport_.set_reading(false);
  options_.peer_names->find(uid, [anchor = anchor_](const std::string& name) {
    Greeter* self = *anchor;
    if (self == nullptr || self->refused_) return;
    self->transport_.set_peer_user(name);
    self->transport_.set_reading(true);
    self->hand_over(std::exchange(self->held_, {}));
  });
}

void Greeter::hand_over(std::string_view bytes) {
  silence_.reset();
  const auto& make = bytes.front() == native_first_byte ? options_.native : options_.postgres;
  front_end_ = make(transport_);
  front_end_->on_bytes(bytes);
}

void Greeter::refuse(std::string_view answer, std::string_view reason) {
  refused_ = true;
  silence_.reset();
  transport_.send(answer);
  transport_.close(reason);
}

void Greeter::on_drained() {
  if (front_end_ != nullptr) front_end_->on_drained();
}

void Greeter::on_closed(std::string_view reason) {
  if (front_end_ != nullptr) front_end_->on_closed(reason);
}

}  // namespace based
