// Parameters as they lie in a request's payload, walked into ValueViews without an allocation.
//
// The views are made by the decoders of messages.h only, which have checked every byte: walking
// cannot fail. They are valid as long as the payload. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "protocol/native/messagepack.h"
#include "protocol/value.h"

namespace based::native {

inline constexpr std::uint32_t parameters_max = 65'535;  // PostgreSQL counts them in 16 bits

// The parameters of one statement: none, by position, or by name.
class ParametersView {
 public:
  ParametersView() = default;

  std::uint32_t count() const { return count_; }
  bool named() const { return named_; }
  // As they were encoded: an array or a map of values; empty for none given.
  std::string_view encoded() const { return encoded_; }

  // Checks the next value of `reader` and takes it: nil, an array of values or a map of them by
  // name. Names are texts, not empty, each once. 08P01, 22023, 54000.
  static bool read(MessagePackReader& reader, ParametersView& parameters);

 private:
  std::string_view encoded_;
  std::uint32_t count_ = 0;
  bool named_ = false;
};

class ParameterCursor {
 public:
  explicit ParameterCursor(const ParametersView& parameters);
  // False at the end. `name` stays empty for parameters by position; it has no leading ':'.
  bool next(std::string_view& name, ValueView& value);

 private:
  MessagePackReader reader_;
  std::uint32_t left_;
  bool named_;
};

// What a batch item runs its statement with, one after another.
class ParameterSetsView {
 public:
  std::uint32_t count() const { return count_; }
  std::string_view encoded() const { return encoded_; }

  // An array of what ParametersView::read() takes.
  static bool read(MessagePackReader& reader, ParameterSetsView& sets);

 private:
  std::string_view encoded_;
  std::uint32_t count_ = 0;
};

class ParameterSetCursor {
 public:
  explicit ParameterSetCursor(const ParameterSetsView& sets);
  bool next(ParametersView& parameters);

 private:
  MessagePackReader reader_;
  std::uint32_t left_;
};

// The value of one scalar item. REQUIRES that it is neither array nor map.
ValueView value_of(const Item& item);

}  // namespace based::native
