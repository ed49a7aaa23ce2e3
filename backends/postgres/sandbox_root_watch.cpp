// A sandbox's statement that runs for long may wait for a lock of another sandbox, whose root does
// not end by itself: it is asked for whom, so that the lock_timeout's error can say it.
#include <utility>

#include "backends/postgres/sandbox_root.h"

namespace based::postgres {
namespace {

constexpr Duration looked_at_after = std::chrono::seconds(1);
constexpr Duration looked_at_every = std::chrono::milliseconds(1500);

}  // namespace

void SandboxRoot::watch_statement() {
  statement_at_ = reactor_.now();
  blocker_.clear();
  unblocked_ = false;
  if (!settings_.ask_blocker || watching_) return;
  watching_ = true;
  watch_->arm(statement_at_ + looked_at_after);
}

void SandboxRoot::on_watch() {
  const bool runs = holder() != nullptr && !link_->quiet();
  if (!runs) {
    watching_ = false;
    return settings_.ask_blocker(0);
  }
  const TimePoint due = statement_at_ + looked_at_after;
  if (reactor_.now() < due) return watch_->arm(due);
  settings_.ask_blocker(link_->process_id());
  watch_->arm(reactor_.now() + looked_at_every);
}

void SandboxRoot::note_blocker(std::string blocker) {
  const bool runs = holder() != nullptr && !link_->quiet();
  if (!runs) return;
  // Nobody: the wait has ended, in vain, too, and then its error is still on its way here.
  const bool over = std::exchange(unblocked_, blocker.empty());
  if (blocker == blocker_ || (blocker.empty() && !over)) return;
  blocker_ = std::move(blocker);
  if (blocker_.empty()) return;
  log_.write(LogLevel::warning,
             "sandbox " + settings_.name + ": " + holder_->describe() + " waits for " + blocker_);
}

}  // namespace based::postgres
