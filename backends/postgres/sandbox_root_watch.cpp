// What a root does to others, and others to it.
//
// A sandbox's statement that runs for long may wait for a lock of another sandbox, whose root does
// not end by itself: it is asked for whom, so that the lock_timeout's error can say it.
#include <utility>

#include "backends/postgres/sandbox_root.h"

namespace based::postgres {
namespace {

constexpr Duration looked_at_after = std::chrono::seconds(1);
constexpr Duration looked_at_every = std::chrono::milliseconds(1500);

}  // namespace

void SandboxRoot::note_tag(std::string_view tag) {
  if (settings_.shared) return;
  subtransactions_.note(tag);
  if (!subtransactions_.overflowed() || std::exchange(overflow_told_, true)) return;
  log_.write(LogLevel::warning, "sandbox " + settings_.name + ": " + warnings().front() +
                                    ", told once for this connection");
}

void SandboxRoot::note_locked(std::uint64_t count, std::string names) {
  if (exclusive_locks_ == 0) count = 0;  // the root that was asked for is gone
  if (count == 0) names.clear();
  locked_ = count;
  if (locked_tables_ == names) return;
  locked_tables_ = std::move(names);
  if (locked_ > 0) {
    log_.write(LogLevel::warning, "sandbox " + settings_.name + ": " + warnings().back());
  }
}

// For people.
std::vector<std::string> SandboxRoot::warnings() const {
  std::vector<std::string> warnings;
  if (subtransactions_.overflowed()) {
    warnings.push_back("more than " + std::to_string(subtransactions_at_hand) +
                       " subtransactions have written: until a reset they are looked up one by "
                       "one by whoever meets their rows");
  }
  if (locked_ > 0) {
    warnings.push_back("nobody else can use " + locked_tables_ +
                       " until a reset (AccessExclusiveLock)");
  }
  return warnings;
}

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
