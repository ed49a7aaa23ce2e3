#include "backends/sqlite/lane.h"

#include <algorithm>
#include <array>

#include "backends/sqlite/tag.h"
#include "protocol/check.h"

namespace based::sqlite {
namespace {

constexpr std::size_t statement_words_bytes = 80;
// Autocommit units that the thread may have before their turn, so that it goes from one to the next
// without asking the loop. More gains nothing, and each is work that a cancel must take back.
constexpr std::size_t ahead_max = 16;

constexpr std::array<std::string_view, 5> state_names = {"idle", "running", "leased", "cleaning",
                                                         "closed"};
std::string_view name_of(LaneState state) { return state_names[static_cast<std::size_t>(state)]; }

struct Edge {
  LaneState from, to;
};
constexpr std::array edges = {
    Edge{LaneState::idle, LaneState::running},    Edge{LaneState::running, LaneState::idle},
    Edge{LaneState::running, LaneState::leased},  Edge{LaneState::running, LaneState::cleaning},
    Edge{LaneState::leased, LaneState::running},  Edge{LaneState::leased, LaneState::cleaning},
    Edge{LaneState::cleaning, LaneState::idle},   Edge{LaneState::idle, LaneState::closed},
    Edge{LaneState::idle, LaneState::cleaning},   Edge{LaneState::running, LaneState::closed},
    Edge{LaneState::leased, LaneState::closed},   Edge{LaneState::cleaning, LaneState::closed},
    Edge{LaneState::cleaning, LaneState::leased},
};
constexpr bool has_edge(LaneState from, LaneState to) {
  for (const auto& edge : edges) {
    if (edge.from == from && edge.to == to) return true;
  }
  return false;
}
static_assert(!has_edge(LaneState::leased, LaneState::idle), "a lease is ended by cleaning");
static_assert(!has_edge(LaneState::closed, LaneState::idle), "closed is final");

std::string seconds(Duration duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  if (ms < 1000) return std::to_string(ms) + " ms";
  return std::to_string(ms / 1000) + "." + std::to_string(ms % 1000 / 100) + " s";
}

}  // namespace

Lane::Lane(const SqliteOptions& options, Reactor& reactor, Log& log, SandboxLog* sandbox_log)
    : options_(options),
      reactor_(reactor),
      log_(log),
      sandbox_log_(sandbox_log),
      timer_(reactor.make_timer([this] { on_timer(); })),
      executor_(std::make_unique<Executor>(options, log)),
      anchor_(std::make_shared<Lane*>(this)) {
  auto* executor = executor_.get();
  thread_ =
      std::make_unique<LaneThread>([executor] { executor->on_idle(); }, options.truncate_log_after);
  thread_->post([executor] { executor->warm_up(); });
}

Lane::~Lane() {
  *anchor_ = nullptr;
  if (holder_.job != nullptr) holder_.job->cancel("the database is shutting down");
}

void Lane::transition(LaneState to, std::string_view reason) {
  INVARIANT(has_edge(state_, to));
  if (log_.enabled(LogLevel::debug)) {
    log_.write(LogLevel::debug, "lane " + options_.name + ": " + std::string{name_of(state_)} +
                                    "->" + std::string{name_of(to)} +
                                    " session=" + std::to_string(holder_.session_id) +
                                    " reason=" + std::string{reason});
  }
  state_ = to;
}

bool Lane::holds_lease(const LaneClient& client) const {
  return (holder_.leased && holder_.client == &client) || is_parked(client);
}

void Lane::submit(LaneClient& client) {
  if (state_ == LaneState::closed) {
    client.refuse(Error::make(sqlstate::admin_shutdown, "the database is shutting down"));
    return;
  }
  enter_before(client);
  if (state_ == LaneState::leased && holder_.client == &client) return begin(client);
  if (state_ == LaneState::idle) return begin(client);
  if (state_ == LaneState::leased && may_join(client, holder_)) return park(), begin(client);
  const bool refused = options_.turns == TurnMode::error && state_ == LaneState::leased;
  if (refused && !is_parked(client) && is_stranger(client, holder_)) {
    client.refuse(held_error());
    return;
  }
  if (waiters_.size() >= options_.waiting_max) {
    auto error = Error::make(sqlstate::too_many_connections,
                             "too many units wait for the database " + options_.name + " (" +
                                 std::to_string(waiters_.size()) + ")");
    client.refuse(std::move(error).with_detail(describe_holder()).as_retryable());
    return;
  }
  const auto number = ++arrivals_;
  const Waiter waiter{
      .client = &client, .since = reactor_.now(), .deadline = client.queue_deadline()};
  waiters_.emplace(number, waiter);
  if (waiter.deadline != TimePoint{}) deadlines_.emplace(waiter.deadline, number);
  run_ahead();
  arm();
}

void Lane::begin(LaneClient& client) {
  hold(&client);
  holder_.job = client.start(deliverer(client));
  post(holder_.job);
  run_ahead();
  arm();
}

// The lane is the client's from here on: bookkeeping only.
void Lane::hold(LaneClient* client) {
  const auto now = reactor_.now();
  if (state_ == LaneState::idle || holder_.client == nullptr) {
    holder_ = Holder{};
    holder_.client = client;
    holder_.lease_began = now;
    if (client != nullptr) {
      const auto& options = client->options();
      holder_.session_id = options.session_id;
      holder_.group = options.group;
      holder_.label = options.label;
      holder_.client_name = options.client;
      holder_.idle_limit = options.idle_in_transaction > Duration{} ? options.idle_in_transaction
                                                                    : options_.idle_in_transaction;
    }
  }
  holder_.unit_began = now;
  holder_.rests = false;
  holder_.one_shot = client == nullptr || client->is_one_shot();
  std::string words;
  if (client != nullptr) words = first_words(client->first_statement(), statement_words_bytes);
  if (!words.empty()) holder_.last_statement = std::move(words);
  transition(LaneState::running, "unit");
  ++counters_.units;
}

void Lane::post(const std::shared_ptr<Job>& job) {
  thread_->post([executor = executor_.get(), job] { executor->run(*job); });
}

// While an autocommit unit runs, those that wait behind it go to the thread as well, in their order
// and up to the first that may want the lane for longer. They keep their places and deadlines here
// until the thread has claimed them.
void Lane::run_ahead() {
  if (state_ != LaneState::running || holder_.leased || !holder_.one_shot) return;
  if (!resets_.empty() || !parked_.empty()) return;
  auto next = std::next(waiters_.begin(), static_cast<std::ptrdiff_t>(posted_));
  for (; next != waiters_.end() && posted_ < ahead_max; ++next, ++posted_) {
    auto& waiter = next->second;
    if (!waiter.client->is_one_shot()) return;
    waiter.job = waiter.client->start(deliverer(*waiter.client));
    post(waiter.job);
  }
}

// What the lane's thread calls with each parcel: over to the loop, first to the lane, which is free
// when the last one comes, then to the session if it is still there.
Job::Deliver Lane::deliverer(const LaneClient& client) {
  return [&reactor = reactor_, lane = std::weak_ptr<Lane*>{anchor_},
          client = client.anchor()](std::shared_ptr<Parcel> parcel) {
    reactor.post([lane, client, parcel = std::move(parcel)] {
      const auto there = client.lock();
      const auto alive = lane.lock();
      auto* const session = there ? *there : nullptr;
      if (parcel->outcome() && alive && *alive != nullptr) {
        (*alive)->finished(session, *parcel);
      }
      if (session != nullptr) session->take(parcel);
    });
  };
}

void Lane::finished(LaneClient* client, Parcel& last) {
  INVARIANT(state_ == LaneState::running || state_ == LaneState::closed);
  const auto& outcome = *last.outcome();
  if (sandbox_log_ != nullptr && holder_.job != nullptr) keep_log(outcome, last.traces());
  if (outcome.error) {
    ++counters_.errors;
    if (outcome.error->sqlstate == sqlstate::query_canceled) ++counters_.cancelled;
  }
  if (options_.turns == TurnMode::join && holder_.job != nullptr) note_joined(outcome);
  holder_.job = nullptr;
  if (state_ == LaneState::closed) return;
  holder_.leased = outcome.lease_held;
  if (holder_.leased) holder_.idle_since = reactor_.now();
  holder_.open = outcome.transaction == TransactionStatus::open;
  if (!parked_.empty()) return finished_inside(outcome);
  if (holder_.leased && client == nullptr) return clean("abandoned");
  if (holder_.leased && !resets_.empty()) return start_reset();
  if (holder_.leased) {
    transition(LaneState::leased, "transaction open");
    refuse_strangers();
    arm();
    return;
  }
  holder_.client = nullptr;
  transition(LaneState::idle, "unit done");
  next();
}

void Lane::next() {
  if (posted_ == 0 && !resets_.empty()) return start_reset();
  if (waiters_.empty()) return arm();
  const auto first = waiters_.begin();
  auto* client = first->second.client;
  auto job = std::move(first->second.job);
  erase_waiter(first);
  if (job == nullptr) return begin(*client);
  --posted_;
  hold(client);
  holder_.job = std::move(job);
  run_ahead();
  arm();
}

bool Lane::withdraw(LaneClient& client) {
  const auto waiter = find_waiter(client);
  if (waiter == waiters_.end()) return false;
  if (waiter->second.job != nullptr) {
    if (!waiter->second.job->revoke()) return false;
    --posted_;
  }
  erase_waiter(waiter);
  arm();
  return true;
}

void Lane::abandon(LaneClient& client) {
  std::erase(begun_, &client);
  const auto waiter = find_waiter(client);
  if (waiter != waiters_.end()) {
    // The thread has claimed it already; the loop comes to it in its turn.
    waiter->second.client = nullptr;
    waiter->second.job->cancel("the session was closed");
    return;
  }
  if (abandon_parked(client) || holder_.client != &client) return;
  holder_.client = nullptr;
  if (state_ == LaneState::running && holder_.job != nullptr) {
    holder_.job->cancel("the session was closed");
  } else if (state_ == LaneState::leased) {
    clean("abandoned");
  }
}

// The holder's transaction is rolled back.
void Lane::clean(std::string_view reason) { end_from(parked_.size(), reason); }

// The transactions of the session at this place and of those inside of it.
void Lane::end_from(std::size_t index, std::string_view reason) {
  transition(LaneState::cleaning, reason);
  std::vector<Holder> ended = take_from(index);
  note_lost(joined_in(ended), "a session that has left it");
  thread_->post([this, executor = executor_.get(), weak = std::weak_ptr<Lane*>{anchor_},
                 innermost = Executor::Innermost{.count = ended.size(), .around = index}] {
    const bool others_stand = executor->end_innermost(innermost);
    reactor_.post([weak, others_stand] {
      const auto lane = weak.lock();
      if (lane && *lane != nullptr) (*lane)->cleaned(others_stand);
    });
  });
  arm();
  lose_all(std::move(ended), outer_ended_error());
}

void Lane::cleaned(bool others_stand) {
  if (state_ != LaneState::cleaning) return;
  if (!others_stand || !resets_.empty()) lose_all(take_from(0), outer_ended_error());
  if (!parked_.empty()) return unpark("rolled back"), go_on();
  transition(LaneState::idle, "rolled back");
  next();
}

void Lane::take_lease(Holder& holder, std::string_view why, std::string detail) {
  ++counters_.leases_expired;
  log_.write(LogLevel::warning, "lane " + options_.name + ": session " +
                                    std::to_string(holder.session_id) +
                                    " loses its transaction: " + std::string{why} +
                                    "; last statement: " + holder.last_statement);
  holder.ending = Error::make(sqlstate::idle_in_transaction_session_timeout, std::string{why})
                      .with_detail(std::move(detail))
                      .with_scope(ErrorScope::transaction);
}

std::string Lane::describe_holder() const {
  if (state_ == LaneState::idle || state_ == LaneState::closed) return "the lane is free";
  std::string text = "it is held by session " + std::to_string(holder_.session_id);
  if (!holder_.label.empty()) text += " \"" + holder_.label + "\"";
  if (!holder_.client_name.empty()) text += " of " + holder_.client_name;
  const auto now = reactor_.now();
  if (state_ == LaneState::leased) {
    text += ", in a transaction, idle for " + seconds(now - holder_.idle_since);
  } else if (state_ == LaneState::running) {
    text += std::string{holder_.leased ? ", in a transaction" : ""} + ", busy for " +
            seconds(now - holder_.unit_began);
  } else {
    text += ", being rolled back";
  }
  if (!holder_.last_statement.empty()) text += ", last statement: " + holder_.last_statement;
  return text;
}

std::map<std::uint64_t, Lane::Waiter>::iterator Lane::find_waiter(const LaneClient& client) {
  return std::ranges::find_if(
      waiters_, [&client](const auto& entry) { return entry.second.client == &client; });
}

void Lane::erase_waiter(std::map<std::uint64_t, Waiter>::iterator waiter) {
  deadlines_.erase({waiter->second.deadline, waiter->first});
  waiters_.erase(waiter);
}

LaneStatus Lane::status() const {
  LaneStatus status;
  status.path = options_.path.empty() ? ":memory:" : options_.path;
  status.state = name_of(state_);
  status.holder = holder_.client != nullptr ? holder_.session_id : 0;
  status.waiting = waiters_.size();
  status.units = counters_.units;
  status.errors = counters_.errors;
  status.cancelled = counters_.cancelled;
  status.leases_expired = counters_.leases_expired;
  status.statements_cached = executor_->statements_cached();
  return status;
}

void Lane::close(std::function<void(std::vector<std::string>)> done) {
  INVARIANT(state_ != LaneState::closed && waiters_.size() == posted_);
  for (const auto& [number, waiter] : waiters_) INVARIANT(waiter.client == nullptr);
  waiters_.clear();
  deadlines_.clear();
  if (holder_.job != nullptr) holder_.job->cancel("the database is shutting down");
  transition(LaneState::closed, "shutdown");
  timer_->disarm();
  refuse_resets();
  thread_->post([this, executor = executor_.get(), weak = std::weak_ptr<Lane*>{anchor_},
                 done = std::move(done)] {
    auto report = executor->close();
    reactor_.post([weak, done, report = std::move(report)] {
      const auto lane = weak.lock();
      if (lane && *lane != nullptr) (*lane)->thread_->stop();
      done(report);
    });
  });
}

}  // namespace based::sqlite
