#include "config/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <optional>

namespace based {
namespace {

constexpr std::string_view unix_prefix = "unix:";
constexpr std::string_view forms =
    "an address is host:port, :port, [::1]:port or unix:/path, and port 0 takes a free one";

Error bad(std::string message) {
  return Error::make(sqlstate::invalid_parameter_value, std::move(message));
}

Result<ListenAddress> parse_unix(std::string_view path) {
  // The kernel's sockaddr_un holds the path with a final NUL.
  constexpr std::size_t path_bytes_max = sizeof(sockaddr_un{}.sun_path) - 1;
  if (path.empty() || path.front() != '/')
    return bad("the path of a unix socket is absolute: unix:/run/based/based.sock");
  if (path.size() > path_bytes_max)
    return bad("the path of a unix socket has at most " + std::to_string(path_bytes_max) +
               " bytes, this one has " + std::to_string(path.size()));
  if (path.find('\0') != std::string_view::npos) return bad("the path holds a NUL");
  ListenAddress address;
  address.path = path;
  return address;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || read.ec != std::errc{} || read.ptr != text.data() + text.size()) return {};
  return port;
}

bool is_ipv6(const std::string& host) {
  in6_addr parsed{};
  return inet_pton(AF_INET6, host.c_str(), &parsed) == 1;
}

// Letters, digits, dots and hyphens: what a resolver takes. 255 is DNS's limit.
bool is_host_name(std::string_view host) {
  if (host.empty() || host.size() > 255) return false;
  for (const char c : host) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '-' && c != '_') return false;
  }
  return true;
}

// "127.0.0.999" is no name that resolves but a slip of the pen.
bool is_bad_ipv4(const std::string& host) {
  for (const char c : host) {
    if (c != '.' && !(c >= '0' && c <= '9')) return false;
  }
  in_addr parsed{};
  return inet_pton(AF_INET, host.c_str(), &parsed) != 1;
}

}  // namespace

Result<ListenAddress> parse_address(std::string_view text) {
  if (text.starts_with(unix_prefix)) return parse_unix(text.substr(unix_prefix.size()));
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad(std::string(forms));
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) {
    return bad("'" + std::string(text.substr(colon + 1)) + "' is not a port from 0 to 65535; " +
               std::string(forms));
  }
  ListenAddress address;
  address.port = *port;
  const std::string_view host = text.substr(0, colon);
  if (host.empty()) {
    address.host = "127.0.0.1";
  } else if (host.front() == '[') {
    if (host.back() != ']' || host.size() < 3) return bad(std::string(forms));
    address.host = host.substr(1, host.size() - 2);
    if (!is_ipv6(address.host)) return bad("'" + address.host + "' is not an IPv6 address");
  } else if (host.find(':') != std::string_view::npos) {
    return bad("an IPv6 address is written in brackets: [::1]:6432");
  } else if (host == "*") {
    return bad("every IPv4 interface is written 0.0.0.0:port, every interface [::]:port");
  } else {
    address.host = host;
    if (!is_host_name(host)) return bad("'" + address.host + "' is not a host");
    if (is_bad_ipv4(address.host)) return bad("'" + address.host + "' is not an IPv4 address");
  }
  return address;
}

std::string format_address(const ListenAddress& address) {
  if (!address.path.empty()) return std::string(unix_prefix) + address.path;
  const std::string port = std::to_string(address.port);
  const bool brackets = address.host.find(':') != std::string::npos;
  return (brackets ? "[" + address.host + "]" : address.host) + ":" + port;
}

bool is_local(const ListenAddress& address) {
  if (!address.path.empty() || address.host == "localhost") return true;
  in_addr ipv4{};
  if (inet_pton(AF_INET, address.host.c_str(), &ipv4) == 1)
    return (ntohl(ipv4.s_addr) >> 24) == IN_LOOPBACKNET;
  in6_addr ipv6{};
  if (inet_pton(AF_INET6, address.host.c_str(), &ipv6) == 1) return IN6_IS_ADDR_LOOPBACK(&ipv6);
  return false;
}

}  // namespace based
