// BodyReader: takes the fields of a PostgreSQL v3 message from its body, front to back. Pure.
//
// Integers are big-endian, texts end with a NUL. Bounds are checked on every take; the caller looks
// at ok() or at_end() once, at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace based::postgres {

// Takes from the front of a body. After the first take that did not fit, everything fails.
class BodyReader {
 public:
  explicit BodyReader(std::string_view body) : left_(body) {}

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && left_.empty(); }
  std::size_t remaining() const { return left_.size(); }

  std::string_view take(std::size_t need) {
    if (need > left_.size()) {
      ok_ = false;
      left_ = {};
      return {};
    }
    const std::string_view taken = left_.substr(0, need);
    left_.remove_prefix(need);
    return taken;
  }

  std::uint32_t take_unsigned(std::size_t bytes) {
    std::uint32_t value = 0;
    for (const char byte : take(bytes)) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }
  std::uint32_t take32() { return take_unsigned(4); }
  std::int16_t take16() { return static_cast<std::int16_t>(take_unsigned(2)); }
  char take_byte() {
    const std::string_view byte = take(1);
    return byte.empty() ? '\0' : byte[0];
  }

  // Up to a NUL, which is taken too.
  std::string_view take_text() {
    const std::size_t length = left_.find('\0');
    if (length == std::string_view::npos) {
      take(left_.size() + 1);
      return {};
    }
    const std::string_view text = take(length);
    take(1);
    return text;
  }

  std::string_view take_rest() { return take(left_.size()); }

 private:
  std::string_view left_;
  bool ok_ = true;
};

}  // namespace based::postgres
