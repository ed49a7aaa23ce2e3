#include "config/units.h"

#include <array>
#include <charconv>
#include <limits>

namespace based {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Largest first: the formatters take the first that divides.
constexpr std::array<Unit, 6> duration_units{{
    {"d", 86'400'000},
    {"h", 3'600'000},
    {"min", 60'000},
    {"s", 1'000},
    {"ms", 1},
    {"m", 60'000},
}};
constexpr std::array<Unit, 7> size_units{{
    {"GiB", std::uint64_t{1} << 30},
    {"MiB", std::uint64_t{1} << 20},
    {"KiB", std::uint64_t{1} << 10},
    {"B", 1},
    {"GB", 1'000'000'000},
    {"MB", 1'000'000},
    {"kB", 1'000},
}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

Error bad(std::string message) {
  return Error::make(sqlstate::invalid_parameter_value, std::move(message));
}

// One "12min" from the front of `text`, which shrinks.
template <std::size_t N>
Result<std::uint64_t> take_part(std::string_view& text, const std::array<Unit, N>& units,
                                std::string_view known) {
  std::size_t digits = 0;
  while (digits < text.size() && is_digit(text[digits])) ++digits;
  if (digits == 0) return bad("a whole number is expected before the unit");
  std::uint64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + digits, number);
  if (read.ec != std::errc{}) return bad("the number is too large");
  text.remove_prefix(digits);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  std::size_t letters = 0;
  while (letters < text.size() && !is_digit(text[letters]) && text[letters] != ' ') ++letters;
  const std::string_view name = text.substr(0, letters);
  text.remove_prefix(letters);
  if (name.empty()) return bad("a unit is missing: one of " + std::string(known));
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / unit.factor)
      return bad("the number is too large");
    return number * unit.factor;
  }
  return bad("unknown unit '" + std::string(name) + "': one of " + std::string(known));
}

constexpr std::string_view known_durations = "ms, s, min, h, d";
constexpr std::string_view known_sizes = "B, KiB, MiB, GiB, kB, MB, GB";

}  // namespace

Result<Milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return Milliseconds{0};
  if (text.empty()) return bad("a duration is expected, such as \"250ms\" or \"1h30min\"");
  std::uint64_t total = 0;
  while (!text.empty()) {
    auto part = take_part(text, duration_units, known_durations);
    if (!part) return std::move(part).error();
    total += *part;  // both are at most 2^63 - 1
    if (total > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return bad("the number is too large");
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  }
  return Milliseconds{static_cast<std::int64_t>(total)};
}

Result<Bytes> parse_size(std::string_view text) {
  if (text == "0") return Bytes{0};
  if (text.empty()) return bad("a size is expected, such as \"64KiB\" or \"16MiB\"");
  auto part = take_part(text, size_units, known_sizes);
  if (!part) return std::move(part).error();
  if (!text.empty()) return bad("'" + std::string(text) + "' after the unit is not expected");
  return Bytes{*part};
}

std::string format_duration(Milliseconds value) {
  if (value.count() == 0) return "0";
  auto rest = static_cast<std::uint64_t>(value.count());
  std::string text;
  for (const Unit& unit : duration_units) {
    if (rest < unit.factor) continue;
    text += std::to_string(rest / unit.factor);
    text += unit.name;
    rest %= unit.factor;
    if (rest == 0) break;
  }
  return text;
}

std::string format_size(Bytes value) {
  if (value.count == 0) return "0";
  for (const Unit& unit : size_units) {
    if (value.count % unit.factor != 0) continue;
    return std::to_string(value.count / unit.factor) + std::string(unit.name);
  }
  return {};  // "B" divides everything
}

}  // namespace based
