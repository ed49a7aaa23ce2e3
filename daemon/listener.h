// Listener: one listening socket, TCP or unix. It accepts and hands over; it knows no protocol.
//
// Out of descriptors it keeps listening: it turns the client away with a descriptor that it keeps
// in reserve, and the next one is accepted as soon as a descriptor is free. Loop thread only.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/reactor.h"
#include "daemon/descriptor.h"
#include "daemon/unix_socket_path.h"
#include "protocol/result.h"

namespace based {

// Where to listen. `path` set: a unix socket; else TCP on a numeric host, or a name that resolves
// to some.
struct ListenPlace {
  std::string host;
  std::uint16_t port = 0;  // 0: a free one
  std::string path;
  unsigned mode = 0700;  // of the unix socket
};

// A client that has come.
struct Accepted {
  Descriptor socket;  // does not block
  bool is_unix;
  std::string peer;          // its address; of a unix socket the listener's
  const std::string& place;  // the listener's address
};

using OnAccept = std::function<void(Accepted client)>;

class Listener {
 public:
  // One listener for each address that the host has ("localhost" may have two). 08001 with the
  // reason otherwise.
  static Result<std::vector<std::unique_ptr<Listener>>> open(const ListenPlace& place,
                                                             Reactor& reactor, OnAccept on_accept);

  // As a client would write it: "127.0.0.1:6432", "[::1]:6432", "unix:/run/based/based.sock".
  const std::string& address() const { return address_; }
  // The TCP port that was really taken; 0 of a unix socket.
  std::uint16_t port() const { return port_; }

 private:
  Listener(Reactor& reactor, OnAccept on_accept);
  static Result<std::unique_ptr<Listener>> open_tcp(const sockaddr* address, socklen_t length,
                                                    Reactor& reactor, OnAccept on_accept);
  static Result<std::unique_ptr<Listener>> open_unix(const ListenPlace& place, Reactor& reactor,
                                                     OnAccept on_accept);
  Result<void> listen();
  void accept_waiting();
  bool turn_away();
  void take_reserve();

  Reactor& reactor_;
  OnAccept on_accept_;
  std::string address_;
  std::uint16_t port_ = 0;
  std::optional<UnixSocketPath> path_;
  Descriptor socket_;
  Descriptor reserve_;
  std::unique_ptr<Reactor::Watch> watch_;  // destroyed before its socket is closed
  std::unique_ptr<Reactor::Timer> rest_;   // until it tries again
};

// "127.0.0.1:40312" of a socket's address; "unknown" for other families.
std::string format_address(const sockaddr* address);

}  // namespace based
