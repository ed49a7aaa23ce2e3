// Log: where a line for the operator goes. The daemon decides the form (text, journal) and the
// least level.
//
// Any thread. One call is one line: control characters are escaped, a line over 8 KiB is cut. Never
// a password, and never a parameter's value.
#pragma once

#include <cstdint>
#include <string_view>

namespace based {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

class Log {
 public:
  virtual ~Log() = default;
  virtual bool enabled(LogLevel level) const = 0;
  // `message` begins with its area: "pool app/alice: link 7 closed, lifetime reached".
  virtual void write(LogLevel level, std::string_view message) = 0;
};

}  // namespace based
