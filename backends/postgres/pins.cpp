#include "backends/postgres/pins.h"

#include <algorithm>

namespace based::postgres {
namespace {

constexpr std::size_t told_max = 3;

}  // namespace

std::string kept_for(std::span<const std::string> reasons) {
  std::string text = "Connections are kept by " + std::to_string(reasons.size()) +
                     (reasons.size() == 1 ? " session: " : " sessions: ");
  for (std::size_t i = 0; i < std::min(reasons.size(), told_max); ++i) {
    text += (i == 0 ? "" : "; ") + reasons[i];
  }
  return text + (reasons.size() > told_max ? "; ..." : ".");
}

Error too_many_pinned(std::string_view pool, std::string_view statement,
                      std::span<const std::string> reasons) {
  Error error = Error::make(sqlstate::too_many_connections,
                            "too many sessions keep a connection of " + std::string(pool))
                    .with_detail("This statement would leave state on its connection: " +
                                 std::string(statement.substr(0, 200)))
                    .with_hint(
                        "Raise max_pinned, or do without temporary objects, session locks and "
                        "holdable cursors.");
  if (!reasons.empty()) error.detail += "\n" + kept_for(reasons);
  return error;
}

}  // namespace based::postgres
