#include "daemon/postgres/sqlite_parameters.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <charconv>
#include <cmath>

#include "daemon/postgres/sqlite_types.h"
#include "protocol/postgres/body_reader.h"
#include "protocol/postgres/datetime.h"
#include "protocol/postgres/numeric.h"
#include "protocol/postgres/type_names.h"

namespace based {
namespace {

namespace oid = postgres::type_oid;

constexpr Sqlstate invalid_binary{"22P03"};
constexpr Sqlstate indeterminate_type{"42P18"};

struct Parameter {
  std::size_t number;
  std::uint32_t type;
  std::string_view bytes;
  std::deque<std::string>& storage;

  std::string type_name() const { return std::string(postgres::builtin_type_name(type)); }
  Error bad_text() const {
    std::string shown(bytes.substr(0, 64));
    while (!is_valid_utf8(shown)) shown.pop_back();
    return Error::make(sqlstate::invalid_text_representation,
                       "invalid input syntax for type " + type_name() + ": \"" + shown + "\"")
        .with_detail("parameter $" + std::to_string(number));
  }
  Error bad_binary() const {
    return Error::make(invalid_binary,
                       "incorrect binary data format in bind parameter " + std::to_string(number));
  }
  Error out_of_range() const {
    return Error::make(sqlstate::numeric_value_out_of_range,
                       "the value of parameter $" + std::to_string(number) +
                           " is out of range for type " + type_name());
  }
  ValueView keep(std::string text) const {
    storage.push_back(std::move(text));
    return ValueView::text(storage.back());
  }
};

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text, std::errc& why) {
  text = trimmed(text);
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  Number number{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  why = parsed.ec;
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    if (parsed.ec == std::errc()) why = std::errc::invalid_argument;
    return std::nullopt;
  }
  return number;
}

Result<ValueView> read_integer(const Parameter& parameter, bool binary) {
  const std::uint32_t type = parameter.type;
  const std::size_t size = type == oid::int8 ? 8 : type == oid::int2 ? 2 : 4;
  if (binary) {
    if (parameter.bytes.size() != size) return parameter.bad_binary();
    const std::uint64_t raw = big_endian(parameter.bytes);
    if (type == oid::int8) return ValueView::of(static_cast<std::int64_t>(raw));
    if (type == oid::int2) return ValueView::of(std::int64_t{static_cast<std::int16_t>(raw)});
    if (type == oid::oid) return ValueView::of(static_cast<std::int64_t>(raw));
    return ValueView::of(std::int64_t{static_cast<std::int32_t>(raw)});
  }
  std::errc why{};
  const auto number = parse_number<std::int64_t>(parameter.bytes, why);
  if (!number) {
    return why == std::errc::result_out_of_range ? parameter.out_of_range() : parameter.bad_text();
  }
  const bool narrow = (type == oid::int4 && (*number < INT32_MIN || *number > INT32_MAX)) ||
                      (type == oid::int2 && (*number < INT16_MIN || *number > INT16_MAX));
  if (narrow) return parameter.out_of_range();
  return ValueView::of(*number);
}

Result<ValueView> read_float(const Parameter& parameter, bool binary) {
  if (binary) {
    const bool wide = parameter.type == oid::float8;
    if (parameter.bytes.size() != (wide ? 8u : 4u)) return parameter.bad_binary();
    const std::uint64_t raw = big_endian(parameter.bytes);
    if (wide) return ValueView::of(std::bit_cast<double>(raw));
    return ValueView::of(double{std::bit_cast<float>(static_cast<std::uint32_t>(raw))});
  }
  std::errc why{};
  const auto number = parse_number<double>(parameter.bytes, why);
  if (!number) {
    return why == std::errc::result_out_of_range ? parameter.out_of_range() : parameter.bad_text();
  }
  return ValueView::of(*number);
}

// As SQLite's own NUMERIC affinity does it: a number where nothing is lost.
Result<ValueView> read_numeric(const Parameter& parameter, bool binary) {
  std::string text(trimmed(parameter.bytes));
  if (binary) {
    auto decoded = postgres::numeric_text(parameter.bytes);
    if (!decoded) return parameter.bad_binary();
    text = std::move(*decoded);
  }
  std::string ignored;
  if (!postgres::append_numeric(ignored, text)) return parameter.bad_text();
  std::errc why{};
  if (const auto whole = parse_number<std::int64_t>(text, why)) return ValueView::of(*whole);
  const auto digits = std::ranges::count_if(text, [](char c) { return c >= '0' && c <= '9'; });
  const auto number = parse_number<double>(text, why);
  if (number && std::isfinite(*number) && digits <= 15) return ValueView::of(*number);
  return parameter.keep(std::move(text));
}

Result<ValueView> read_bool(const Parameter& parameter, bool binary) {
  if (binary) {
    if (parameter.bytes.size() != 1) return parameter.bad_binary();
    return ValueView::of(parameter.bytes[0] != '\0');
  }
  const std::string word = lower(trimmed(parameter.bytes));
  const auto begins = [&word](std::string_view whole) {
    return !word.empty() && whole.starts_with(word);
  };
  if (begins("true") || begins("yes") || word == "on" || word == "1") return ValueView::of(true);
  const bool off = word == "of" || word == "off";
  if (begins("false") || begins("no") || off || word == "0") return ValueView::of(false);
  return parameter.bad_text();
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// `\x` and pairs of digits, or PostgreSQL's older format: bytes, `\\` and `\ooo`.
std::optional<std::string> bytes_of_text(std::string_view text) {
  std::string bytes;
  if (text.starts_with("\\x")) {
    text.remove_prefix(2);
    if (text.size() % 2 != 0) return std::nullopt;
    for (std::size_t i = 0; i < text.size(); i += 2) {
      const int high = hex_digit(text[i]);
      const int low = hex_digit(text[i + 1]);
      if (high < 0 || low < 0) return std::nullopt;
      bytes += static_cast<char>(high << 4 | low);
    }
    return bytes;
  }
  while (!text.empty()) {
    if (text.front() != '\\') {
      bytes += text.front();
      text.remove_prefix(1);
    } else if (text.starts_with("\\\\")) {
      bytes += '\\';
      text.remove_prefix(2);
    } else {
      unsigned value = 0;
      if (text.size() < 4) return std::nullopt;
      for (const char c : text.substr(1, 3)) {
        if (c < '0' || c > '7') return std::nullopt;
        value = value * 8 + static_cast<unsigned>(c - '0');
      }
      if (value > 255) return std::nullopt;
      bytes += static_cast<char>(value);
      text.remove_prefix(4);
    }
  }
  return bytes;
}

Result<ValueView> read_bytes(const Parameter& parameter, bool binary) {
  if (binary) return ValueView::bytes(parameter.bytes);
  auto bytes = bytes_of_text(parameter.bytes);
  if (!bytes) return parameter.bad_text();
  parameter.storage.push_back(std::move(*bytes));
  return ValueView::bytes(parameter.storage.back());
}

Result<ValueView> read_uuid(const Parameter& parameter, bool binary) {
  const ValueView value =
      binary ? ValueView::bytes(parameter.bytes) : ValueView::text(trimmed(parameter.bytes));
  std::string cell;
  postgres::BackendWriter writer(cell);
  if (!write_cell(writer, oid::uuid, 0, value)) {
    return binary ? parameter.bad_binary() : parameter.bad_text();
  }
  return parameter.keep(cell.substr(4));
}

// A date, time or timestamp has no zone, and a date no time: PostgreSQL takes them in the text, as
// JDBC and node-postgres send them, and drops them. What cannot be read stays as it is.
std::string_view moment_of_text(std::string_view text, std::uint32_t type) {
  if (type == oid::timestamptz) return text;
  std::string_view rest = trimmed(text);
  const std::size_t at = rest.find_last_of("+-Z");
  if (at != std::string_view::npos) {
    const bool is_zone =
        postgres::parse_datetime("2000-01-01 00:00" + std::string(rest.substr(at))).has_value();
    const std::string_view before = trimmed(rest.substr(0, at));
    const bool is_time = type == oid::time && postgres::parse_time(before);
    if (is_zone && (is_time || postgres::parse_datetime(before))) rest = before;
  }
  if (type == oid::time) return postgres::parse_time(rest) ? rest : text;
  const auto parsed = postgres::parse_datetime(rest);
  if (!parsed || parsed->offset_seconds) return text;
  return type == oid::date ? rest.substr(0, 10) : rest;
}

Result<ValueView> read_moment(const Parameter& parameter, bool binary) {
  if (!binary) return ValueView::text(moment_of_text(parameter.bytes, parameter.type));
  const bool is_date = parameter.type == oid::date;
  if (parameter.bytes.size() != (is_date ? 4u : 8u)) return parameter.bad_binary();
  const std::uint64_t raw = big_endian(parameter.bytes);
  std::optional<std::string> text;
  if (is_date) {
    text = postgres::date_text(static_cast<std::int32_t>(raw));
  } else if (parameter.type == oid::time) {
    text = postgres::time_text(static_cast<std::int64_t>(raw));
  } else {
    text = postgres::timestamp_text(static_cast<std::int64_t>(raw));
  }
  if (!text) return parameter.out_of_range();
  if (parameter.type == oid::timestamptz) *text += "+00:00";
  return parameter.keep(std::move(*text));
}

Result<ValueView> read_text(const Parameter& parameter, bool binary) {
  std::string_view text = parameter.bytes;
  switch (parameter.type) {
    case oid::unknown:
    case oid::unknown_literal:
      // Who has not asked for the type can only mean bytes: node-postgres sends its Buffers so.
      if (binary) return ValueView::bytes(text);
      break;
    case oid::text:
    case oid::varchar:
    case oid::bpchar:
    case oid::name:
    case oid::internal_char:
    case oid::json:
      break;
    case oid::jsonb:
      if (!binary) break;
      if (!text.starts_with('\1')) return parameter.bad_binary();
      text.remove_prefix(1);
      break;
    default:
      if (!binary) break;
      return Error::make(indeterminate_type, "parameter $" + std::to_string(parameter.number) +
                                                 " is binary and of a type that SQLite does not "
                                                 "have: " +
                                                 parameter.type_name())
          .with_hint("Send it as text.");
  }
  if (text.find('\0') != std::string_view::npos) {
    return Error::make(sqlstate::character_not_in_repertoire,
                       "invalid byte sequence for encoding \"UTF8\": 0x00");
  }
  return ValueView::text(text);
}

}  // namespace

Result<ValueView> read_parameter(std::size_t number, std::uint32_t type, std::int16_t format,
                                 std::optional<std::string_view> bytes,
                                 std::deque<std::string>& storage) {
  if (!bytes) return ValueView::null();
  const bool binary = format == 1;
  const Parameter parameter{number, type, *bytes, storage};
  switch (type) {
    case oid::int2:
    case oid::int4:
    case oid::int8:
    case oid::oid:
      return read_integer(parameter, binary);
    case oid::float4:
    case oid::float8:
      return read_float(parameter, binary);
    case oid::numeric:
      return read_numeric(parameter, binary);
    case oid::boolean:
      return read_bool(parameter, binary);
    case oid::bytea:
      return read_bytes(parameter, binary);
    case oid::uuid:
      return read_uuid(parameter, binary);
    case oid::date:
    case oid::time:
    case oid::timestamp:
    case oid::timestamptz:
      return read_moment(parameter, binary);
    default:
      return read_text(parameter, binary);
  }
}

}  // namespace based
