// When a server that could not be reached is tried again.
#pragma once

#include <algorithm>
#include <chrono>

#include "backends/reactor.h"

namespace based::postgres {

// The pause after an attempt that failed; `failures` came before it in a row.
inline Duration retry_pause(unsigned failures) {
  const Duration first = std::chrono::milliseconds(100);
  const Duration most = std::chrono::seconds(10);
  return std::min(first * (1u << std::min(failures, 10u)), most);
}

}  // namespace based::postgres
