#include "daemon/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <uv.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace based {
namespace {

// As many as the kernel lets wait (net.core.somaxconn caps it): a burst of clients is not refused.
constexpr int backlog = 4096;
// A crowd that comes at once does not keep the loop from those who are there.
constexpr int accepts_per_turn = 64;
// Where the kernel has no room for another client, of any kind.
constexpr std::chrono::milliseconds rest_time{100};

// By errno.
Error cannot_listen(const std::string& where) {
  return Error::make(sqlstate::cannot_connect, "cannot listen on " + where + ": " +
                                                   uv_strerror(uv_translate_sys_error(errno)));
}

Descriptor make_socket(int family) {
  return Descriptor(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

bool set_option(const Descriptor& socket, int level, int option) {
  const int on = 1;
  return setsockopt(socket.get(), level, option, &on, sizeof on) == 0;
}

std::uint16_t port_of(const sockaddr_storage& address) {
  // The field is at the same place in both families.
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

}  // namespace

std::string format_address(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address->sa_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(address);
    inet_ntop(AF_INET, &in->sin_addr, text.data(), text.size());
    return std::string(text.data()) + ':' + std::to_string(ntohs(in->sin_port));
  }
  if (address->sa_family == AF_INET6) {
    const auto* in = reinterpret_cast<const sockaddr_in6*>(address);
    inet_ntop(AF_INET6, &in->sin6_addr, text.data(), text.size());
    return '[' + std::string(text.data()) + "]:" + std::to_string(ntohs(in->sin6_port));
  }
  return "unknown";
}

Listener::Listener(Reactor& reactor, OnAccept on_accept)
    : reactor_(reactor), on_accept_(std::move(on_accept)) {
  take_reserve();
}

Result<std::vector<std::unique_ptr<Listener>>> Listener::open(const ListenPlace& place,
                                                              Reactor& reactor,
                                                              OnAccept on_accept) {
  std::vector<std::unique_ptr<Listener>> listeners;
  if (!place.path.empty()) {
    auto listener = open_unix(place, reactor, std::move(on_accept));
    if (!listener) return std::move(listener).error();
    listeners.push_back(std::move(*listener));
    return listeners;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(place.port);
  const int looked_up = getaddrinfo(place.host.c_str(), port.c_str(), &hints, &found);
  if (looked_up != 0) {
    return Error::make(sqlstate::cannot_connect,
                       "cannot listen on " + place.host + ": " + gai_strerror(looked_up));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  std::optional<Error> first_error;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    auto listener = open_tcp(a->ai_addr, a->ai_addrlen, reactor, on_accept);
    if (listener) {
      listeners.push_back(std::move(*listener));
    } else if (!first_error) {
      first_error = std::move(listener).error();
    }
  }
  // A name may have an address that this machine lacks (::1 without IPv6): one that works is
  // enough.
  if (listeners.empty()) return std::move(*first_error);
  return listeners;
}

Result<std::unique_ptr<Listener>> Listener::open_tcp(const sockaddr* address, socklen_t length,
                                                     Reactor& reactor, OnAccept on_accept) {
  std::unique_ptr<Listener> self(new Listener(reactor, std::move(on_accept)));
  self->address_ = format_address(address);
  self->socket_ = make_socket(address->sa_family);
  const bool made =
      self->socket_ && set_option(self->socket_, SOL_SOCKET, SO_REUSEADDR) &&
      (address->sa_family != AF_INET6 || set_option(self->socket_, IPPROTO_IPV6, IPV6_V6ONLY));
  if (!made || bind(self->socket_.get(), address, length) != 0) {
    return cannot_listen(self->address_);
  }
  if (auto listening = self->listen(); !listening) return std::move(listening).error();
  sockaddr_storage actual{};
  socklen_t actual_length = sizeof actual;
  getsockname(self->socket_.get(), reinterpret_cast<sockaddr*>(&actual), &actual_length);
  self->address_ = format_address(reinterpret_cast<const sockaddr*>(&actual));
  self->port_ = port_of(actual);
  return self;
}

Result<std::unique_ptr<Listener>> Listener::open_unix(const ListenPlace& place, Reactor& reactor,
                                                      OnAccept on_accept) {
  Result<UnixSocketPath> path =
      UnixSocketPath::claim(place.path);  // which has looked at its length
  if (!path) return std::move(path).error();
  std::unique_ptr<Listener> self(new Listener(reactor, std::move(on_accept)));
  self->path_.emplace(std::move(*path));
  self->address_ = "unix:" + place.path;
  self->socket_ = make_socket(AF_UNIX);
  if (!self->socket_) return cannot_listen(self->address_);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(place.path, address.sun_path);
  // Nobody else may connect in the moment between bind and chmod.
  const mode_t before = umask(0777);
  const int bound =
      bind(self->socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0 || chmod(place.path.c_str(), place.mode) != 0) {
    return cannot_listen(self->address_);
  }
  if (auto listening = self->listen(); !listening) return std::move(listening).error();
  return self;
}

Result<void> Listener::listen() {
  if (::listen(socket_.get(), backlog) != 0) return cannot_listen(address_);
  rest_ = reactor_.make_timer([this] {
    if (!reserve_) take_reserve();
    watch_->set_interest(true, false);
  });
  watch_ = reactor_.watch(socket_.get(), [this](Reactor::Ready) { accept_waiting(); });
  watch_->set_interest(true, false);
  return {};
}

void Listener::accept_waiting() {
  for (int i = 0; i < accepts_per_turn; ++i) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    auto* peer = reinterpret_cast<sockaddr*>(&address);
    Descriptor socket(accept4(socket_.get(), peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) {
      on_accept_({.socket = std::move(socket),
                  .is_unix = path_.has_value(),
                  .peer = path_ ? address_ : format_address(peer),
                  .place = address_});
      continue;
    }
    if (errno == EAGAIN) return;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if ((errno == EMFILE || errno == ENFILE) && turn_away()) continue;
    watch_->set_interest(false, false);
    rest_->arm(reactor_.now() + rest_time);
    return;
  }
}

// The client sees its connection closed, in place of one that nobody answers. False: it waits.
bool Listener::turn_away() {
  if (!reserve_) return false;
  reserve_ = Descriptor();
  const bool came =
      static_cast<bool>(Descriptor(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  take_reserve();
  return came;
}

// At once where a descriptor is free, before a client gets it.
void Listener::take_reserve() { reserve_ = Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace based
