#include "backends/postgres/pool.h"

#include <algorithm>
#include <utility>

#include "backends/postgres/retry.h"
#include "backends/postgres/server_error.h"
#include "protocol/check.h"

namespace based::postgres {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// How long a refusal that cannot be helped is answered from memory.
constexpr Duration refusal_kept = seconds(1);

std::uint64_t in_ms(Duration duration) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(duration).count());
}

}  // namespace

Pool::Pool(PoolSettings settings, Opener& opener, TypeCatalogue& types, Reactor& reactor, Log& log)
    : settings_(std::move(settings)),
      opener_(opener),
      types_(types),
      reactor_(reactor),
      log_(log),
      random_(settings_.seed) {
  waiters_due_ = reactor_.make_timer([this] { on_waiters_due(); });
  retry_ = reactor_.make_timer([this] { grow(); });
  rest_ = reactor_.make_timer([this] { on_rest_due(); });
  burial_ = reactor_.make_timer([this] { graveyard_.clear(); });
  if (settings_.budget != nullptr) settings_.budget->join(*this);
}

Pool::~Pool() {
  INVARIANT(waiters_.empty());
  if (settings_.budget == nullptr) return;
  settings_.budget->leave(*this);
  for (std::size_t left = links(); left > 0; --left) settings_.budget->give_back();
}

// --- leases

std::optional<Error> Pool::acquire(LeaseWaiter& waiter, TimePoint deadline) {
  ++counters_.requests_num;
  if (stopped_) {
    ++counters_.requests_errors;
    return Error::make(sqlstate::admin_shutdown, "the pool is shutting down");
  }
  if (waiters_.empty() && serve(waiter)) return std::nullopt;
  const bool too_many = settings_.max_waiting > 0 && waiters_.size() >= settings_.max_waiting;
  if (too_many) {
    ++counters_.requests_errors;
    return Error::make(sqlstate::too_many_connections,
                       "too many requests wait for a connection of " + settings_.name)
        .with_detail(std::to_string(waiters_.size()) + " wait already (max_waiting).")
        .as_retryable();
  }
  if (attempt_logins_ != logins_changed()) retry_at_ = {};  // it may not be refused any more
  // Between two attempts; otherwise the next one, which this request causes, decides.
  const bool hopeless = last_failure_ && (is_permanent(*last_failure_) || has_given_up());
  if (!is_up() && hopeless && reactor_.now() < retry_at_) {
    ++counters_.requests_errors;
    return away_error();
  }
  ++counters_.requests_queued;
  waiters_.push_back({&waiter, ++waits_, reactor_.now(), deadline});
  // Those who were served or gave up leave the timer as it is: it then finds nobody.
  if (deadline < waiters_due_at_) {
    waiters_due_at_ = deadline;
    waiters_due_->arm(deadline);
  }
  grow();
  return std::nullopt;
}

// Gives the waiter an idle link; false: there is none.
bool Pool::serve(LeaseWaiter& waiter) {
  while (!idle_.empty()) {
    auto chosen = std::prev(idle_.end());
    for (auto link = idle_.rbegin(); link != idle_.rend(); ++link) {
      if (waiter.fits((*link)->settings())) {
        chosen = std::prev(link.base());
        break;
      }
    }
    Link& link = **chosen;
    idle_.erase(chosen);
    const TimePoint now = reactor_.now();
    Slot& slot = slot_of(link);
    if (now >= slot.expires) {
      retire(slot, "lifetime reached");
    } else if (slot.logins_changed < waiter.logins_changed()) {
      retire(slot, "a role, or what logins are given, has changed since");
    } else if (settings_.check_interval > Duration::zero() &&
               now - link.idle_since() >= settings_.check_interval) {
      link.check();
    } else if (link.lease(waiter.holder())) {
      slot.leased_at = now;
      waiter.on_lease(link);
      return true;
    }
  }
  return false;
}

void Pool::withdraw(LeaseWaiter& waiter) {
  const auto found = std::ranges::find(waiters_, &waiter, &Waiter::waiter);
  if (found == waiters_.end()) return;
  ++counters_.requests_errors;
  counters_.requests_wait_ms += in_ms(reactor_.now() - found->since);
  waiters_.erase(found);
}

void Pool::on_link_idle(Link& link) {
  Slot& slot = slot_of(link);
  const bool opened = slot.expires == TimePoint();
  if (opened) {
    const Duration life = settings_.max_lifetime;
    slot.expires =
        life > Duration::zero() ? reactor_.now() + jittered(life, 0.95, 1.0) : TimePoint::max();
    counters_.connections_ms += in_ms(reactor_.now() - attempt_since_);
    if (failures_ > 0) log_.write(LogLevel::info, "pool " + settings_.name + ": connected again");
    failures_ = 0;
    failing_since_.reset();
    last_failure_.reset();
    retry_at_ = {};
  }
  slot.leased_at = {};
  if (stopped_) return retire(slot, "shutting down");
  if (reactor_.now() >= slot.expires) return retire(slot, "lifetime reached");
  if (!opened && settings_.budget != nullptr && settings_.budget->is_owed(*this)) {
    return retire(slot, "another user waits");
  }
  idle_.push_back(&link);
  hand_out();
  arm_rest();
  grow();
  if (settings_.budget != nullptr && !idle_.empty() && settings_.budget->is_owed(*this)) {
    close_idle();
  }
}

// The oldest waiter gets a link.
void Pool::hand_out() {
  while (!waiters_.empty() && !idle_.empty()) {
    const Waiter first = waiters_.front();
    waiters_.pop_front();
    if (!serve(*first.waiter)) {
      waiters_.push_front(first);
      return;
    }
    counters_.requests_wait_ms += in_ms(reactor_.now() - first.since);
  }
}

std::vector<Chore> Pool::cleaning_chores(Link& link) {
  Slot& slot = slot_of(link);
  if (slot.leased_at != TimePoint()) {
    counters_.usage_ms += in_ms(reactor_.now() - slot.leased_at);
    slot.leased_at = {};
  }
  std::vector<Chore> chores;
  if (link.status() != 'I') chores.push_back({.texts = {"ROLLBACK"}});
  if (slot.pinned) {
    slot.pinned = false;
    link.forget_statements();
    link.settings().all_reset();
    chores.push_back({.texts = {"DISCARD ALL"}});
  }
  if (types_.stale()) chores.push_back(types_.load());
  return chores;
}

void Pool::on_link_closed(Link& link, const Error& reason, bool was_started) {
  std::erase(idle_, &link);
  const auto slot =
      std::ranges::find_if(slots_, [&](const Slot& s) { return s.link.get() == &link; });
  const bool retired = slot->retired;
  if (slot->leased_at != TimePoint()) {
    counters_.usage_ms += in_ms(reactor_.now() - slot->leased_at);
    ++counters_.returns_bad;
  }
  counters_.statements_prepared += link.statements().prepared();
  counters_.statements_reused += link.statements().reused();
  graveyard_.push_back(std::move(slot->link));
  slots_.erase(slot);
  burial_->arm(reactor_.now());
  give_place_back();
  if (was_started && !retired) {
    ++counters_.connections_lost;
    log_.write(LogLevel::warning,
               "pool " + settings_.name + ": " + link.describe() + " closed: " + reason.message);
  }
  if (!was_started && !retired) return on_open_failed(reason);
  grow();
}

// --- growing

bool Pool::is_up() const {
  return std::ranges::any_of(
      slots_, [](const Slot& slot) { return slot.link->state() != LinkState::starting; });
}

bool Pool::has_given_up() const {
  return settings_.reconnect_timeout > Duration::zero() && failing_since_ &&
         reactor_.now() - *failing_since_ >= settings_.reconnect_timeout;
}

void Pool::grow() {
  if (stopped_ || attempt_ || slots_.size() >= settings_.max_size) return;
  if (waiters_.empty() && slots_.size() >= settings_.min_size) return;
  for (const Slot& slot : slots_) {
    if (slot.link->state() == LinkState::starting) return;  // one at a time
  }
  if (reactor_.now() < retry_at_) return retry_->arm(retry_at_);
  if (settings_.budget != nullptr && !settings_.budget->take(*this)) return;
  ++counters_.connections_num;
  attempt_since_ = reactor_.now();
  attempt_logins_ = logins_changed();
  attempt_ = opener_.open(
      [this](Result<std::unique_ptr<Channel>> opened) { on_opened(std::move(opened)); });
}

void Pool::on_opened(Result<std::unique_ptr<Channel>> opened) {
  attempt_.reset();
  if (!opened) {
    give_place_back();
    return on_open_failed(opened.error());
  }
  slots_.push_back({.link = std::make_unique<Link>(++links_made_, *std::move(opened),
                                                   settings_.link, *this, reactor_, log_),
                    .logins_changed = attempt_logins_});
  std::vector<Chore> chores;
  for (const std::string& text : settings_.init_texts) chores.push_back({.texts = {text}});
  if (types_.stale()) chores.push_back(types_.load());
  Link& link = *slots_.back().link;
  link.settings().became(settings_.base_settings, false);
  link.start(std::move(chores));
}

void Pool::on_open_failed(const Error& error) {
  ++counters_.connections_errors;
  if (!failing_since_) failing_since_ = attempt_since_;
  const bool news = !last_failure_ || last_failure_->message != error.message;
  last_failure_ = error;
  const Duration pause = retry_pause(failures_++);
  retry_at_ = reactor_.now() + (is_permanent(error) ? refusal_kept : jittered(pause, 0.9, 1.1));
  log_.write(news ? LogLevel::warning : LogLevel::debug,
             "pool " + settings_.name + ": no connection: " + error.message);
  if (!is_up() && (is_permanent(error) || has_given_up())) refuse_all(away_error());
  grow();
}

Error Pool::away_error() const { return postgres::away_error(*last_failure_, settings_.name); }

// --- time

// Those who wait now; who comes while they are told waits on. Each is in the list until its own
// turn, so that one that is told may make others withdraw.
void Pool::refuse_all(const Error& reason) {
  const std::uint64_t last = waits_;
  while (!waiters_.empty() && waiters_.front().number <= last) {
    const Waiter waiter = waiters_.front();
    waiters_.pop_front();
    refuse(waiter, reason);
  }
}

void Pool::refuse(const Waiter& waiter, const Error& reason) {
  ++counters_.requests_errors;
  counters_.requests_wait_ms += in_ms(reactor_.now() - waiter.since);
  waiter.waiter->on_lease_refused(reason);
}

void Pool::on_waiters_due() {
  for (;;) {
    const auto due = std::ranges::find_if(
        waiters_, [now = reactor_.now()](const Waiter& w) { return w.deadline <= now; });
    if (due == waiters_.end()) break;
    const Waiter waiter = *due;
    const Error error = timeout_error(waiter);
    waiters_.erase(due);
    refuse(waiter, error);
  }
  arm_waiters();
}

void Pool::arm_waiters() {
  TimePoint next = TimePoint::max();
  for (const Waiter& waiter : waiters_) next = std::min(next, waiter.deadline);
  waiters_due_at_ = next;
  if (next != TimePoint::max()) waiters_due_->arm(next);
}

void Pool::on_rest_due() {
  rest_armed_ = false;
  const TimePoint now = reactor_.now();
  // The longest idle first: they are the surplus. retire() changes idle_.
  const std::vector<Link*> resting = idle_;
  for (Link* link : resting) {
    Slot& slot = slot_of(*link);
    const std::size_t staying = static_cast<std::size_t>(
        std::ranges::count_if(slots_, [](const Slot& s) { return !s.retired; }));
    const bool idle_long =
        settings_.max_idle > Duration::zero() && now - link->used_at() >= settings_.max_idle;
    if (now >= slot.expires) {
      retire(slot, "lifetime reached");
    } else if (idle_long && staying > settings_.min_size) {
      retire(slot, "idle for long");
    }
  }
  arm_rest();
}

// A link's rest ends later whenever it is used, so the timer may stay as it is.
void Pool::arm_rest() {
  if (rest_armed_) return;
  TimePoint next = TimePoint::max();
  for (const Link* link : idle_) {
    next = std::min(next, slot_of(*link).expires);
    const bool surplus = slots_.size() > settings_.min_size;
    if (settings_.max_idle > Duration::zero() && surplus) {
      next = std::min(
          next, std::max(link->used_at() + settings_.max_idle, reactor_.now() + milliseconds(1)));
    }
  }
  rest_armed_ = next != TimePoint::max();
  if (rest_armed_) rest_->arm(next);
}

void Pool::retire(Slot& slot, std::string_view why) {
  std::erase(idle_, slot.link.get());
  slot.retired = true;
  slot.link->close(Error::make(sqlstate::admin_shutdown, std::string(why)));
}

void Pool::stop() {
  stopped_ = true;
  if (std::exchange(attempt_, nullptr)) give_place_back();
  retry_->disarm();
  rest_->disarm();
  refuse_all(Error::make(sqlstate::admin_shutdown, "the pool is shutting down"));
  for (Slot& slot : slots_) {
    const LinkState state = slot.link->state();
    if (state != LinkState::leased && state != LinkState::cleaning) retire(slot, "shutting down");
  }
}

Duration Pool::jittered(Duration duration, double least, double most) {
  const double factor = std::uniform_real_distribution<double>(least, most)(random_);
  return std::chrono::duration_cast<Duration>(duration * factor);
}

Pool::Slot& Pool::slot_of(const Link& link) {
  const auto slot =
      std::ranges::find_if(slots_, [&](const Slot& s) { return s.link.get() == &link; });
  INVARIANT(slot != slots_.end());
  return *slot;
}

}  // namespace based::postgres
