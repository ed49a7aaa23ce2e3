// Start-up: what a PostgreSQL client sends before it has a session. Pure; every length is checked.
//
// PostgreSQL's manual, chapters "Start-up" and "Message Formats": packets without a type byte,
// whose first word after the length says what they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/result.h"

namespace based::postgres {

// PostgreSQL's own limit (MAX_STARTUP_PACKET_LENGTH).
inline constexpr std::uint32_t startup_bytes_max = 10000;
inline constexpr std::size_t startup_head_bytes = 8;

enum class StartupKind : std::uint8_t { start, cancel, ssl, gss_encryption };

struct StartupHead {
  std::uint32_t length = 0;  // of the whole packet
  std::uint32_t code = 0;
  std::uint16_t major() const { return static_cast<std::uint16_t>(code >> 16); }
  std::uint16_t minor() const { return static_cast<std::uint16_t>(code & 0xFFFF); }
};

// The first eight bytes of a packet. An error: 08P01 for a length that no such packet has.
Result<StartupHead> decode_startup_head(std::string_view bytes);
// 0A000 for a protocol that is neither 3 nor one of the requests.
Result<StartupKind> startup_kind(const StartupHead& head);

struct Startup {
  std::string user;
  std::string database;     // empty: not named
  std::string replication;  // empty: not asked for
  // Everything else, with what `options` sets, in order; names in lower case.
  std::vector<std::pair<std::string, std::string>> settings;
  std::vector<std::string> protocol_options;  // names that begin with _pq_.
};

// The body of a start-up packet, behind its first eight bytes. 08P01 for one that does not end as
// it must, 28000 without a user, 42601 for `options` that cannot be read.
Result<Startup> decode_startup(std::string_view body);

struct CancelKey {
  std::int32_t process_id = 0;
  std::string_view secret;  // 4 to 256 bytes
};
// The body of a CancelRequest, behind its first eight bytes. False: it is none.
bool decode_cancel(std::string_view body, CancelKey& key);

}  // namespace based::postgres
