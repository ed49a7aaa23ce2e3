#include "protocol/value.h"

#include <bit>
#include <cstring>

namespace based {

bool identical(const ValueView& a, const ValueView& b) noexcept {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case ValueKind::null:
      return true;
    case ValueKind::boolean:
      return a.boolean == b.boolean;
    case ValueKind::int64:
      return a.int64 == b.int64;
    case ValueKind::float64:
      return std::bit_cast<std::uint64_t>(a.float64) == std::bit_cast<std::uint64_t>(b.float64);
    case ValueKind::text:
    case ValueKind::bytes:
      return a.data == b.data;
  }
  return false;
}

ValueList ValueList::copy_of(std::span<const ValueView> values) {
  ValueList list;
  list.views_.assign(values.begin(), values.end());
  std::size_t bytes = 0;
  for (const ValueView& value : values) bytes += value.data.size();
  list.storage_.resize(bytes);
  char* out = list.storage_.data();
  for (ValueView& view : list.views_) {
    if (view.data.empty()) continue;
    std::memcpy(out, view.data.data(), view.data.size());
    view.data = {out, view.data.size()};
    out += view.data.size();
  }
  return list;
}

bool is_valid_utf8(std::string_view text) noexcept {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t left = text.size();
  while (left > 0) {
    // Most text is ASCII: eight bytes at a time.
    std::uint64_t eight = 0;
    if (left >= sizeof eight) {
      std::memcpy(&eight, p, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        p += sizeof eight, left -= sizeof eight;
        continue;
      }
    }
    if (*p < 0x80) {
      ++p, --left;
      continue;
    }
    const std::size_t length = *p >= 0xF0 ? 4 : *p >= 0xE0 ? 3 : 2;
    if (*p < 0xC2 || *p > 0xF4 || length > left) return false;
    for (std::size_t i = 1; i < length; ++i) {
      if ((p[i] & 0xC0) != 0x80) return false;
    }
    if (*p == 0xE0 && p[1] < 0xA0) return false;  // overlong
    if (*p == 0xED && p[1] > 0x9F) return false;  // surrogates
    if (*p == 0xF0 && p[1] < 0x90) return false;  // overlong
    if (*p == 0xF4 && p[1] > 0x8F) return false;  // above U+10FFFF
    p += length, left -= length;
  }
  return true;
}

}  // namespace based
