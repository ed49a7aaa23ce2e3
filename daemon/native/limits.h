// NativeLimits: what one native client may have of the daemon. WELCOME announces them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/reactor.h"

namespace based::native {

struct NativeLimits {
  std::uint32_t frame_bytes = 16u << 20;  // payload of a client's frame
  std::uint32_t sessions = 64;            // open on one connection
  std::uint32_t requests = 256;           // of one connection, without a final frame
  std::size_t request_bytes = 32u << 20;  // payloads of these together
  std::uint32_t depth = 64;               // levels of a transaction stack
  std::size_t output_bytes = 1u << 20;    // unsent output at which results of a connection pause
  Duration handshake = std::chrono::seconds(10);
  Duration ping = std::chrono::seconds(60);  // silence until PING; twice: the end; zero: off
  Duration idle{};                           // of a client with nothing open; zero: off
  // Of the default database, for WELCOME only.
  std::uint64_t statement_timeout_ms = 0;
  std::uint64_t queue_timeout_ms = 0;
  std::uint64_t idle_in_transaction_ms = 0;
};

}  // namespace based::native
