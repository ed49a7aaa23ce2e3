// Pins: the sessions of one pool that keep their link between two units, because the state they
// have on it cannot be moved: temporary objects, session locks and the like. Loop thread only.
#pragma once

#include <cstddef>
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

// 53300: what a session is told whose statement would pin one too many.
inline Error too_many_pinned(std::string_view pool, std::string_view statement) {
  return Error::make(sqlstate::too_many_connections,
                     "too many sessions keep a connection of " + std::string(pool))
      .with_detail("This statement would leave state on its connection: " +
                   std::string(statement.substr(0, 200)))
      .with_hint(
          "Raise max_pinned, or do without temporary objects, session locks and holdable "
          "cursors.");
}

}  // namespace based::postgres
