// Durations and sizes as people write them: "250ms", "1h30m", "16MiB". Any thread, pure.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace based {

using Milliseconds = std::chrono::milliseconds;

// A size. Strong, so that a count is never taken for one.
struct Bytes {
  std::uint64_t count = 0;
  friend constexpr auto operator<=>(const Bytes&, const Bytes&) = default;
};

constexpr Bytes operator""_KiB(unsigned long long n) { return {n << 10}; }
constexpr Bytes operator""_MiB(unsigned long long n) { return {n << 20}; }

// A sum of whole numbers with units: ms, s, min (or m), h, d. "0" needs none. 22023 with the reason
// for anything else; nothing is rounded.
Result<Milliseconds> parse_duration(std::string_view text);

// A whole number with a unit: B, KiB, MiB, GiB, or kB, MB, GB (thousands). "0" needs none. 22023
// with the reason for anything else.
Result<Bytes> parse_size(std::string_view text);

// The shortest text that the parsers read back as the same value: "1h30m", "16MiB", "0".
std::string format_duration(Milliseconds value);
std::string format_size(Bytes value);

}  // namespace based
