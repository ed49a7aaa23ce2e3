#include "tests/protocol/native/diagnostic.h"

#include <doctest/doctest.h>

#include <charconv>
#include <cmath>

#include "protocol/native/messagepack.h"

namespace based::native {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string hex(std::string_view bytes) {
  std::string out = "h'";
  for (const char byte : bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += digits[static_cast<unsigned char>(byte) >> 4];
    out += digits[byte & 0x0F];
  }
  return out + "'";
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string out(buffer, end);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::string show(MessagePackReader& reader) {
  Item item;
  REQUIRE(reader.next(item));
  std::string out;
  switch (item.kind) {
    case ItemKind::null:
      return "null";
    case ItemKind::boolean:
      return item.boolean ? "true" : "false";
    case ItemKind::integer:
      return std::to_string(item.integer);
    case ItemKind::float64:
      return number(item.float64);
    case ItemKind::text:
      return quoted(item.data);
    case ItemKind::bytes:
      return hex(item.data);
    case ItemKind::array:
      for (std::uint32_t i = 0; i < item.count; ++i) out += (i > 0 ? ", " : "") + show(reader);
      return "[" + out + "]";
    case ItemKind::map:
      for (std::uint32_t i = 0; i < item.count; ++i) {
        if (i > 0) out += ", ";
        out += show(reader) + ": ";
        out += show(reader);
      }
      return "{" + out + "}";
  }
  return out;
}

}  // namespace

std::string diagnostic(std::string_view encoded) {
  MessagePackReader reader(encoded);
  std::string out = show(reader);
  REQUIRE(reader.at_end());
  return out;
}

std::string from_hex(std::string_view digits) {
  std::string out;
  int high = -1;
  for (const char c : digits) {
    if (c == ' ' || c == '\n') continue;
    const std::size_t digit = std::string_view("0123456789abcdef").find(c);
    REQUIRE(digit != std::string_view::npos);
    const int value = static_cast<int>(digit);
    if (high < 0) {
      high = value;
    } else {
      out += static_cast<char>(high << 4 | value);
      high = -1;
    }
  }
  REQUIRE(high < 0);
  return out;
}

}  // namespace based::native
