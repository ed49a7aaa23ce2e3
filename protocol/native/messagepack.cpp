#include "protocol/native/messagepack.h"

#include <bit>
#include <limits>

namespace based::native {
namespace {

constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();

std::int64_t sign_extend(std::uint64_t value, std::size_t bytes) {
  const unsigned shift = static_cast<unsigned>(64 - 8 * bytes);
  return static_cast<std::int64_t>(value << shift) >> shift;
}

}  // namespace

bool MessagePackReader::fail(Sqlstate code, const char* problem) {
  if (problem_ == nullptr) {
    code_ = code;
    problem_ = problem;
  }
  return false;
}

Error MessagePackReader::error(std::string_view where) const {
  INVARIANT(failed());
  std::string message(where);
  if (!message.empty()) message += ": ";
  message += problem_;
  return Error::make(code_, std::move(message))
      .with_detail("At byte " + std::to_string(offset()) + " of the payload.");
}

bool MessagePackReader::take(std::size_t bytes, std::string_view& taken) {
  if (bytes > rest_.size()) return fail(sqlstate::protocol_violation, "it is cut short");
  taken = rest_.substr(0, bytes);
  rest_.remove_prefix(bytes);
  return true;
}

bool MessagePackReader::take_big_endian(std::size_t bytes, std::uint64_t& value) {
  std::string_view taken;
  if (!take(bytes, taken)) return false;
  value = 0;
  for (const char byte : taken) value = value << 8 | static_cast<unsigned char>(byte);
  return true;
}

// Text, bytes, or the head of an array or map, whose size is known.
bool MessagePackReader::next_sized(Item& item, ItemKind kind, std::uint64_t size) {
  item.kind = kind;
  if (kind == ItemKind::text || kind == ItemKind::bytes) {
    if (!take(static_cast<std::size_t>(size), item.data)) return false;
    if (kind == ItemKind::text && !is_valid_utf8(item.data)) {
      return fail(sqlstate::character_not_in_repertoire, "a text is not valid UTF-8");
    }
    return true;
  }
  // An element takes a byte at least, so a count beyond the rest is a lie that must not be
  // believed.
  const std::uint64_t least_bytes = kind == ItemKind::map ? 2 * size : size;
  if (least_bytes > rest_.size()) {
    return fail(sqlstate::protocol_violation, "it counts more elements than it has");
  }
  item.count = static_cast<std::uint32_t>(size);
  return true;
}

bool MessagePackReader::next_number(unsigned char lead, Item& item) {
  std::uint64_t value = 0;
  switch (lead) {
    case 0xCA:
      if (!take_big_endian(4, value)) return false;
      item.kind = ItemKind::float64;
      item.float64 = std::bit_cast<float>(static_cast<std::uint32_t>(value));
      return true;
    case 0xCB:
      if (!take_big_endian(8, value)) return false;
      item.kind = ItemKind::float64;
      item.float64 = std::bit_cast<double>(value);
      return true;
    default:
      break;
  }
  item.kind = ItemKind::integer;
  const bool is_signed = lead >= 0xD0;
  const std::size_t bytes = std::size_t{1} << (lead & 3);
  if (!take_big_endian(bytes, value)) return false;
  if (is_signed) return item.integer = sign_extend(value, bytes), true;
  if (value > static_cast<std::uint64_t>(int64_max)) {
    return fail(sqlstate::numeric_value_out_of_range, "an integer is above 9223372036854775807");
  }
  return item.integer = static_cast<std::int64_t>(value), true;
}

// Everything from 0xC0 to 0xDF.
bool MessagePackReader::next_wide(unsigned char lead, Item& item) {
  std::uint64_t size = 0;
  if (lead >= 0xCA && lead <= 0xD3) return next_number(lead, item);
  if (lead == 0xC0) return item.kind = ItemKind::null, true;
  if (lead == 0xC1) return fail(sqlstate::protocol_violation, "0xC1 is not MessagePack");
  if (lead <= 0xC3) return item.kind = ItemKind::boolean, item.boolean = lead == 0xC3, true;
  if (lead <= 0xC6) {
    const std::size_t width = std::size_t{1} << (lead - 0xC4);
    return take_big_endian(width, size) && next_sized(item, ItemKind::bytes, size);
  }
  if (lead <= 0xC9 || (lead >= 0xD4 && lead <= 0xD8)) {
    return fail(sqlstate::feature_not_supported, "an extension value is not supported");
  }
  if (lead <= 0xDB) {
    const std::size_t width = std::size_t{1} << (lead - 0xD9);
    return take_big_endian(width, size) && next_sized(item, ItemKind::text, size);
  }
  const std::size_t width = (lead & 1) == 0 ? 2 : 4;
  const ItemKind kind = lead <= 0xDD ? ItemKind::array : ItemKind::map;
  return take_big_endian(width, size) && next_sized(item, kind, size);
}

bool MessagePackReader::next(Item& item) {
  if (failed()) return false;
  std::string_view taken;
  if (!take(1, taken)) return false;
  const auto lead = static_cast<unsigned char>(taken.front());
  item = Item{};
  if (lead < 0x80) return item.kind = ItemKind::integer, item.integer = lead, true;
  if (lead < 0x90) return next_sized(item, ItemKind::map, lead & 0x0Fu);
  if (lead < 0xA0) return next_sized(item, ItemKind::array, lead & 0x0Fu);
  if (lead < 0xC0) return next_sized(item, ItemKind::text, lead & 0x1Fu);
  if (lead < 0xE0) return next_wide(lead, item);
  item.kind = ItemKind::integer;
  item.integer = static_cast<std::int8_t>(lead);
  return true;
}

bool MessagePackReader::skip_any(std::size_t depth) {
  Item item;
  if (!next(item)) return false;
  if (item.kind != ItemKind::array && item.kind != ItemKind::map) return true;
  if (depth >= nesting_max) return fail(sqlstate::program_limit_exceeded, "it is nested too deep");
  const std::uint64_t elements = std::uint64_t{item.count} * (item.kind == ItemKind::map ? 2 : 1);
  for (std::uint64_t i = 0; i < elements; ++i) {
    if (!skip_any(depth + 1)) return false;
  }
  return true;
}

bool MessagePackReader::skip() { return skip_any(0); }

bool MessagePackReader::take_raw(std::string_view& bytes) {
  const std::string_view before = rest_;
  if (!skip()) return false;
  bytes = before.substr(0, before.size() - rest_.size());
  return true;
}

bool MessagePackReader::take_null() {
  if (failed() || rest_.empty() || rest_.front() != '\xC0') return false;
  rest_.remove_prefix(1);
  return true;
}

bool MessagePackReader::read(bool& value) {
  Item item;
  if (!next(item)) return false;
  if (item.kind != ItemKind::boolean) {
    return fail(sqlstate::invalid_parameter_value, "true or false is expected");
  }
  return value = item.boolean, true;
}

bool MessagePackReader::read(std::int64_t& value) {
  Item item;
  if (!next(item)) return false;
  if (item.kind != ItemKind::integer) {
    return fail(sqlstate::invalid_parameter_value, "an integer is expected");
  }
  return value = item.integer, true;
}

bool MessagePackReader::read(double& value) {
  Item item;
  if (!next(item)) return false;
  if (item.kind == ItemKind::integer) return value = static_cast<double>(item.integer), true;
  if (item.kind != ItemKind::float64) {
    return fail(sqlstate::invalid_parameter_value, "a number is expected");
  }
  return value = item.float64, true;
}

bool MessagePackReader::read_text(std::string_view& value) {
  Item item;
  if (!next(item)) return false;
  if (item.kind != ItemKind::text) {
    return fail(sqlstate::invalid_parameter_value, "a text is expected");
  }
  return value = item.data, true;
}

bool MessagePackReader::read_bytes(std::string_view& value) {
  Item item;
  if (!next(item)) return false;
  if (item.kind != ItemKind::bytes) {
    return fail(sqlstate::invalid_parameter_value, "bytes are expected");
  }
  return value = item.data, true;
}

bool MessagePackReader::read_array(std::uint32_t& count) {
  Item item;
  if (!next(item)) return false;
  if (item.kind != ItemKind::array) {
    return fail(sqlstate::invalid_parameter_value, "an array is expected");
  }
  return count = item.count, true;
}

bool MessagePackReader::read_map(std::uint32_t& pairs) {
  Item item;
  if (!next(item)) return false;
  if (item.kind != ItemKind::map) {
    return fail(sqlstate::invalid_parameter_value, "a map is expected");
  }
  return pairs = item.count, true;
}

bool MessagePackReader::read_between(std::int64_t least, std::int64_t most, std::int64_t& value) {
  std::int64_t number = 0;
  if (!read(number)) return false;
  if (number < least || number > most) {
    return fail(sqlstate::invalid_parameter_value, "the number is out of range");
  }
  return value = number, true;
}

void MessagePackWriter::big_endian(char lead, std::uint64_t value, std::size_t bytes) {
  char buffer[9];
  buffer[0] = lead;
  for (std::size_t i = 0; i < bytes; ++i) {
    buffer[1 + i] = static_cast<char>(value >> (8 * (bytes - 1 - i)) & 0xFF);
  }
  out_.append(buffer, 1 + bytes);
}

void MessagePackWriter::integer(std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  if (value >= 0) {
    if (value < 0x80) return void(out_ += static_cast<char>(value));
    if (value <= 0xFF) return big_endian('\xCC', bits, 1);
    if (value <= 0xFFFF) return big_endian('\xCD', bits, 2);
    if (value <= 0xFFFFFFFF) return big_endian('\xCE', bits, 4);
    return big_endian('\xCF', bits, 8);
  }
  if (value >= -32) return void(out_ += static_cast<char>(value));
  if (value >= std::numeric_limits<std::int8_t>::min()) return big_endian('\xD0', bits, 1);
  if (value >= std::numeric_limits<std::int16_t>::min()) return big_endian('\xD1', bits, 2);
  if (value >= std::numeric_limits<std::int32_t>::min()) return big_endian('\xD2', bits, 4);
  big_endian('\xD3', bits, 8);
}

void MessagePackWriter::float64(double value) {
  big_endian('\xCB', std::bit_cast<std::uint64_t>(value), 8);
}

void MessagePackWriter::sized(std::string_view value, char lead_8, char lead_16, char lead_32) {
  INVARIANT(value.size() <= UINT32_MAX);
  if (value.size() <= 0xFF) {
    big_endian(lead_8, value.size(), 1);
  } else if (value.size() <= 0xFFFF) {
    big_endian(lead_16, value.size(), 2);
  } else {
    big_endian(lead_32, value.size(), 4);
  }
  out_ += value;
}

void MessagePackWriter::text(std::string_view value) {
  if (value.size() >= 32) return sized(value, '\xD9', '\xDA', '\xDB');
  out_ += static_cast<char>(0xA0 | value.size());
  out_ += value;
}

void MessagePackWriter::display_text(std::string_view value) {
  if (is_valid_utf8(value)) return text(value);
  std::string shown;
  while (!value.empty()) {
    std::size_t length = 1;
    while (length <= 4 && length <= value.size() && !is_valid_utf8(value.substr(0, length))) {
      ++length;
    }
    if (length > 4 || length > value.size()) {
      shown += "\xEF\xBF\xBD";
      length = 1;
    } else {
      shown += value.substr(0, length);
    }
    value.remove_prefix(length);
  }
  text(shown);
}

void MessagePackWriter::bytes(std::string_view value) { sized(value, '\xC4', '\xC5', '\xC6'); }

void MessagePackWriter::array(std::size_t count) {
  INVARIANT(count <= UINT32_MAX);
  if (count < 16) return void(out_ += static_cast<char>(0x90 | count));
  if (count <= 0xFFFF) return big_endian('\xDC', count, 2);
  big_endian('\xDD', count, 4);
}

void MessagePackWriter::map(std::size_t pairs) {
  INVARIANT(pairs <= UINT32_MAX);
  if (pairs < 16) return void(out_ += static_cast<char>(0x80 | pairs));
  if (pairs <= 0xFFFF) return big_endian('\xDE', pairs, 2);
  big_endian('\xDF', pairs, 4);
}

void MessagePackWriter::value(const ValueView& value) {
  switch (value.kind) {
    case ValueKind::null:
      return null();
    case ValueKind::boolean:
      return boolean(value.boolean);
    case ValueKind::int64:
      return integer(value.int64);
    case ValueKind::float64:
      return float64(value.float64);
    case ValueKind::text:
      return is_valid_utf8(value.data) ? text(value.data) : bytes(value.data);
    case ValueKind::bytes:
      return bytes(value.data);
  }
}

std::size_t MessagePackWriter::open_array() {
  const std::size_t place = out_.size();
  big_endian('\xDD', 0, 4);
  return place;
}

void MessagePackWriter::close_array(std::size_t place, std::uint32_t count) noexcept {
  INVARIANT(place < out_.size() && out_[place] == '\xDD');
  for (std::size_t i = 0; i < 4; ++i) {
    out_[place + 1 + i] = static_cast<char>(count >> (24 - 8 * i) & 0xFF);
  }
}

std::size_t encoded_bytes_max(const ValueView& value) noexcept { return 9 + value.data.size(); }

}  // namespace based::native
