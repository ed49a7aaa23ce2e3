// The session's life as its front end sees it; how it is made, told of messages, cancelled.
#include "backends/postgres/relay.h"

#include <array>
#include <utility>

#include "backends/postgres/session_limits.h"
#include "backends/postgres/startup_settings.h"
#include "protocol/check.h"
#include "protocol/postgres/backend_writer.h"

namespace based::postgres {
namespace {

// More of a client's messages than these wait for no link: its socket is read no further.
constexpr std::size_t held_bytes_high = 64 * 1024;

Settings settings_at_start(const RelayContext& context, const WireOptions& options) {
  Settings settings = context.base_settings;
  for (auto& [name, value] : startup_settings(options.settings)) settings[name] = value;
  if (context.acts_as_user && !options.user.empty()) {
    settings["session_authorization"] = quote_literal(options.user);
  }
  return settings;
}

bool keeps_link(const RelayContext& context, PoolMode wanted) {
  const bool here = wanted == PoolMode::of_database || context.stack.rooted || context.shared;
  if (here) return context.session_mode;
  return wanted == PoolMode::session;
}

}  // namespace

Relay::Relay(RelayContext& context, WireOptions options, WireClient& client)
    : LeaseWaiter(context.leases.logins_changed()),
      context_(context),
      options_(std::move(options)),
      client_(client),
      session_mode_(keeps_link(context, options_.pool_mode)),
      journal_(settings_at_start(context, options_), context.profiles, context.stack.rooted),
      rules_(context.stack),
      stack_(context.stack),
      reached_(context.stack),
      losses_seen_(context.leases.losses()) {}

Relay::~Relay() {
  if (command_) *command_->anchor = nullptr;
  if (state_ == State::waiting) context_.leases.withdraw(*this);
  if (parked_ != Parked::no) context_.leases.abandon(*this);
  if (listening_ && context_.listener != nullptr) context_.listener->unsubscribe_all(*this);
  if (listening_ && context_.channels != nullptr) context_.channels->unsubscribe_all(*this);
  leave_objects();
  let_go();
}

bool Relay::in_transaction() const { return stacked() ? stack_.in_transaction() : status_ != 'I'; }

bool Relay::fits(const LinkSettings& settings) const {
  return settings.has_profile(journal_.profile());
}

std::string Relay::describe() const {
  std::string text = "session " + std::to_string(options_.session_id);
  const auto name = journal_.settings().find("application_name");
  const bool named = name != journal_.settings().end() && name->second.size() > 2;
  if (named) text += " (" + name->second.substr(1, name->second.size() - 2) + ")";
  return text + " of " + options_.user + " at " + options_.client;
}

void Relay::start() {
  if (const std::optional<Error> refused = journal_.refuse_withheld()) return end(*refused);
  if (std::exchange(context_.logins_known, logins_changed()) != logins_changed()) {
    context_.accepted.clear();
  }
  const auto accepted = context_.accepted.find(journal_.fingerprint());
  if (accepted != context_.accepted.end()) return welcome(accepted->second);
  // The turn may be held for long by somebody who waits for this very client.
  if (context_.stack.rooted && context_.known) return welcome_from_memory({});
  acquire();
}

bool Relay::at_rest() const {
  if (!held_.empty() || extended_) return false;
  return (state_ == State::idle && parked_ == Parked::no && begin_due_ == BeginDue::no) ||
         (state_ == State::flowing && sent_.empty() && status_ == 'I');
}

void Relay::on_message(const WireMessage& message) {
  if (state_ == State::ended) return;
  if (held_.empty()) go_on_behind_end(message);
  if (state_ == State::idle) {
    if (held_.empty() && is_too_late(message)) return;
    if (loss_ && is_rollback(message)) loss_.reset();
    if (keeps_control(message)) return;
    if (begin_due_ == BeginDue::due || !held_.empty()) {
      hold(message);  // what comes first decides how it begins
      return acquire();
    }
    begin_unit(message);
  }
  if (state_ == State::commanding && held_.empty() && !command_->running) {
    return take_command(message);
  }
  if (items_.size() >= unit_items_max) {
    let_go();
    return end(too_many_items());
  }
  if (state_ == State::flowing && held_.empty() && !must_wait(message)) return take(message);
  hold(message);
  if (state_ == State::skipping) finish_skipping();
}

// What a client says of a transaction that was lost without its knowledge, and that needs no error.
bool Relay::is_rollback(const WireMessage& message) {
  std::string_view text;
  ParseRequest parse;
  if (message.type == request::query) {
    if (!decode_text(message.body, text)) return false;
  } else if (message.type == request::parse && decode_parse(message.body, parse)) {
    text = parse.text;
  }
  const ScriptRef script = look_at(text);
  return script != nullptr && script->statements.size() == 1 &&
         script->statements.front()->kind == StatementKind::rollback;
}

void Relay::hold(const WireMessage& message) {
  held_.add(message);
  if (held_.bytes() < held_bytes_high || !taking_) return;
  taking_ = false;
  client_.set_taking(false);
}

void Relay::on_batch_end() {
  if (state_ == State::idle && control_batch_.has_begun()) {
    control_batch_ = {};
    acquire();
  }
  if (state_ != State::flowing) return;
  said_at_ = context_.reactor.now();
  link_->flush();
  pump();  // of what waited for room on the link
  watch_silence();
}

void Relay::on_drained() {
  if (link_ != nullptr) link_->set_paused(false);
  if (may_be_notified()) tell_notifications();
}

void Relay::cancel(std::string_view reason, std::shared_ptr<const void> until_sent) {
  switch (state_) {
    case State::waiting:
      if (!welcomed_ || held_.empty()) return;
      context_.leases.withdraw(*this);
      if (parked_ != Parked::no) strike_parked();
      return refuse_unit(Error::make(sqlstate::query_canceled, std::string(reason)));
    case State::preparing:
      if (!held_.empty()) cancel_reason_ = reason;  // else nothing of the client's is there
      return;
    case State::flowing:
      if (!link_->queue().awaits_reply() || !cancel_reason_.empty() || recovering_) return;
      cancel_reason_ = reason;
      link_->set_paused(false);
      fail_copy();
      return link_->cancel(std::move(until_sent));
    case State::idle:
    case State::listening:
    case State::settling:
    case State::skipping:
    case State::commanding:
    case State::ended:
      return;
  }
}

void Relay::end(const Error& error) {
  if (std::exchange(parked_, Parked::no) != Parked::no) context_.leases.abandon(*this);
  transition(State::ended);
  client_.end(error);
}

// --- what cannot be answered by the server

// The unit that waits, or has begun, is answered with `error`.
void Relay::refuse_unit(Error error) {
  if (begin_due_ != BeginDue::no) {
    if (link_ != nullptr) let_go();
    fail_begin();
    if (held_.empty()) {  // its client has asked for nothing that could be answered with it
      loss_ = std::make_unique<Error>(std::move(error));
      cancel_reason_.clear();
      return transition(State::idle);
    }
  }
  refusal_ = std::make_unique<Error>(std::move(error));
  unsettled_.reset();
  cancel_reason_.clear();
  transition(State::skipping);
  finish_skipping();
}

void Relay::finish_skipping() {
  WireMessage message;
  while (state_ == State::skipping && !held_.empty()) {
    held_.peek(message);
    held_.pop();
    skip(message);
  }
  if (held_.empty() && !taking_) {
    taking_ = true;
    client_.set_taking(true);
  }
}

// As the server does behind an error: everything is ignored up to a Sync.
void Relay::skip(const WireMessage& message) {
  const bool at_once = message.type == request::query || message.type == request::function_call;
  const bool copies = message.type == request::copy_data || message.type == request::copy_done ||
                      message.type == request::copy_fail;
  if (!message.first || copies || message.type == request::flush) return;
  const bool sync = message.type == request::sync;
  if (refusal_ && !sync) {
    std::string bytes;
    BackendWriter(bytes).error("ERROR", *refusal_);
    client_.send(bytes);
    log_refused(message, *refusal_);
    refusal_.reset();
    extended_ = !at_once;
  }
  if (!sync && (!at_once || extended_)) return;
  refusal_.reset();
  extended_ = false;
  // Who has sent more does not know of this, and that is not to be done without it.
  if (parked_ != Parked::no && !held_.empty()) strike_parked();
  constexpr std::array<char, 3> of_parked{'I', 'T', 'E'};
  const char unstacked =
      link_ != nullptr ? link_->status() : of_parked[static_cast<std::size_t>(parked_)];
  const char here = stacked() ? stack_.status() : unstacked;
  const char status = lost_ ? 'E' : here;
  transition(link_ != nullptr ? State::flowing : State::idle);
  if (parked_ != Parked::no) watch_rest();
  send_ready(status);
  if (link_ != nullptr) return pump();
  if (!held_.empty()) pump_commands();
}

}  // namespace based::postgres
