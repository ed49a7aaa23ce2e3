#include "daemon/greeter.h"

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
      silence_(reactor.make_timer([this] { transport_.close("it said nothing"); })) {
  silence_->arm(reactor.now() + options.first_byte_max);
}

void Greeter::on_bytes(std::string_view bytes) {
  if (front_end_ != nullptr) return front_end_->on_bytes(bytes);
  if (refused_ || bytes.empty()) return;
  const char first = bytes.front();
  if (first == native_first_byte || first == postgres_first_byte) {
    silence_.reset();
    const auto& make = first == native_first_byte ? options_.native : options_.postgres;
    front_end_ = make(transport_);
    return front_end_->on_bytes(bytes);
  }
  if (first == tls_first_byte) return refuse(tls_alert, "TLS on a port without it");
  if (begins_like_http(first)) return refuse(http_refusal, "HTTP on a native port");
  refuse("", "an unknown protocol");
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
