// The WireStack of a client whose transaction is gone with its link, or with its turn.
//
// Its client may not know that more than the innermost is gone: each is a failed one until it is
// ended, so that nothing that was meant to be a part of one is run by itself.
#include <algorithm>

#include "backends/postgres/wire_stack.h"

namespace based::postgres {

void WireStack::lose() {
  take_behind();
  on_turn_ = guarded_ = false;
  if (levels_.empty() && !rules_.rooted) return;
  TransactionModes initial = outer_ ? outer_->modes : TransactionModes();
  if (!levels_.empty()) initial = levels_.front().initial;
  const std::size_t count = std::max<std::size_t>(levels_.size(), 1);
  levels_.assign(count, {.modes = initial, .initial = initial});
  guarded_ = rules_.rooted;
  failed_ = true;
  lost_ = count > 1;
}

bool WireStack::end_lost() {
  lose();
  if (!lost_) return false;
  levels_.pop_back();
  lost_ = in_nested();
  return true;
}

// What is around it is lost, too, and its client has yet to end that.
void WireStack::roll_back_lost(const Statement& statement) {
  if (statement.and_chain) return;
  levels_.pop_back();
  lost_ = in_nested();
}

}  // namespace based::postgres
