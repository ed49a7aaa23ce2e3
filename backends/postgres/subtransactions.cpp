#include "backends/postgres/subtransactions.h"

#include <algorithm>
#include <array>

namespace based::postgres {
namespace {

// By the first word. What is not here may write, and all that tells how many rows it has written
// has, where these are some.
constexpr std::array<std::string_view, 25> readers{
    "ANALYZE", "BEGIN",  "CHECKPOINT", "CLOSE",    "COMMIT", "DEALLOCATE", "DECLARE",
    "DISCARD", "DO",     "EXPLAIN",    "FETCH",    "LISTEN", "LOAD",       "LOCK",
    "MOVE",    "NOTIFY", "PREPARE",    "RELEASE",  "RESET",  "ROLLBACK",   "SAVEPOINT",
    "SELECT",  "SET",    "SHOW",       "UNLISTEN",
};

bool has_written(std::string_view tag) {
  const std::string_view word = tag.substr(0, tag.find(' '));
  return !tag.ends_with(" 0") && std::ranges::find(readers, word) == readers.end();
}

}  // namespace

void Subtransactions::note(std::string_view tag) {
  if (tag == "BEGIN") {
    *this = Subtransactions();
  } else if (tag == "SAVEPOINT") {
    ++without_;
  } else if (tag == "RELEASE") {
    without_ -= without_ > 0 ? 1 : 0;
  } else if (tag == "ROLLBACK") {
    without_ = std::max<std::uint64_t>(without_, 1);  // the savepoint is made again
  } else if (without_ > 0 && has_written(tag)) {
    count_ += without_;
    without_ = 0;
    overflowed_ = overflowed_ || count_ > subtransactions_at_hand;
  }
}

void Subtransactions::bound(std::uint64_t open) { without_ = std::min(without_, open); }

}  // namespace based::postgres
