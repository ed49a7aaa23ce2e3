// The Relay's link: getting it, bringing it to the session's settings, giving it back, losing it.
#include <algorithm>
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
constexpr std::string_view timeout_reason = "canceling statement due to statement timeout";

constexpr bool is_edge(Relay::State from, Relay::State to) {
  using enum Relay::State;
  switch (from) {
    case idle:
      return to == waiting || to == skipping || to == ended;
    case waiting:
      return to == preparing || to == skipping || to == idle || to == ended;
    case preparing:  // back to waiting where its link was lost before anything was done
      return to == flowing || to == waiting || to == skipping || to == idle || to == ended;
    case flowing:
      return to == settling || to == preparing || to == skipping || to == idle || to == ended;
    case settling:
      return to == flowing || to == idle || to == ended;
    case skipping:
      return to == idle || to == flowing || to == ended;
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
    case State::flowing:
      if (!sent_.empty()) return cancel(timeout_reason);
      if (status_ == 'I') return check_pin();
      let_go();
      return end(Error::make(sqlstate::idle_in_transaction_session_timeout,
                             "terminating connection due to idle-in-transaction timeout"));
    default:
      return;
  }
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
  if (loss_) return refuse_unit(*std::exchange(loss_, std::nullopt));
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
  prepare();
}

bool Relay::needs_preparing() const { return lost_ || !link_->settings().has_profile(journal_.profile()); }

// REQUIRES that nothing is in flight.
void Relay::prepare() {
  transition(State::preparing);
  if (lost_) return enter_failed_transaction();
  if (!needs_preparing()) return on_prepared();
  std::vector<std::string> texts = link_->settings().difference(journal_.settings());
  if (texts.empty()) return on_prepared();
  arm(context_.settings_timeout);
  if (context_.stack.rooted) {  // an error must not take the root with it
    texts.insert(texts.begin(), "SAVEPOINT _based_settings");
    texts.push_back("RELEASE SAVEPOINT _based_settings");
  }
  link_->run_chore({.texts = texts,
                    .then = [this](const std::optional<Error>& error) { on_settings_tried(error); },
                    .of_holder = true});
}

// Its transaction is gone with another link. In a real failed one the server itself says what
// every further statement gets, up to the ROLLBACK.
void Relay::enter_failed_transaction() {
  arm(context_.settings_timeout);
  stack_.lose();
  reached_ = stack_;
  link_->run_chore(
      {.texts = {context_.stack.rooted ? "SAVEPOINT _based_t1" : "BEGIN"}, .of_holder = true});
  link_->run_chore({.texts = {"the transaction was lost"},
                    .then =
                        [this](const std::optional<Error>&) {
                          lost_ = false;
                          on_prepared();
                        },
                    .of_holder = true});
}

void Relay::on_settings_tried(const std::optional<Error>& error) {
  if (!error) {
    link_->settings().became(journal_.settings(), link_->status() != 'I');
    return on_prepared();
  }
  Error reason = *error;
  reason.position.reset();
  link_->settings().rolled_back();
  if (context_.stack.rooted) {
    link_->run_chore(
        {.texts = {"ROLLBACK TO SAVEPOINT _based_settings", "RELEASE SAVEPOINT _based_settings"}});
  }
  if (!welcomed_) {
    let_go();
    return end(reason);
  }
  if (reason.detail.empty()) reason.detail = "The session's settings could not be applied again.";
  if (status_ == 'I' && !pinned_ && !context_.session_mode) let_go();
  refuse_unit(std::move(reason));
}

void Relay::on_prepared() {
  if (!cancel_reason_.empty()) {
    const std::string reason = std::exchange(cancel_reason_, {});
    if (status_ == 'I' && !pinned_ && !context_.session_mode) let_go();
    return refuse_unit(Error::make(sqlstate::query_canceled, reason));
  }
  context_.known = link_->reported();
  if (!welcomed_) {
    if (context_.accepted.size() >= accepted_max) context_.accepted.clear();
    context_.accepted[journal_.fingerprint()] = link_->reported();
    const ReportedRef reported = link_->reported();
    give_back();
    return welcome(reported);
  }
  transition(State::flowing);
  tell_reported();
  pump();
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

// The server cannot be asked. A client whose like was served before may wait inside.
void Relay::welcome_from_memory(const Error& reason) {
  if (!context_.known) {
    Error error = reason;
    const bool permanent = error.sqlstate.klass() == "28" || error.sqlstate.klass() == "3D";
    if (!permanent && error.sqlstate.klass() != "53") error.sqlstate = sqlstate::cannot_connect_now;
    return end(error);
  }
  ReportedRef reported = context_.known;
  for (const auto& [name, value] : options_.settings) {
    for (const auto& [known, old] : *context_.known) {
      const bool same = std::ranges::equal(known, name, [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b;
      });
      if (same) reported = with_reported(reported, known, value);
    }
  }
  welcome(reported);
}

// What the client believes of its settings and what is true now.
void Relay::tell_reported() {
  const ReportedRef& now = link_->reported();
  if (now == told_) return;
  std::string bytes;
  for (const auto& [name, value] : *now) {
    const auto old = told_->find(name);
    if (old != told_->end() && old->second == value) continue;
    const std::size_t length = 4 + name.size() + 1 + value.size() + 1;
    bytes += reply::parameter_status;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(length >> shift & 0xFF);
    bytes.append(name).push_back('\0');
    bytes.append(value).push_back('\0');
  }
  if (bytes.empty()) {  // equal: from now on they are one object
    link_->adopt_reported(told_);
    return;
  }
  told_ = now;
  client_.send(bytes);
}

void Relay::on_reported() {
  if (state_ == State::flowing || state_ == State::settling) tell_reported();
}

// --- giving it back

// Nothing is in flight and no transaction is open: the link is the pool's again, or rests here.
void Relay::release() {
  if (!pinned_ && !context_.session_mode) give_back();
}

void Relay::give_back() {
  Link& link = *std::exchange(link_, nullptr);
  transition(State::idle);
  link.release(Leaving::finished);
}

// Whatever the state: what runs is cancelled, what is open is rolled back.
void Relay::let_go() {
  if (link_ == nullptr) return;
  Link& link = *std::exchange(link_, nullptr);
  RequestQueue& queue = link.queue();
  if (part_open_) {
    link.close(Error::make(sqlstate::connection_failure, "its client went in mid-message"));
  } else if (queue.is_open()) {
    FrontendWriter writer(link.out());
    if (copying_in_) writer.copy_fail("the client is gone");
    writer.sync();
    queue.close(true);
  } else if (copying_in_) {
    FrontendWriter(link.out()).copy_fail("the client is gone");
  }
  link.forget(this);
  link.flush();
  if (pinned_) --context_.pinned;
  pinned_ = false;
  if (context_.session_mode) context_.leases.pin(link);
  const bool clean = link.quiet() && status_ == 'I';
  link.release(clean ? Leaving::finished : Leaving::abandoned);
}

void Relay::on_cancel_over() {
  if (state_ != State::settling) return;
  transition(State::flowing);
  rest();
  go_on();
}

// --- losing it

Error Relay::lost_error(const Error& reason) const {
  Error error = reason;
  if (error.sqlstate.klass() != "08" && error.sqlstate.klass() != "57") {
    error.sqlstate = sqlstate::connection_failure;
  }
  error.message = "the connection to PostgreSQL was lost: " + reason.message;
  return error;
}

void Relay::on_link_lost(const Error& reason) {
  link_ = nullptr;
  if (context_.stack.rooted) losses_seen_ = context_.leases.losses() + 1;  // it hears of it now
  const bool state_lost = pinned_ || context_.session_mode;
  if (pinned_) --context_.pinned;
  pinned_ = false;
  if (state_ == State::ended) return;
  if (state_ == State::preparing && status_ == 'I' && !state_lost && !retried_) {
    retried_ = true;
    return acquire();
  }
  if (std::exchange(run_elsewhere_, false) && state_ == State::flowing) return run_elsewhere();
  const Error error = lost_error(reason);
  if (state_ == State::skipping && !state_lost) {
    lost_ = status_ != 'I';
    return journal_.roll_back();
  }
  // A pinned session has lost what it was pinned for; half a row cannot be completed.
  if (state_lost || in_part_) return end(error);
  if (state_ == State::preparing) {
    if (!welcomed_) return welcome_from_memory(error);
    return refuse_unit(error);
  }
  journal_.roll_back();
  answer_lost(error);
}

// The unit in flight once more, on another link.
void Relay::run_elsewhere() {
  drop_items();
  items_.clear();
  extended_ = failed_ = repeatable_ = false;
  HeldMessages all = std::exchange(unit_, {});
  WireMessage message;
  for (; !held_.empty(); held_.pop()) {
    held_.peek(message);
    all.add(message);
  }
  held_ = std::move(all);
  transition(State::idle);
  acquire();
  retried_ = true;
}

// Every request that was sent gets its answer; what has been begun is skipped.
void Relay::answer_lost(const Error& error) {
  Error told = error;
  const bool in_transaction = status_ != 'I';
  lost_ = in_transaction;
  if (lost_ && sent_.empty()) loss_ = told;
  const bool commits = std::ranges::any_of(items_, [](const Item& item) {
    const ScriptRef& script = item.prepared ? item.prepared->script : item.script;
    return !item.done && script != nullptr &&
           std::ranges::any_of(script->statements, [](const StatementRef& statement) {
             return statement->kind == StatementKind::commit;
           });
  });
  if (commits && in_transaction) {
    told.sqlstate = sqlstate::transaction_resolution_unknown;
    told.message += "; whether the transaction was committed is not known";
  }
  const bool open = extended_;
  const std::size_t requests = stacked() ? std::min<std::size_t>(sent_.size(), 1) : sent_.size();
  drop_items();
  sent_.clear();
  items_.clear();
  portals_.clear();
  parts_.clear();
  querying_ = unit_failed_ = unit_wrote_ = ending_failed_ = false;
  stack_ = reached_;
  if (!in_transaction) stack_ = reached_ = WireStack(context_.stack);
  copy_awaited_ = copying_in_ = run_again_ = false;
  cancel_reason_.clear();
  transition(State::idle);
  std::string bytes;
  for (std::size_t i = 0; i < requests; ++i) {
    if (i > 0 || !failed_) append_error(bytes, "ERROR", told);
    if (i + 1 == requests && open) break;
    client_.send(std::exchange(bytes, {}));
    send_ready(lost_ ? 'E' : 'I');
  }
  failed_ = false;
  if (open) {  // the rest up to its Sync
    client_.send(bytes);
    transition(State::skipping);
    finish_skipping();
  } else if (!held_.empty()) {
    acquire();
  }
}

}  // namespace based::postgres
