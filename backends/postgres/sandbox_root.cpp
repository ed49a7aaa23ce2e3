#include "backends/postgres/sandbox_mark_turn.h"

#include <algorithm>
#include <utility>

#include "protocol/check.h"

namespace based::postgres {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t shown_text_max = 200;

std::string in_ms(Duration duration) {
  return std::to_string(std::chrono::duration_cast<milliseconds>(duration).count()) + " ms";
}

}  // namespace

SandboxRoot::SandboxRoot(SandboxSettings settings, Opener& opener, TypeCatalogue& types,
                         Reactor& reactor, Log& log)
    : settings_(std::move(settings)), opener_(opener), types_(types), reactor_(reactor), log_(log) {
  waiters_due_ = reactor_.make_timer([this] { on_waiters_due(); });
  rest_due_ = reactor_.make_timer([this] { on_rest_due(); });
  retry_ = reactor_.make_timer([this] { open(); });
  burial_ = reactor_.make_timer([this] { buried_.reset(); });
  ending_ = reactor_.make_timer([this] { continue_ending(); });
  renew_ = reactor_.make_timer([this] { on_renew(); });
  unlock_ = reactor_.make_timer([this] {
    if (unlock_due_ && may_operate() && link_->lease(operator_)) link_->release(Leaving::finished);
  });
  operate_ = reactor_.make_timer([this] { on_operate(); });
  lend_ = reactor_.make_timer([this] { on_lend(); });
  watch_ = reactor_.make_timer([this] { on_watch(); });
}

SandboxRoot::~SandboxRoot() { INVARIANT(waiters_.empty()); }

// --- turns

std::optional<Error> SandboxRoot::acquire(LeaseWaiter& waiter, TimePoint deadline) {
  const bool free = waiters_.empty() && operations_.empty() && parked_.empty();
  if (free && begun_before(waiter) == nullptr && serve(waiter)) return std::nullopt;
  if (settings_.refuses && is_held_against(waiter)) return held_error();
  if (settings_.max_waiting > 0 && waiters_.size() >= settings_.max_waiting) {
    return Error::make(sqlstate::too_many_connections,
                       "too many requests wait for a turn in " + what())
        .as_retryable();
  }
  waiters_.push_back({&waiter, ++waits_, reactor_.now(), deadline});
  arm_waiters();
  arm_rest();
  lend_->arm(reactor_.now());
  if (!parked_.empty() || !begun_.empty()) operate_->arm(reactor_.now());
  open();
  return std::nullopt;
}

bool SandboxRoot::serve(LeaseWaiter& waiter) {
  if (!link_ || link_->state() != LinkState::idle || !link_->lease(waiter.holder())) return false;
  holder_ = &waiter;
  committed_ = false;
  held_since_ = reactor_.now();
  if (is_parked(waiter)) {
    unpark();
    waiter.on_lease(*link_);
    return true;
  }
  last_text_.clear();
  units_of_turn_ = 0;
  if (parked_.empty()) keeps_ = false;
  if (!parked_.empty()) ++parked_.back().joined.count;
  if (!root_open_ && !settings_.shared) link_->begin_ahead(beginning(), 'T');
  ++turns_;
  ++turns_total_;
  waiter.on_lease(*link_);
  return true;
}

bool SandboxRoot::waits(const LeaseWaiter& waiter) const {
  return std::ranges::any_of(waiters_, [&](const Waiter& w) { return w.waiter == &waiter; });
}

void SandboxRoot::withdraw(LeaseWaiter& waiter) {
  std::erase_if(waiters_, [&](const Waiter& w) { return w.waiter == &waiter; });
}

void SandboxRoot::note_statement(Link&, const StatementRef& statement) {
  note_text(statement->text);
  note_effects(*statement);
  if (++units_of_turn_ != 2) return;
  ++transactions_;
  ++transactions_total_;
}

void SandboxRoot::note_text(std::string_view text) {
  last_text_ = text.substr(0, shown_text_max);
  if (text.size() > shown_text_max) last_text_ += "...";
  watch_statement();
}

void SandboxRoot::note_committed() {
  committed_ = true;
  if (parked_.empty()) kept_ = kept_ || keeps_;
  if (parked_.empty() && settings_.objects != nullptr) settings_.objects->clearing_stays();
  end_turn(false);
}

bool SandboxRoot::renew_turn() {
  if (!std::exchange(committed_, false)) return false;
  if (parked_.empty() && !settings_.shared) link_->definitions().settle();
  link_->owe(next_turn());
  return true;
}

void SandboxRoot::on_link_idle(Link&) {
  if (!root_told_ && !settings_.shared) {
    root_told_ = true;
    log_.write(LogLevel::info, "sandbox " + settings_.name + ": root " + std::to_string(roots_) +
                                   " opened, on " + link_->describe());
  }
  failures_ = 0;
  last_failure_.reset();
  tell_operations(std::nullopt);
  if (done_) return ending_->arm(reactor_.now());
  serve_waiters();
}

// Where the link is idle, which it may not be any more after somebody was told something.
void SandboxRoot::serve_waiters() {
  if (!link_ || link_->state() != LinkState::idle) return;
  if (!operations_.empty()) return begin_operation();
  if (!parked_.empty() && parked_.back().waiter == nullptr) return roll_back_parked();
  const auto next = std::ranges::find_if(waiters_, [this](const Waiter& w) {
    return may_go_on(*w.waiter) && begun_before(*w.waiter) == nullptr;
  });
  if (next == waiters_.end()) return lend_->arm(reactor_.now());
  const bool returns = is_parked(*next->waiter);
  if (!parked_.empty() && returns == join_open_) return returns ? close_join() : open_join();
  const Waiter first = *next;
  waiters_.erase(next);
  if (!serve(*first.waiter)) waiters_.push_front(first);
}

// What is asked between two turns takes nobody long.
bool SandboxRoot::is_free() const {
  const bool there = link_ && (link_->state() == LinkState::idle ||
                               (link_->state() == LinkState::cleaning && holder_ == nullptr));
  const bool wanted = !waiters_.empty() || !operations_.empty() || marking_ != nullptr;
  return there && !wanted && parked_.empty() && !settings_.shared;
}

// --- waiting

void SandboxRoot::refuse_all(const Error& reason) {
  const std::uint64_t last = waits_;
  while (!waiters_.empty() && waiters_.front().number <= last) {
    LeaseWaiter* waiter = waiters_.front().waiter;
    waiters_.pop_front();
    waiter->on_lease_refused(reason);
  }
}

void SandboxRoot::on_waiters_due() {
  for (;;) {
    const auto due = std::ranges::find_if(
        waiters_, [now = reactor_.now()](const Waiter& w) { return w.deadline <= now; });
    if (due == waiters_.end()) break;
    LeaseWaiter* waiter = due->waiter;
    const Error error = timeout_error(*due);
    waiters_.erase(due);
    waiter->on_lease_refused(error);
  }
  arm_waiters();
}

void SandboxRoot::arm_waiters() {
  TimePoint next = TimePoint::max();
  for (const Waiter& waiter : waiters_) next = std::min(next, waiter.deadline);
  if (next != TimePoint::max()) waiters_due_->arm(next);
}

// When the holder may be due: it, or who comes after it, is looked at again then.
TimePoint SandboxRoot::rest_due() const {
  const bool idle = link_ && link_->state() == LinkState::idle && !parked_.empty();
  if (idle && parked_.back().waiter != nullptr) {
    const Parked& parked = parked_.back();
    const TimePoint since = waits(*parked.waiter) ? reactor_.now() : parked.since;
    return since + settings_.idle_while_waited;
  }
  const auto since = holder() != nullptr ? holder()->rests_since() : std::nullopt;
  return std::max(held_since_, since.value_or(reactor_.now())) + settings_.idle_while_waited;
}

void SandboxRoot::arm_rest() {
  if (waiters_.empty() || settings_.idle_while_waited == Duration::zero()) return;
  rest_due_->arm(rest_due());
}

void SandboxRoot::on_rest_due() {
  if (!waiters_.empty() && rest_due() <= reactor_.now()) {
    LeaseWaiter& holder = holder_ != nullptr ? *holder_ : *parked_.back().waiter;
    if (holder_ == nullptr) abandon(holder);
    const bool one = waiters_.size() == 1;
    const bool unread = holder_ != nullptr && link_->paused_since();
    const std::string_view why =
        unread ? "its result was not read for too long" : "it was idle for too long";
    log_.write(LogLevel::warning, name_in_log() + ": " + holder.describe() +
                                      " loses its transaction: " + std::string(why));
    holder.on_lease_revoked(Error::make(sqlstate::idle_in_transaction_session_timeout,
                                        unread ? "its result was not read for too long"
                                               : "the transaction was idle for too long")
                                .with_detail(std::to_string(waiters_.size()) +
                                             (one ? " other unit waits" : " other units wait") +
                                             " for the database")
                                .with_scope(ErrorScope::transaction)
                                .with_executed(Executed::no));
  }
  arm_rest();
}

std::string SandboxRoot::name_in_log() const {
  return (settings_.shared ? "shared session of " : "sandbox ") + settings_.name;
}

std::string SandboxRoot::what() const {
  return (settings_.shared ? "the shared session of " : "the sandbox of ") + settings_.name;
}

Error SandboxRoot::timeout_error(const Waiter& waiter) const {
  const std::string waited = in_ms(reactor_.now() - waiter.since);
  if (!link_ && last_failure_) {
    return away_error().with_detail("The request waited for " + waited + ".");
  }
  return Error::make(sqlstate::lock_not_available, "no turn in " + what() + " came up in " + waited)
      .with_detail(holder_text())
      .with_hint(
          settings_.shared
              ? "Sessions that share their transactions take turns; the inner one ends first."
          : settings_.joins ? "Sessions of a sandbox take turns: one statement or one "
                              "transaction at a time."
                            : "Sessions of a sandbox take turns: one statement or one "
                              "transaction at a time. With turns = \"join\", or with a "
                              "token, they join a transaction that rests.")
      .as_retryable();
}

// Once it has let its link go, it may be no more.
LeaseWaiter* SandboxRoot::holder() const {
  return link_ && link_->state() == LinkState::leased ? holder_ : nullptr;
}

std::string SandboxRoot::holder_text() const {
  if (holder() == nullptr && !parked_.empty() && parked_.back().waiter != nullptr) {
    const Parked& parked = parked_.back();
    return "It is held by " + parked.waiter->describe() + ", for " +
           in_ms(reactor_.now() - parked.held_since) + ", idle for " +
           in_ms(reactor_.now() - parked.since);
  }
  if (holder() == nullptr) return "Nobody holds it; " + std::to_string(waiters_.size()) + " wait.";
  std::string text =
      "It is held by " + holder_->describe() + ", for " + in_ms(reactor_.now() - held_since_);
  const auto since = holder_->rests_since();
  text += since ? ", idle for " + in_ms(reactor_.now() - std::max(held_since_, *since))
                : ", which is running a statement";
  if (!last_text_.empty()) text += "; it last ran: " + last_text_;
  return text;
}

// --- the end

void SandboxRoot::end(std::function<void(std::vector<std::string>)> done) {
  INVARIANT(!done_);
  done_ = std::move(done);
  drop_operations();
  INVARIANT(waiters_.empty());
  parked_.clear();
  attempt_.reset();
  ending_->arm(reactor_.now());
}

void SandboxRoot::continue_ending() {
  if (!link_) return report();
  if (link_->state() == LinkState::idle) {
    Link& link = *link_;
    Chore last = ending(link);
    last.then = [&link](const std::optional<Error>&) {
      link.close(Error::make(sqlstate::admin_shutdown, "shutting down"));
    };
    link.run_last(std::move(last));
  } else if (link_->state() == LinkState::starting) {
    link_->close(Error::make(sqlstate::admin_shutdown, "shutting down"));
  }
  // cleaning, checking and leased: on_link_idle or on_link_closed follows, bounded in time.
}

void SandboxRoot::report() {
  std::vector<std::string> lines;
  if (roots_ > 0 && !settings_.shared) {
    lines.push_back("sandbox " + settings_.name + ": " + std::to_string(turns_total_) +
                    " turns rolled back, " + std::to_string(transactions_total_) +
                    " of them longer transactions; the database is as it was");
    if (joins_lost_ > 0) {
      lines.back() += "; " + std::to_string(joins_lost_) +
                      " turns were lost with a transaction that they had joined";
    }
  }
  const auto done = std::exchange(done_, nullptr);
  done(std::move(lines));
}

SandboxStatus SandboxRoot::status() const {
  SandboxStatus status;
  status.name = settings_.name;
  status.state = attempt_ || (link_ && link_->state() == LinkState::starting) ? "opening"
                 : link_                                                      ? "ready"
                 : losses_ > 0                                                ? "lost"
                                                                              : "closed";
  status.waiting = waiters_.size();
  status.transactions = transactions_;
  status.units = turns_;
  status.epoch = roots_;
  status.resets = resets_;
  status.kind = "transaction";
  status.sequences = settings_.restores_sequences ? "restore" : "leak";
  status.xid = xid_;
  status.locks = locks_;
  status.joins_lost = joins_lost_;
  status.subtransactions = subtransactions_.count();
  status.exclusive_locks = locked_;
  status.locked_tables = locked_tables_;
  if (link_) status.user = (settings_.acts_as_user ? "each client's own, by " : "") + user_;
  status.warnings = warnings();
  status.process = link_ ? link_->process_id() : 0;
  if (root_open_) {
    const auto age = std::chrono::duration_cast<milliseconds>(reactor_.now() - root_began_);
    status.age_ms = static_cast<std::uint64_t>(age.count());
  }
  for (const Mark& mark : marks_) {
    if (!mark.moved) status.marks.push_back(mark.name);
  }
  status.holder = holder() == nullptr ? 0 : holder()->session_id();
  return status;
}

}  // namespace based::postgres
