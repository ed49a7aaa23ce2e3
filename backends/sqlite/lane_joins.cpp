// The part of the lane that lets sessions join the transaction of another while that one rests.
//
// The one that rests is parked: it keeps its transaction, and the handle is another's of its group,
// whose own transaction is a savepoint there and may be parked in turn. Only the innermost goes on,
// and when it has ended, the one around it holds the lane again. What ends a transaction ends those
// inside of it.
#include <algorithm>
#include <iterator>
#include <utility>

#include "backends/sqlite/lane.h"
#include "protocol/check.h"

namespace based::sqlite {
namespace {

// One inside the other.
constexpr std::size_t parked_max = 16;
constexpr TimePoint never = TimePoint::max();

}  // namespace

Error Lane::outer_ended_error() {
  return Error::make(sqlstate::serialization_failure,
                     "the transaction that this one had joined has ended")
      .with_detail("What this one did is gone with it.")
      .with_scope(ErrorScope::transaction);
}

bool Lane::is_parked(const LaneClient& client) const {
  return std::ranges::any_of(parked_, [&](const Holder& one) { return one.client == &client; });
}

// Of another group than this holder is, or of none?
bool Lane::is_stranger(const LaneClient& client, const Holder& holder) const {
  if (!client.joins()) return true;
  if (options_.turns == TurnMode::join) return false;
  return holder.group == 0 || client.options().group != holder.group;
}

bool Lane::may_join(const LaneClient& client, const Holder& holder) const {
  return holder.rests && !is_stranger(client, holder) && parked_.size() < parked_max &&
         !is_parked(client);
}

bool Lane::joins(const LaneClient& client, const LaneClient& other) const {
  if (!client.joins()) return false;
  const std::uint64_t group = client.options().group;
  return options_.turns == TurnMode::join || (group != 0 && group == other.options().group);
}

// Those of its group that have begun before this one are in front of it, or it is inside already.
void Lane::enter_before(const LaneClient& client) {
  std::vector<LaneClient*> before;
  const auto here = std::ranges::find(begun_, &client);
  const bool inside = is_parked(client) || (holder_.leased && holder_.client == &client);
  const bool ends = !holder_.leased && !parked_.empty();  // what runs is inside of the last of them
  std::copy_if(begun_.begin(), here, std::back_inserter(before), [&](const LaneClient* one) {
    if (inside || !joins(client, *one)) return false;
    return !is_parked(*one) || (ends && parked_.back().client == one);
  });
  if (here != begun_.end()) begun_.erase(here);
  for (LaneClient* one : before) one->enter();
}

void Lane::rest(LaneClient& client, Resting how) {
  const bool begun = std::ranges::find(begun_, &client) != begun_.end();
  if (how != Resting::pending) std::erase(begun_, &client);
  if (how == Resting::pending && !begun) begun_.push_back(&client);
  if (how == Resting::none) return;
  const bool sound = how != Resting::failed;
  for (Holder& one : parked_) {
    if (one.client == &client) one.rests = sound && one.open;
  }
  if (holder_.client != &client || !holder_.leased) return;
  holder_.rests = sound && holder_.open;
  if (state_ == LaneState::leased) serve();
}

// REQUIRES that the holder rests: the first of those that wait and may go on does. False: nobody.
bool Lane::serve() {
  const auto next = std::ranges::find_if(waiters_, [this](const auto& entry) {
    const LaneClient& client = *entry.second.client;
    return holder_.client == &client || may_join(client, holder_);
  });
  if (next == waiters_.end()) return false;
  LaneClient& client = *next->second.client;
  erase_waiter(next);
  if (holder_.client != &client) park();
  begin(client);
  return true;
}

void Lane::park() {
  parked_.push_back(std::move(holder_));
  ++parked_.back().joined.count;
  holder_ = Holder{};
}

// The one around what has ended holds the lane again.
void Lane::unpark(std::string_view reason) {
  holder_ = std::move(parked_.back());
  parked_.pop_back();
  transition(LaneState::leased, reason);
}

// The outermost of those whose lease is to be taken away, or who have gone.
std::optional<std::size_t> Lane::first_ended() const {
  const auto is_ended = [](const Holder& one) { return one.client == nullptr || one.ending; };
  const auto found = std::ranges::find_if(parked_, is_ended);
  if (found != parked_.end()) return static_cast<std::size_t>(found - parked_.begin());
  return is_ended(holder_) ? std::optional(parked_.size()) : std::nullopt;
}

// The holder rests.
void Lane::go_on() {
  if (const auto ended = first_ended()) return end_from(*ended, "a transaction around it ended");
  if (serve()) return;
  refuse_strangers();
  arm();
}

// A unit inside of another session's transaction.
void Lane::finished_inside(const UnitOutcome& outcome) {
  if (outcome.transaction == TransactionStatus::lost) {
    auto reason = outer_ended_error();
    reason.message = "SQLite has rolled back the transaction";
    if (outcome.error)
      reason.detail = "by a statement that had joined it: " + outcome.error->message;
    transition(LaneState::idle, "transaction lost");
    const auto ended = take_from(0);
    note_lost(joined_in(ended), "a session inside of it");
    lose_all(ended, reason);
    return next();
  }
  if (!resets_.empty()) return start_reset();
  if (holder_.leased) {
    transition(LaneState::leased, "transaction open");
  } else {
    parked_.back().joined.count += holder_.joined.count;
    unpark("the one inside of it has ended");
  }
  go_on();
}

// False: it is not parked.
bool Lane::abandon_parked(const LaneClient& client) {
  const auto found =
      std::ranges::find_if(parked_, [&](const Holder& one) { return one.client == &client; });
  if (found == parked_.end()) return false;
  found->client = nullptr;
  // What runs inside of it ends first.
  if (state_ == LaneState::leased) go_on();
  return true;
}

// Those from this place on let go, the holder last; the first of them is still named by the lane.
std::vector<Lane::Holder> Lane::take_from(std::size_t index) {
  const auto first = parked_.begin() + static_cast<std::ptrdiff_t>(index);
  std::vector<Holder> taken(std::make_move_iterator(first), std::make_move_iterator(parked_.end()));
  parked_.erase(first, parked_.end());
  if (holder_.leased) taken.push_back(std::move(holder_));
  if (!taken.empty()) holder_ = taken.front();
  holder_.client = nullptr;
  holder_.leased = false;
  return taken;
}

void Lane::lose_all(std::vector<Holder> holders, const Error& reason) {
  for (const Holder& one : holders) {
    if (one.client == nullptr) continue;
    withdraw(*one.client);
    one.client->lose_lease(one.ending ? *one.ending : reason);
  }
}

// --- in a sandbox whose turns are not waited for

Error Lane::held_error() const {
  return Error::make(sqlstate::lock_not_available,
                     "the sandbox of " + options_.name + " is in another session's transaction")
      .with_detail(describe_holder())
      .with_hint(
          "With turns = \"wait\" a session waits for its turn, with \"join\" it joins a "
          "transaction that rests.")
      .as_retryable();
}

// REQUIRES that the holder rests.
void Lane::refuse_strangers() {
  if (options_.turns != TurnMode::error || waiters_.empty()) return;
  const Error reason = held_error();
  for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
    const auto here = waiter++;
    LaneClient& client = *here->second.client;
    if (holder_.client == &client || is_parked(client) || !is_stranger(client, holder_)) continue;
    erase_waiter(here);
    client.refuse(reason);
  }
}

// Near enough where the prologue itself has failed: what it opened is gone again.
void Lane::note_joined(const UnitOutcome& outcome) {
  const Envelope& envelope = holder_.job->unit().envelope;
  if (outcome.error && outcome.phase == UnitPhase::prologue) return;
  for (const StatementRef& control : envelope.prologue) note_savepoint(*control);
  const auto& ending = outcome.error ? envelope.recovery : envelope.epilogue;
  for (const StatementRef& control : ending) note_savepoint(*control);
}

void Lane::note_savepoint(const Statement& control) {
  Joined& joined = holder_.joined;
  if (control.kind == StatementKind::savepoint || control.kind == StatementKind::begin) {
    joined.savepoints.emplace_back(control.name, joined.count);
    return;
  }
  const auto found = std::ranges::find(joined.savepoints.rbegin(), joined.savepoints.rend(),
                                       control.name, &std::pair<std::string, std::uint64_t>::first);
  if (found == joined.savepoints.rend()) return;
  const std::uint64_t before = found->second;
  // The outermost has no name, and is rolled back by ROLLBACK.
  const bool whole = control.kind == StatementKind::rollback && control.name.empty();
  const bool stays = control.kind == StatementKind::rollback_to;
  joined.savepoints.erase(stays ? found.base() : std::prev(found.base()), joined.savepoints.end());
  if (!whole && !stays) return;
  note_lost(std::exchange(joined.count, before) - before,
            "session " + std::to_string(holder_.session_id));
}

std::uint64_t Lane::joined_in(const std::vector<Holder>& holders) {
  std::uint64_t count = 0;
  for (const Holder& one : holders) count += one.joined.count;
  return count;
}

void Lane::note_lost(std::uint64_t count, const std::string& whose) {
  if (count == 0 || options_.turns != TurnMode::join) return;
  joins_lost_ += count;
  log_.write(LogLevel::warning, "sandbox " + options_.name + ": " + std::to_string(count) +
                                    (count == 1 ? " turn that had joined a transaction was"
                                                : " turns that had joined a transaction were") +
                                    " rolled back with it, by " + whose);
}

// As lease_due(), but who may join it does not wait for its end.
TimePoint Lane::parked_due(const Holder& holder) const {
  if (holder.client == nullptr || holder.ending) return never;
  auto due = holder.idle_since + std::max(holder.idle_limit, options_.idle_in_transaction_cap);
  if (options_.transaction_max > Duration{}) {
    due = std::min(due, holder.lease_began + options_.transaction_max);
  }
  const bool wanted = std::ranges::any_of(
      waiters_, [&](const auto& entry) { return is_stranger(*entry.second.client, holder); });
  return wanted ? std::min(due, holder.idle_since + holder.idle_limit) : due;
}

TimePoint Lane::parked_due() const {
  auto due = never;
  for (const Holder& one : parked_) due = std::min(due, parked_due(one));
  return due;
}

void Lane::end_overdue_parked(TimePoint now) {
  bool ends = false;
  for (Holder& one : parked_) {
    if (parked_due(one) > now) continue;
    ends = true;
    const bool too_long =
        options_.transaction_max > Duration{} && one.lease_began + options_.transaction_max <= now;
    take_lease(one,
               too_long ? "the transaction has reached the time limit"
                        : "the transaction was idle for too long",
               waiters_.empty() ? "" : others_wait());
  }
  if (ends && state_ == LaneState::leased) go_on();
}

}  // namespace based::sqlite
