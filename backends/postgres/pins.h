// Pins: the sessions of one pool that keep their link between two units, because the state they
// have on it cannot be moved: temporary objects, session locks and the like. Loop thread only.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "backends/reactor.h"
#include "protocol/result.h"

namespace based::postgres {

struct Pins {
  std::size_t most = 0;  // 0: no limit
  Duration idle{};       // how long one may be silent outside of a transaction; zero: no limit
  std::size_t count = 0;

  bool full() const { return most > 0 && count >= most; }
};

// "Kept are those of ...": some of the reasons why sessions keep their links.
std::string kept_for(std::span<const std::string> reasons);

// 53300: what a session is told whose statement would pin one too many.
Error too_many_pinned(std::string_view pool, std::string_view statement,
                      std::span<const std::string> reasons);

}  // namespace based::postgres
