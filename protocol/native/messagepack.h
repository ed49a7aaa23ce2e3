// MessagePack, the subset that the native protocol uses: nil, bool, int64, float64, str, bin,
// array, map.
//
// The reader takes every form of these (float32 too, widened), never allocates, and hands out views
// into what it reads. The writer uses the smallest form. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "protocol/value.h"

namespace based::native {

enum class ItemKind : std::uint8_t { null, boolean, integer, float64, text, bytes, array, map };

// One value, or the head of an array or map whose elements follow.
struct Item {
  ItemKind kind = ItemKind::null;
  bool boolean = false;
  std::int64_t integer = 0;
  double float64 = 0;
  std::string_view data;    // text (valid UTF-8) and bytes
  std::uint32_t count = 0;  // elements of an array, pairs of a map
};

inline constexpr std::size_t nesting_max = 16;  // arrays and maps within one another

// Reads from the front. The first failure sticks: everything after it answers false too.
class MessagePackReader {
 public:
  explicit MessagePackReader(std::string_view bytes) : rest_(bytes), all_bytes_(bytes.size()) {}

  // Failures: 08P01 cut short, or the byte 0xC1, or a count that the rest cannot hold; 22003 an
  // integer above 2^63 - 1; 22021 text that is not UTF-8; 0A000 an extension value.
  bool next(Item& item);
  // One whole value, checked as next() does, at most nesting_max deep (54000).
  bool skip();
  // As skip(); `bytes` is the value as it was encoded.
  bool take_raw(std::string_view& bytes);
  // Is a nil next? Then it is taken.
  bool take_null();

  // One value of that kind, else 22023.
  bool read(bool& value);
  bool read(std::int64_t& value);
  bool read(double& value);  // an integer is taken as well
  bool read_text(std::string_view& value);
  bool read_bytes(std::string_view& value);
  bool read_array(std::uint32_t& count);
  bool read_map(std::uint32_t& pairs);
  // An integer from `least` to `most`, else 22023.
  bool read_between(std::int64_t least, std::int64_t most, std::int64_t& value);

  // Always false. `problem` must be a literal.
  bool fail(Sqlstate code, const char* problem);
  bool failed() const { return problem_ != nullptr; }
  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  std::size_t offset() const { return all_bytes_ - rest_.size(); }
  // REQUIRES failed(). `where` begins the message: "EXEC: option credit".
  Error error(std::string_view where) const;

 private:
  bool take(std::size_t bytes, std::string_view& taken);
  bool take_big_endian(std::size_t bytes, std::uint64_t& value);
  bool next_sized(Item& item, ItemKind kind, std::uint64_t size);
  bool next_wide(unsigned char lead, Item& item);
  bool next_number(unsigned char lead, Item& item);
  bool skip_any(std::size_t depth);

  std::string_view rest_;
  std::size_t all_bytes_;
  Sqlstate code_;
  const char* problem_ = nullptr;
};

// Appends to a string that it does not own.
class MessagePackWriter {
 public:
  explicit MessagePackWriter(std::string& out) : out_(out) {}

  void null() { out_ += '\xC0'; }
  void boolean(bool value) { out_ += value ? '\xC3' : '\xC2'; }
  void integer(std::int64_t value);
  void float64(double value);
  void text(std::string_view value);  // REQUIRES valid UTF-8
  // For people's eyes: what is not valid UTF-8 becomes U+FFFD.
  void display_text(std::string_view value);
  void bytes(std::string_view value);
  void array(std::size_t count);
  void map(std::size_t pairs);
  // A text that is not valid UTF-8 is written as bytes.
  void value(const ValueView& value);
  void raw(std::string_view encoded) { out_ += encoded; }

  // An array head of fixed size, to be counted later. Answers its place.
  std::size_t open_array();
  void close_array(std::size_t place, std::uint32_t count) noexcept;

 private:
  void big_endian(char lead, std::uint64_t value, std::size_t bytes);
  void sized(std::string_view value, char lead_8, char lead_16, char lead_32);

  std::string& out_;
};

// How many bytes MessagePackWriter::value() may need at most.
std::size_t encoded_bytes_max(const ValueView& value) noexcept;

}  // namespace based::native
