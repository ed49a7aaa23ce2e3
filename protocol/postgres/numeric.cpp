#include "protocol/postgres/numeric.h"

#include <algorithm>
#include <cstdint>

#include "protocol/postgres/body_reader.h"

namespace based::postgres {
namespace {

constexpr std::uint32_t negative = 0x4000;
constexpr std::uint32_t not_a_number = 0xC000;
constexpr std::uint32_t infinite = 0xD000;
constexpr std::uint32_t minus_infinite = 0xF000;
constexpr int digits_max = 1000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void put16(std::string& out, std::uint32_t value) {
  out += static_cast<char>(value >> 8 & 0xFF);
  out += static_cast<char>(value & 0xFF);
}

void put_header(std::string& out, std::uint32_t count, int weight, std::uint32_t sign, int scale) {
  put16(out, count);
  put16(out, static_cast<std::uint16_t>(weight));
  put16(out, sign);
  put16(out, static_cast<std::uint32_t>(scale));
}

struct Decimal {
  bool minus = false;
  std::string whole;
  std::string fraction;
};

// Moves the point by an exponent.
bool shift(Decimal& decimal, int exponent) {
  for (; exponent > 0; --exponent) {
    if (decimal.fraction.empty()) decimal.fraction.push_back('0');
    decimal.whole += decimal.fraction.front();
    decimal.fraction.erase(0, 1);
  }
  for (; exponent < 0; ++exponent) {
    if (decimal.whole.empty()) decimal.whole.push_back('0');
    decimal.fraction.insert(decimal.fraction.begin(), decimal.whole.back());
    decimal.whole.pop_back();
  }
  return true;
}

bool parse(std::string_view text, Decimal& decimal) {
  const auto take_digits = [&text](std::string& to) {
    while (!text.empty() && is_digit(text.front())) {
      to += text.front();
      text.remove_prefix(1);
    }
  };
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    decimal.minus = text.front() == '-';
    text.remove_prefix(1);
  }
  take_digits(decimal.whole);
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    take_digits(decimal.fraction);
  }
  if (decimal.whole.empty() && decimal.fraction.empty()) return false;
  if (text.empty()) return true;
  if (text.front() != 'e' && text.front() != 'E') return false;
  text.remove_prefix(1);
  const bool minus = !text.empty() && text.front() == '-';
  if (minus || (!text.empty() && text.front() == '+')) text.remove_prefix(1);
  std::string digits;
  take_digits(digits);
  if (!text.empty() || digits.empty() || digits.size() > 4) return false;
  const int exponent = std::stoi(digits);
  return exponent <= digits_max && shift(decimal, minus ? -exponent : exponent);
}

}  // namespace

bool append_numeric(std::string& out, std::string_view text) {
  if (text == "NaN") return put_header(out, 0, 0, not_a_number, 0), true;
  if (text == "Infinity") return put_header(out, 0, 0, infinite, 0), true;
  if (text == "-Infinity") return put_header(out, 0, 0, minus_infinite, 0), true;
  Decimal decimal;
  if (text.size() > 2 * digits_max || !parse(text, decimal)) return false;
  decimal.whole.erase(0, std::min(decimal.whole.find_first_not_of('0'), decimal.whole.size()));
  if (decimal.whole.size() > digits_max || decimal.fraction.size() > digits_max) return false;
  const int scale = static_cast<int>(decimal.fraction.size());
  while (decimal.whole.size() % 4 != 0) decimal.whole.insert(decimal.whole.begin(), '0');
  while (decimal.fraction.size() % 4 != 0) decimal.fraction += '0';
  int weight = static_cast<int>(decimal.whole.size() / 4) - 1;
  std::string digits = decimal.whole + decimal.fraction;
  while (digits.starts_with("0000")) {
    digits.erase(0, 4);
    --weight;
  }
  while (digits.ends_with("0000")) digits.erase(digits.size() - 4);
  const auto count = static_cast<std::uint32_t>(digits.size() / 4);
  put_header(out, count, count == 0 ? 0 : weight, decimal.minus && count > 0 ? negative : 0, scale);
  for (std::size_t i = 0; i < digits.size(); i += 4) {
    put16(out, static_cast<std::uint32_t>(std::stoi(digits.substr(i, 4))));
  }
  return true;
}

std::optional<std::string> numeric_text(std::string_view bytes) {
  BodyReader reader(bytes);
  const std::int16_t count = reader.take16();
  const int weight = reader.take16();
  const std::uint32_t sign = reader.take_unsigned(2);
  const std::int16_t scale = reader.take16();
  if (!reader.ok() || count < 0 || scale < 0 || scale > 0x3FFF) return std::nullopt;
  if (reader.remaining() != static_cast<std::size_t>(count) * 2) return std::nullopt;
  if (sign == not_a_number) return "NaN";
  if (sign == infinite) return "Infinity";
  if (sign == minus_infinite) return "-Infinity";
  if (sign != 0 && sign != negative) return std::nullopt;
  std::string digits;
  for (int i = 0; i < count; ++i) {
    const std::int16_t group = reader.take16();
    if (group < 0 || group > 9999) return std::nullopt;
    const std::string four = std::to_string(10000 + group);
    digits.append(four, 1, 4);
  }
  const std::size_t before = weight < 0 ? 0 : static_cast<std::size_t>(weight + 1) * 4;
  if (weight < -1) digits.insert(0, static_cast<std::size_t>(-1 - weight) * 4, '0');
  if (digits.size() < before) digits.append(before - digits.size(), '0');
  std::string fraction = digits.substr(before);
  fraction.resize(static_cast<std::size_t>(scale), '0');
  std::string whole = digits.substr(0, before);
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  std::string text = sign == negative ? "-" : "";
  text += whole.empty() ? "0" : whole;
  if (!fraction.empty()) text += '.' + fraction;
  return text;
}

}  // namespace based::postgres
