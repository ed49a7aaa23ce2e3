// Listener: one listening socket, TCP or unix. It accepts and hands over; it knows no protocol.
//
// Out of descriptors it keeps listening: libuv turns the client away with its reserve descriptor,
// and the next one is accepted as soon as a descriptor is free. Loop thread only.
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/stream.h"
#include "daemon/unix_socket_path.h"
#include "daemon/uv_cell.h"
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

// A new client, accepted, with its address; the taker calls begin().
using OnAccept = std::function<void(uv_stream_t* server, bool is_unix, const std::string& place)>;

class Listener {
 public:
  // One listener for each address that the host has ("localhost" may have two). 08001 with the
  // reason otherwise.
  static Result<std::vector<std::unique_ptr<Listener>>> open(const ListenPlace& place,
                                                             UvReactor& reactor,
                                                             OnAccept on_accept);

  // As a client would write it: "127.0.0.1:6432", "[::1]:6432", "unix:/run/based/based.sock".
  const std::string& address() const { return address_; }
  // The TCP port that was really taken; 0 of a unix socket.
  std::uint16_t port() const { return port_; }

 private:
  explicit Listener(OnAccept on_accept) : on_accept_(std::move(on_accept)) {}
  static Result<std::unique_ptr<Listener>> open_tcp(const sockaddr* address, UvReactor& reactor,
                                                    OnAccept on_accept);
  static Result<std::unique_ptr<Listener>> open_unix(const ListenPlace& place, UvReactor& reactor,
                                                     OnAccept on_accept);
  Result<void> listen();

  OnAccept on_accept_;
  std::string address_;
  std::uint16_t port_ = 0;
  std::optional<UnixSocketPath> path_;
  UvOwned<UvClient> cell_;
};

// "127.0.0.1:40312" of a socket's address; "unknown" for other families.
std::string format_address(const sockaddr* address);

}  // namespace based
