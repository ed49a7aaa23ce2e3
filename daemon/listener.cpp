#include "daemon/listener.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace based {
namespace {

// As many as the kernel lets wait (net.core.somaxconn caps it): a burst of clients is not refused.
constexpr int backlog = 4096;

Error cannot_listen(const std::string& where, int status) {
  return Error::make(sqlstate::cannot_connect,
                     "cannot listen on " + where + ": " + uv_strerror(status));
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

Result<std::vector<std::unique_ptr<Listener>>> Listener::open(const ListenPlace& place,
                                                              UvReactor& reactor,
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
    auto listener = open_tcp(a->ai_addr, reactor, on_accept);
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

Result<std::unique_ptr<Listener>> Listener::open_tcp(const sockaddr* address, UvReactor& reactor,
                                                     OnAccept on_accept) {
  std::unique_ptr<Listener> self(new Listener(std::move(on_accept)));
  self->cell_ = make_uv<UvClient>(
      self.get(), [&](UvClient* c) { return uv_tcp_init(reactor.loop(), &c->tcp); });
  uv_tcp_t* tcp = &self->cell_->handle.tcp;
  self->address_ = format_address(address);
  const unsigned flags = address->sa_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0;
  if (const int bound = uv_tcp_bind(tcp, address, flags); bound != 0) {
    return cannot_listen(self->address_, bound);
  }
  if (auto listening = self->listen(); !listening) return std::move(listening).error();
  sockaddr_storage actual{};
  int length = sizeof actual;
  uv_tcp_getsockname(tcp, reinterpret_cast<sockaddr*>(&actual), &length);
  self->address_ = format_address(reinterpret_cast<const sockaddr*>(&actual));
  self->port_ = port_of(actual);
  return self;
}

Result<std::unique_ptr<Listener>> Listener::open_unix(const ListenPlace& place, UvReactor& reactor,
                                                      OnAccept on_accept) {
  Result<UnixSocketPath> path = UnixSocketPath::claim(place.path);
  if (!path) return std::move(path).error();
  std::unique_ptr<Listener> self(new Listener(std::move(on_accept)));
  self->path_.emplace(std::move(*path));
  self->address_ = "unix:" + place.path;
  self->cell_ = make_uv<UvClient>(
      self.get(), [&](UvClient* c) { return uv_pipe_init(reactor.loop(), &c->pipe, 0); });
  // Nobody else may connect in the moment between bind and chmod.
  const mode_t before = umask(0777);
  const int bound = uv_pipe_bind(&self->cell_->handle.pipe, place.path.c_str());
  umask(before);
  if (bound != 0) return cannot_listen(self->address_, bound);
  if (chmod(place.path.c_str(), place.mode) != 0) return cannot_listen(self->address_, -errno);
  if (auto listening = self->listen(); !listening) return std::move(listening).error();
  return self;
}

Result<void> Listener::listen() {
  const int status =
      uv_listen(&cell_->handle.stream, backlog, [](uv_stream_t* server, int error) noexcept {
        auto* self = uv_owner<Listener, UvClient>(server);
        if (self == nullptr || error != 0) return;
        self->on_accept_(server, server->type == UV_NAMED_PIPE, self->address_);
      });
  if (status != 0) return cannot_listen(address_, status);
  return {};
}

}  // namespace based
