// Helpers of the message codecs: the elements of a payload, and maps of options by table.
//
// Private to protocol/native. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/native/messagepack.h"

namespace based::native {

// One key of an option map, and how its value is read into a T.
template <typename T>
struct Option {
  std::string_view key;
  bool (*read)(MessagePackReader& reader, T& into);
};

// A map of options. A nil value is an option that was not given; an unknown key is skipped;
// `failed` is the key whose value was refused.
template <typename T, std::size_t count>
bool read_options(MessagePackReader& reader, const std::array<Option<T>, count>& table, T& into,
                  std::string_view& failed) {
  static_assert(count < 64);
  std::uint32_t pairs = 0;
  std::uint64_t seen = 0;
  if (!reader.read_map(pairs)) return false;
  for (std::uint32_t i = 0; i < pairs; ++i) {
    std::string_view key;
    if (!reader.read_text(key)) return false;
    std::size_t row = 0;
    while (row < count && table[row].key != key) ++row;
    if (row == count) {
      if (!reader.skip()) return false;
      continue;
    }
    failed = table[row].key;
    if ((seen >> row & 1) != 0) {
      return reader.fail(sqlstate::invalid_parameter_value, "it is given twice");
    }
    seen |= std::uint64_t{1} << row;
    if (reader.take_null()) continue;
    if (!table[row].read(reader, into)) return false;
  }
  if (!reader.failed()) failed = {};
  return true;
}

// A payload is one array. Elements may be absent or nil at its end; those behind what this version
// knows are skipped, so that a later one can add some.
class PayloadReader {
 public:
  PayloadReader(std::string_view message, std::string_view payload, std::uint32_t least_elements)
      : reader_(payload), message_(message) {
    if (reader_.read_array(left_) && left_ < least_elements) {
      reader_.fail(sqlstate::protocol_violation, "the payload has too few elements");
    }
  }

  MessagePackReader& reader() { return reader_; }
  bool failed() const { return reader_.failed(); }

  // A required element is next.
  MessagePackReader& required() {
    if (left_ == 0) {
      reader_.fail(sqlstate::protocol_violation, "the payload has too few elements");
    } else {
      --left_;
    }
    return reader_;
  }
  // Is an element next that is not nil?
  bool optional() {
    if (failed() || left_ == 0) return false;
    --left_;
    return !reader_.take_null();
  }
  // Skips the rest; nothing may follow the array.
  bool end() {
    for (; left_ > 0 && !failed(); --left_) reader_.skip();
    if (!failed() && !reader_.at_end()) {
      reader_.fail(sqlstate::protocol_violation, "bytes follow the payload");
    }
    return !failed();
  }

  // The option map that is next, as read_options().
  template <typename T, std::size_t count>
  bool options(const std::array<Option<T>, count>& table, T& into) {
    return read_options(reader_, table, into, key_);
  }

  // REQUIRES failed().
  Error error() const {
    std::string where(message_);
    if (!key_.empty()) where.append(": option ").append(key_);
    return reader_.error(where);
  }

 private:
  MessagePackReader reader_;
  std::string_view message_;
  std::string_view key_;
  std::uint32_t left_ = 0;
};

// Texts that stand for enumerators.
template <typename Enum>
struct Word {
  Enum value;
  std::string_view text;
};

template <typename Enum, std::size_t count>
bool read_word(MessagePackReader& reader, const std::array<Word<Enum>, count>& words, Enum& value,
               const char* problem) {
  std::string_view text;
  if (!reader.read_text(text)) return false;
  for (const auto& word : words) {
    if (word.text == text) return value = word.value, true;
  }
  return reader.fail(sqlstate::invalid_parameter_value, problem);
}

template <typename Enum, std::size_t count>
std::string_view word_of(const std::array<Word<Enum>, count>& words, Enum value) noexcept {
  for (const auto& word : words) {
    if (word.value == value) return word.text;
  }
  return {};
}

// Writes a map whose number of pairs is known when it ends: at most 15, so that the head is a byte.
class SmallMapWriter {
 public:
  explicit SmallMapWriter(std::string& out) : out_(out), writer_(out), place_(out.size()) {
    writer_.map(0);
  }
  SmallMapWriter(const SmallMapWriter&) = delete;
  SmallMapWriter& operator=(const SmallMapWriter&) = delete;

  MessagePackWriter& key(std::string_view name) {
    INVARIANT(++pairs_ <= 15);
    out_[place_] = static_cast<char>(0x80 | pairs_);
    writer_.text(name);
    return writer_;
  }

 private:
  std::string& out_;
  MessagePackWriter writer_;
  std::size_t place_;
  unsigned pairs_ = 0;
};

}  // namespace based::native
