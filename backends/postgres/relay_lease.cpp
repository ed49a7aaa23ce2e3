// The Relay's link: getting it, bringing it to the session's settings, giving it back, losing it.
#include <algorithm>
#include <array>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/wire_error.h"
#include "protocol/check.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

constexpr std::size_t accepted_max = 4096;
// How long a client whose like was seen before waits for the server at its start.
constexpr Duration known_start_timeout = std::chrono::seconds(1);

constexpr bool is_edge(Relay::State from, Relay::State to) {
  using enum RelayState;
  switch (from) {
    case idle:
      return to == waiting || to == skipping || to == commanding || to == ended || to == idle;
    case waiting:
      return to == preparing || to == skipping || to == idle || to == ended;
    case preparing:  // back to waiting where its link was lost before anything was done
      return to == flowing || to == waiting || to == skipping || to == idle || to == ended;
    case flowing:
      return to == settling || to == preparing || to == skipping || to == idle || to == listening ||
             to == ended;
    case listening:
      return to == flowing || to == idle || to == ended;
    case settling:
      return to == flowing || to == idle || to == ended;
    case skipping:
      return to == idle || to == flowing || to == ended;
    case commanding:
      return to == idle || to == ended;
    case ended:
      return to == ended;
  }
  return false;
}
static_assert(!is_edge(Relay::State::idle, Relay::State::flowing));

}  // namespace

void Relay::transition(State to) {
  INVARIANT(is_edge(state_, to));
  state_ = to;
  if (timer_) timer_->disarm();
}

void Relay::arm(Duration from_now) {
  if (!timer_) timer_ = context_.reactor.make_timer([this] { on_timer(); });
  timer_->arm(context_.reactor.now() + from_now);
}

void Relay::on_timer() {
  switch (state_) {
    case State::preparing:
      return link_->close(
          Error::make(sqlstate::connection_failure, "the server did not answer a setting in time"));
    case State::listening:
      return link_->close(Error::make(sqlstate::connection_failure,
                                      "the server did not answer an UNLISTEN in time"));
    case State::flowing:
      if (is_transaction_over()) return end_rest();
      if (!sent_.empty()) return cancel(statement_timeout_reason);
      if (status_ == 'I' && end_if_pinned_for_long()) return;
      if (status_ == 'I') return check_pin();
      return end_rest();
    case State::idle:
      if (begin_due_ == BeginDue::due) return acquire();
      return parked_ != Parked::no ? end_rest() : void();
    default:
      return;
  }
}

bool Relay::is_transaction_over() const {
  return transaction_due_ != TimePoint() && context_.reactor.now() >= transaction_due_;
}

// It has been in its transaction for too long, or silent there.
void Relay::end_rest() {
  const Error error =
      is_transaction_over()
          ? Error::make(Sqlstate("25P04"), "terminating connection due to transaction timeout")
          : Error::make(sqlstate::idle_in_transaction_session_timeout,
                        "terminating connection due to idle-in-transaction timeout");
  let_go();
  end(error);
}

// --- a client that is silent in its transaction, or in the middle of a unit: others wait for its
// link

// Who does not read what it has asked for rests, too: nothing goes on before it does.
// Without a Flush the server's answers stay with it: then it is the client's turn in any case.
std::optional<TimePoint> Relay::rests_since() const {
  if (state_ != State::flowing) return std::nullopt;
  if (const auto unread = link_->paused_since()) return unread;
  if (in_part_) return std::nullopt;
  if (!held_.empty() && !columns_.next_awaited) return std::nullopt;
  if (link_->quiet()) {
    return held_.empty() ? link_->ready_at() : std::max(said_at_, link_->ready_at());
  }
  const bool asked = copy_awaited_ != 0 || flushed_;
  const bool works =
      !link_->queue().is_open() || (asked && link_->queue().awaits_reply() && part_left_ == 0);
  if (works && !copying_in_) return std::nullopt;
  return std::max(said_at_, link_->heard_at());
}

Duration Relay::silence_most() const {
  const Duration own = options_.idle_in_transaction;
  const Duration most = own > Duration::zero() ? own : context_.idle_in_transaction;
  const std::string_view set = journal_.withheld("idle_in_transaction_session_timeout");
  if (set.empty()) return most;
  const auto asked = read_timeout(set);
  if (!asked) return most;
  return most > Duration::zero() ? std::min<Duration>(most, *asked) : *asked;
}

void Relay::watch_silence() {
  const bool begun =
      state_ == State::flowing && (link_->queue().is_open() || columns_.next_awaited);
  if (!begun || silence_most() <= Duration::zero()) {
    if (silence_) silence_->disarm();
    return;
  }
  if (!silence_) silence_ = context_.reactor.make_timer([this] { on_silence(); });
  silence_->arm(context_.reactor.now() + silence_most());
}

void Relay::on_silence() {
  if (state_ != State::flowing) return;
  if (!link_->queue().is_open() && !columns_.next_awaited) return;
  if (copying_in_ || link_->paused_since() || !rests_since()) return watch_silence();
  let_go();
  end(Error::make(sqlstate::idle_in_transaction_session_timeout,
                  "terminating connection due to idle-in-transaction timeout")
          .with_detail("The client had begun a unit, and did not send its Sync."));
}

// --- getting a link

void Relay::acquire() {
  transition(State::waiting);
  Duration most = context_.lease_timeout;
  if (!welcomed_) {
    most = context_.known ? std::min(known_start_timeout, context_.connect_timeout)
                          : context_.connect_timeout;
  }
  const TimePoint deadline = context_.reactor.now() + most;
  if (loss_) return refuse_unit(*std::exchange(loss_, nullptr));
  if (losses_seen_ != context_.leases.losses()) {
    losses_seen_ = context_.leases.losses();
    if (welcomed_) return refuse_unit(context_.leases.loss());
  }
  if (const std::optional<Error> refused = context_.leases.acquire(*this, deadline)) {
    on_lease_refused(*refused);
  }
}

void Relay::on_lease_refused(const Error& reason) {
  losses_seen_ = context_.leases.losses();
  if (welcomed_) return refuse_unit(reason);
  welcome_from_memory(reason);
}

void Relay::on_lease(Link& link) {
  link_ = &link;
  link.set_client(options_.process_id);
  if (parked_ == Parked::sound) {
    parked_ = Parked::no;
  } else if (parked_ == Parked::no) {
    run_inside(context_.leases.lends());
    const LeaseWaiter* outer = context_.leases.outer();
    stack_.join(outer == nullptr ? std::nullopt : std::optional(outer->as_outer()));
    reached_.join(stack_.outer());
    at_turn_begin_ = context_.begins_turn();
  }
  link_is_new_ = true;
  link.stream_rows();
  prepare();
}

// Its transactions are the server's own, or are in somebody's who has lent the link.
void Relay::run_inside(bool inside) {
  if (rules_.inside == inside && (!context_.shared || lost_)) return;
  rules_ = context_.stack;
  rules_.inside = inside;
  rules_.rooted = rules_.rooted || inside;
  nesting_ = false;
  stack_ = reached_ = WireStack(rules_);
}

bool Relay::needs_preparing() const {
  if (unsettled_) return false;
  // Within a transaction, and where it is kept, the link is as this session has made it, whatever
  // was rolled back; but that a RESET goes back to what the link began with, and not the session.
  const bool kept = (pinned_ || session_mode_) && !link_is_new_;
  const bool may_differ = (has_nothing_open() && !kept) || (has_reset_ && link_->status() != 'E');
  return lost_ || (may_differ && !link_->settings().has_profile(journal_.profile()));
}

// REQUIRES that nothing is in flight.
void Relay::prepare() {
  transition(State::preparing);
  if (lost_ || parked_ == Parked::struck) return enter_failed_transaction();
  if (!needs_preparing()) return on_prepared();
  try_settings(journal_.settings());
}

void Relay::try_settings(Settings wanted) {
  std::vector<std::string> texts = link_->settings().difference(wanted, journal_.user());
  if (texts.empty()) return on_prepared();
  at_turn_begin_ = false;
  if (!unsettled_ && are_accepted(texts)) return apply_unawaited(texts);
  arm(context_.settings_timeout);
  if (rules_.rooted) {  // an error must not take the root with it
    texts.insert(texts.begin(), "SAVEPOINT _based_settings");
    texts.push_back("RELEASE SAVEPOINT _based_settings");
  }
  link_->settings().may_become(wanted);
  own_portal_ = true;
  link_->run_chore({.texts = std::move(texts),
                    .then = [this, wanted = std::move(wanted)](
                                const auto& error) { on_settings_tried(wanted, error); },
                    .of_holder = true});
}

// The unit that waits was cancelled before the server has heard of it. Not in a transaction: that
// has to fail with it, which only the server can do.
bool Relay::refuse_cancelled() {
  if (cancel_reason_.empty() || !has_nothing_open()) return false;
  const std::string reason = cancel_reason_;
  if (!pinned_ && !session_mode_) let_go();
  refuse_unit(Error::make(sqlstate::query_canceled, reason));
  return true;
}

void Relay::on_prepared() {
  if (refuse_cancelled()) return;
  if (!settings_under_way_) context_.known = link_->reported();
  if (!welcomed_) {
    if (context_.accepted.size() >= accepted_max) context_.accepted.clear();
    context_.accepted[journal_.fingerprint()] = link_->reported();
    const ReportedRef reported = link_->reported();
    give_back();
    return welcome(reported);
  }
  has_reset_ = false;
  if (begins_first()) return;
  transition(State::flowing);
  if (needs_own_link() && !pinned_) keep_link("its texts can only be read by the server", true);
  tell_reported();
  const std::string struck = std::exchange(cancel_reason_, {});  // before it was sent
  pump();
  if (!struck.empty()) cancel(struck);
}

// --- the client's start

void Relay::welcome(const ReportedRef& reported) {
  if (state_ != State::idle) transition(State::idle);
  welcomed_ = true;
  told_ = reported;
  const std::vector<std::pair<std::string, std::string>> parameters(reported->begin(),
                                                                    reported->end());
  client_.on_started(parameters);
}

// --- giving it back

// Nothing is in flight and no transaction is open: the link is the pool's again, or rests here.
void Relay::release() {
  if (pinned_ || session_mode_) return;
  if (context_.verify_release && !rules_.rooted) return forget_unseen();
  give_back();
}

void Relay::give_back() {
  Link& link = *std::exchange(link_, nullptr);
  transition(State::idle);
  link.release(Leaving::finished);
}

void Relay::on_parked() {
  parked_ = Parked::sound;
  give_back();
  watch_rest();
}

// The client is in a transaction, and silent.
void Relay::watch_rest() {
  Duration most = silence_most();
  if (transaction_due_ != TimePoint()) {
    const Duration left =
        std::max<Duration>(transaction_due_ - context_.reactor.now(), std::chrono::milliseconds(1));
    most = most > Duration::zero() ? std::min(most, left) : left;
  }
  if (most > Duration::zero()) arm(most);
}

// Its transaction has failed, and nothing is left of it: others may have the turn. The client is
// told so until it ends it (relay_failed.cpp).
void Relay::leave_failed() {
  lost_ = true;
  journal_.roll_back();
  objects_.rolled_back();
  give_back();
}

void Relay::on_cancel_over() {
  if (state_ != State::settling) return;
  transition(State::flowing);
  if (!sent_.empty()) {  // its unit is not over yet
    sent_.clear();
    // What was to be cancelled may have been done before. The client's own cancel strikes what its
    // unit goes on with; a limit was that statement's.
    const std::string reason = std::exchange(cancel_reason_, {});
    const bool goes_on = !unit_failed_ && (breaking_ || (querying_ && !parts_.empty()));
    on_stack_ready();
    if (goes_on && !reason.empty() && reason != statement_timeout_reason) cancel(reason);
    return;
  }
  rest();
  go_on();
}

}  // namespace based::postgres
