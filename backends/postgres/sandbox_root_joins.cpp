// Sessions of a sandbox that join the transaction of another while that one rests.
//
// The holder is parked: it gives the link up and keeps its transaction. Above a savepoint of its
// own each of the others then has a turn, as it would have one in the root. Before the parked one
// goes on, that savepoint goes and the link's settings are as they were. What has joined is gone
// when the parked one rolls back to what was before it: that is counted and said aloud.
#include <algorithm>
#include <utility>

#include "backends/postgres/sandbox_root.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/startup_settings.h"

namespace based::postgres {
namespace {

// One inside the other: each is a subtransaction of the server's at least.
constexpr std::size_t parked_max = 16;

std::string join_name(std::size_t depth) { return "_based_j" + std::to_string(depth); }

std::string kept_name(std::size_t depth, const char* what) {
  return joined_prefix + std::to_string(depth) + what;
}

}  // namespace

// The savepoint that a turn begins above.
std::string SandboxRoot::base_name() const {
  return parked_.empty() ? "_based_turn" : join_name(parked_.size());
}

// What undoes what was done above it. Outside of a sandbox nothing is below the outermost one.
std::string SandboxRoot::back_to_base() const {
  if (settings_.shared && parked_.empty()) return "ROLLBACK";
  return "ROLLBACK TO SAVEPOINT " + base_name();
}

bool SandboxRoot::is_parked(const LeaseWaiter& waiter) const {
  return std::ranges::any_of(parked_, [&](const Parked& one) { return one.waiter == &waiter; });
}

// Where the link is idle.
bool SandboxRoot::may_go_on(const LeaseWaiter& waiter) const {
  if (parked_.empty() || parked_.back().waiter == &waiter) return true;
  return may_join(waiter, *parked_.back().waiter);
}

// Inside of the other's transaction.
bool SandboxRoot::may_join(const LeaseWaiter& waiter, const LeaseWaiter& other) const {
  if (!waiter.joins() || is_parked(waiter)) return false;
  return settings_.joins || (waiter.group() != 0 && waiter.group() == other.group());
}

LeaseWaiter* SandboxRoot::outer() const {
  LeaseWaiter* other = parked_.empty() ? nullptr : parked_.back().waiter;
  if (holder_ == nullptr || other == nullptr || holder_->group() == 0) return nullptr;
  return holder_->group() == other->group() ? other : nullptr;
}

void SandboxRoot::note_rest() {
  if (!waiters_.empty()) lend_->arm(reactor_.now());
}

void SandboxRoot::note_begun(LeaseWaiter& waiter, bool has) {
  if (!settings_.joins && waiter.group() == 0) return;
  const auto found = std::ranges::find(begun_, &waiter);
  const bool had = found != begun_.end();
  if (has && !had) begun_.push_back(&waiter);
  if (had && !has) begun_.erase(found);
  if ((has || had) && !waiters_.empty()) operate_->arm(reactor_.now());
}

// Who is to enter what it has begun before this one has its turn; null: nobody. Those outside of
// the innermost transaction wait for its end in any case.
LeaseWaiter* SandboxRoot::begun_before(const LeaseWaiter& waiter) const {
  const LeaseWaiter* innermost = parked_.empty() ? nullptr : parked_.back().waiter;
  for (LeaseWaiter* one : begun_) {
    if (one == &waiter) return nullptr;
    if (may_join(waiter, *one) && (one == innermost || !is_parked(*one))) return one;
  }
  return nullptr;
}

// REQUIRES that the link is idle.
void SandboxRoot::enter_begun() {
  if (!parked_.empty() && parked_.back().waiter == nullptr) return;  // it is rolled back first
  for (const Waiter& waits : waiters_) {
    if (!may_go_on(*waits.waiter)) continue;
    if (LeaseWaiter* first = begun_before(*waits.waiter)) return first->on_enter_due();
  }
}

bool SandboxRoot::may_park() const {
  return parked_.size() < parked_max && link_->quiet() && holder_->rests_since() &&
         link_->status() == 'T' && std::ranges::any_of(waiters_, [this](const Waiter& w) {
           return may_join(*w.waiter, *holder_);
         });
}

// From the loop: the holder may be at rest, and others wait.
void SandboxRoot::on_lend() {
  if (link_ && link_->state() == LinkState::idle) return enter_begun();
  if (holder() == nullptr) return;
  if (waiters_.empty() || !operations_.empty() || !holder_->in_transaction()) return;
  if (settings_.refuses) refuse_strangers();
  if (holder() == nullptr || !may_park()) return;
  LeaseWaiter& holder = *holder_;
  if (std::ranges::find(begun_, &holder) != begun_.end()) return holder.on_enter_due();
  parked_.push_back({.waiter = &holder,
                     .held_since = held_since_,
                     .since = link_->ready_at(),
                     .settings = link_->settings(),
                     .joined = std::exchange(joined_, {})});
  between_ = joining();
  join_open_ = true;
  holder.on_parked();
}

// Is somebody in a transaction that it may not join?
bool SandboxRoot::is_held_against(const LeaseWaiter& waiter) const {
  const LeaseWaiter* other = holder();
  if (other == nullptr || !other->in_transaction()) {
    other = parked_.empty() ? nullptr : parked_.back().waiter;
  }
  return other != nullptr && !is_parked(waiter) && !may_join(waiter, *other);
}

void SandboxRoot::refuse_strangers() {
  const Error reason = held_error();
  const std::uint64_t last = waits_;
  for (;;) {
    const auto found = std::ranges::find_if(
        waiters_, [&](const Waiter& w) { return w.number <= last && is_held_against(*w.waiter); });
    if (found == waiters_.end()) return;
    LeaseWaiter* waiter = found->waiter;
    waiters_.erase(found);
    waiter->on_lease_refused(reason);
  }
}

Error SandboxRoot::held_error() const {
  return Error::make(sqlstate::lock_not_available, what() + " is in another session's transaction")
      .with_detail(holder_text())
      .with_hint(
          "With turns = \"wait\" a session waits for its turn, with \"join\" it joins a "
          "transaction that rests.")
      .as_retryable();
}

// REQUIRES that the link is idle.
void SandboxRoot::run_between(std::vector<std::string> texts) {
  between_ = std::move(texts);
  if (!link_->lease(operator_)) return between_.clear();  // it closes soon
  link_->release(Leaving::finished);
}

// In front of the turns that join whoever was parked last.
std::vector<std::string> SandboxRoot::joining() const {
  std::vector<std::string> texts;
  const std::string name = kept_name(parked_.size(), joined_settings);
  if (std::string text = parked_.back().settings.keeping(name); !text.empty()) {
    texts.push_back(std::move(text));
  }
  if (!settings_.shared) texts.push_back(since(true));
  texts.push_back("SAVEPOINT " + base_name());
  return texts;
}

// Cursors that are older than what joins now are not its own: sandbox_rules.cpp asks for that.
std::string SandboxRoot::since(bool joined) const {
  const std::string kept = quote_literal(kept_name(parked_.size(), joined_since));
  const auto set = [](const std::string& name, const std::string& value) {
    return "pg_catalog.set_config(" + name + ", " + value + ", true)";
  };
  const auto of = [](const std::string& name) {
    return "COALESCE(pg_catalog.current_setting(" + name + ", true), '')";
  };
  if (!joined) return "SELECT " + set("'_based.since'", of(kept));
  return "SELECT " + set(kept, of("'_based.since'")) + ", " +
         set("'_based.since'",
             "extract(epoch FROM pg_catalog.statement_timestamp())::pg_catalog.text");
}

void SandboxRoot::open_join() {
  join_open_ = true;
  run_between(joining());
}

// The parked one goes on.
void SandboxRoot::close_join() {
  join_open_ = false;
  std::vector<std::string> texts{"RELEASE SAVEPOINT " + base_name()};
  if (!settings_.shared) texts.push_back(since(false));
  const std::string kept = kept_name(parked_.size(), joined_settings);
  for (std::string& text : link_->settings().back_to(parked_.back().settings, kept)) {
    texts.push_back(std::move(text));
  }
  run_between(std::move(texts));
  if (link_) link_->settings() = parked_.back().settings;
}

// It has the link again.
void SandboxRoot::unpark() {
  held_since_ = parked_.back().held_since;
  joined_ = std::move(parked_.back().joined);
  parked_.pop_back();
  join_open_ = true;
}

// Between two turns that join the same transaction.
Chore SandboxRoot::next_join(bool abandoned) const {
  if (abandoned) return {.texts = {back_to_base()}};
  return {.texts = {"RELEASE SAVEPOINT " + base_name(), "SAVEPOINT " + base_name()}};
}

void SandboxRoot::abandon(LeaseWaiter& waiter) {
  for (Parked& one : parked_) {
    if (one.waiter == &waiter) one.waiter = nullptr;
  }
  operate_->arm(reactor_.now());
}

// Whoever was parked there is gone, and so is what has joined it.
void SandboxRoot::roll_back_parked() {
  const Parked gone = std::move(parked_.back());
  parked_.pop_back();
  join_open_ = true;
  note_lost(gone.joined.count, "a session that is gone");
  run_between({back_to_base()});
  if (!link_) return;
  link_->settings() = gone.settings;
  link_->settings().rolled_back();
}

// Everybody's transaction is taken away, by a reset or with the link.
void SandboxRoot::revoke_parked(const Error& reason) {
  join_open_ = false;
  between_.clear();
  joined_ = {};
  for (const std::vector<Parked> all = std::exchange(parked_, {}); const Parked& one : all) {
    if (one.waiter == nullptr) continue;
    withdraw(*one.waiter);
    one.waiter->on_lease_revoked(reason);
  }
}

// Of a turn; with what has joined it.
void SandboxRoot::end_turn(bool abandoned) {
  const Joined ended = std::exchange(joined_, {});
  if (abandoned) return note_lost(ended.count, "a session that has left it");
  if (!parked_.empty()) parked_.back().joined.count += ended.count;
}

void SandboxRoot::note_savepoint(const Statement& step) {
  if (!settings_.joins) return;
  auto& savepoints = joined_.savepoints;
  if (step.kind == StatementKind::savepoint || step.kind == StatementKind::begin) {
    savepoints.add(step.name, joined_.count);
    return;
  }
  const std::uint64_t* found = savepoints.find(step.name);
  if (found == nullptr) return;
  if (step.kind != StatementKind::rollback_to) return savepoints.release(step.name);
  const std::uint64_t before = *found;
  savepoints.go_back_to(step.name);
  note_lost(std::exchange(joined_.count, before) - before,
            holder_ == nullptr ? "a session" : holder_->describe());
}

void SandboxRoot::note_lost(std::uint64_t count, const std::string& whose) {
  if (count == 0) return;
  joins_lost_ += count;
  log_.write(LogLevel::warning, name_in_log() + ": " + std::to_string(count) +
                                    (count == 1 ? " turn that had joined a transaction was"
                                                : " turns that had joined a transaction were") +
                                    " rolled back with it, by " + whose);
}

}  // namespace based::postgres
