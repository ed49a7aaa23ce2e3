// Dates and times between ISO 8601 texts and PostgreSQL's binary formats. Pure.
//
// Binary: a date is days since 2000-01-01, a timestamp microseconds since then, a time microseconds
// since midnight. Years 1 to 9999, as ISO texts and SQLite write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace based::postgres {

// What a text says: YYYY-MM-DD, then 'T' or a space and HH:MM[:SS[.digits]], then Z or +HH[[:]MM].
// nullopt for everything else, for days that do not exist, and for more than six decimal digits
// that are not zero.
struct DateTime {
  std::int32_t days = 0;          // since 2000-01-01
  std::int64_t microseconds = 0;  // since midnight
  bool has_time = false;
  std::optional<std::int32_t> offset_seconds;  // east of UTC
};
std::optional<DateTime> parse_datetime(std::string_view text);
// HH:MM[:SS[.digits]], in microseconds.
std::optional<std::int64_t> parse_time(std::string_view text);

inline constexpr std::int64_t day_microseconds = 86'400'000'000;

// nullopt: outside of the years 1 to 9999 (infinity, too).
std::optional<std::string> date_text(std::int32_t days);
std::optional<std::string> timestamp_text(std::int64_t microseconds);
std::optional<std::string> time_text(std::int64_t microseconds);

}  // namespace based::postgres
