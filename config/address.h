// ListenAddress: where to listen, as a user writes it. Any thread, pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace based {

struct ListenAddress {
  std::string host;        // numeric or a name; IPv6 without brackets
  std::uint16_t port = 0;  // 0: a free one
  std::string path;        // not empty: a unix socket, and host and port mean nothing
  friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};

// "host:port", ":port" (127.0.0.1), "[::1]:port", "unix:/path". 22023 with the reason otherwise.
Result<ListenAddress> parse_address(std::string_view text);

// As parse_address reads it.
std::string format_address(const ListenAddress& address);

// Nobody outside this machine can connect: a unix socket, 127.0.0.0/8, ::1, "localhost". Other
// names may resolve to anything and are not local.
bool is_local(const ListenAddress& address);

}  // namespace based
