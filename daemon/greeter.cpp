#include "daemon/greeter.h"

#include <array>
#include <cstdint>

namespace based {
namespace {

constexpr char native_first_byte = 0x1F;
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

// PostgreSQL's request codes: its protocol's chapter "Message Formats", SSLRequest and
// GSSENCRequest.
constexpr std::uint32_t ssl_request = 80877103;
constexpr std::uint32_t gssenc_request = 80877104;
constexpr std::size_t request_bytes = 8;

std::uint32_t big_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// ErrorResponse: 'E', its length, then fields of one letter and a C string.
std::string postgres_refusal() {
  std::string body;
  const auto field = [&body](char letter, std::string_view text) {
    body += letter;
    body += text;
    body += '\0';
  };
  field('S', "FATAL");
  field('V', "FATAL");
  field('C', "0A000");
  field('M', "this port does not speak PostgreSQL's protocol");
  field('H', "Connect with a client of Based's native protocol.");
  body += '\0';
  const auto length = static_cast<std::uint32_t>(body.size() + 4);
  std::string message = "E";
  for (int shift = 24; shift >= 0; shift -= 8) message += static_cast<char>(length >> shift & 0xFF);
  return message + body;
}

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
  const char first = first_bytes_.empty() ? bytes.front() : first_bytes_.front();
  if (first == native_first_byte) {
    silence_.reset();
    front_end_ = options_.native(transport_);
    return front_end_->on_bytes(bytes);
  }
  if (first == tls_first_byte) return refuse(tls_alert, "TLS on a port without it");
  if (begins_like_http(first)) return refuse(http_refusal, "HTTP on a native port");
  if (first != '\0') return refuse("", "an unknown protocol");
  first_bytes_ += bytes.substr(0, request_bytes - first_bytes_.size());
  refuse_postgres();
}

// A PostgreSQL client asks for encryption first, and shows an error only in answer to its startup
// packet.
void Greeter::refuse_postgres() {
  if (first_bytes_.size() < request_bytes) return;
  const std::uint32_t code = big_endian(first_bytes_, 4);
  if (code == ssl_request || code == gssenc_request) {
    transport_.send("N");
    first_bytes_.clear();
    return;
  }
  refuse(postgres_refusal(), "PostgreSQL's protocol on a native port");
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
