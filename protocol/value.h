// Values: the six kinds that cross every protocol and backend exactly.
//
// Everything else (numeric, timestamp, uuid, json, ...) travels as text whose type is named by its
// column.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace based {

enum class ValueKind : std::uint8_t { null, boolean, int64, float64, text, bytes };

// A value in somebody else's memory. text is valid UTF-8 unless its maker says otherwise; it may
// contain NUL.
struct ValueView {
  ValueKind kind = ValueKind::null;
  union {
    bool boolean;
    std::int64_t int64 = 0;
    double float64;
  };
  std::string_view data;  // text and bytes

  static ValueView null() { return {}; }
  static ValueView of(bool value) {
    ValueView view;
    view.kind = ValueKind::boolean;
    view.boolean = value;
    return view;
  }
  static ValueView of(std::int64_t value) {
    ValueView view;
    view.kind = ValueKind::int64;
    view.int64 = value;
    return view;
  }
  static ValueView of(double value) {
    ValueView view;
    view.kind = ValueKind::float64;
    view.float64 = value;
    return view;
  }
  static ValueView text(std::string_view value) {
    ValueView view;
    view.kind = ValueKind::text;
    view.data = value;
    return view;
  }
  static ValueView bytes(std::string_view value) {
    ValueView view;
    view.kind = ValueKind::bytes;
    view.data = value;
    return view;
  }
  bool is_null() const { return kind == ValueKind::null; }
};

// Kind and content equal; float64 by bits (so NaN equals itself and -0.0 differs from 0.0).
bool identical(const ValueView& a, const ValueView& b) noexcept;

// Values that own their bytes: one buffer for all of them. Move-only; views stay valid across a
// move.
class ValueList {
 public:
  ValueList() = default;
  ValueList(ValueList&&) = default;
  ValueList& operator=(ValueList&&) = default;
  ValueList(const ValueList&) = delete;
  ValueList& operator=(const ValueList&) = delete;

  // Copies the values and their bytes.
  static ValueList copy_of(std::span<const ValueView> values);

  std::span<const ValueView> views() const { return views_; }
  std::size_t size() const { return views_.size(); }
  bool empty() const { return views_.empty(); }
  const ValueView& operator[](std::size_t index) const { return views_[index]; }

 private:
  std::vector<ValueView> views_;
  std::vector<char> storage_;  // a vector, not a string: its bytes do not move with it
};

// Is the text valid UTF-8 (RFC 3629: no surrogates, nothing overlong, at most U+10FFFF)?
bool is_valid_utf8(std::string_view text) noexcept;

}  // namespace based
