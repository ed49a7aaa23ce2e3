#include "backends/postgres/listener.h"

#include <algorithm>
#include <array>
#include <utility>

#include "backends/postgres/retry.h"
#include "backends/postgres/server_error.h"
#include "protocol/check.h"
#include "protocol/postgres/scanner.h"

namespace based::postgres {
namespace {

// A link that is lost after so long is replaced at once.
constexpr Duration lived_well = std::chrono::seconds(5);
// Statements of one group.
constexpr std::size_t asked_at_once = 100;

constexpr std::array<std::string_view, 3> state_names{"away", "opening", "up"};

std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) text.append(c == '"' ? 2 : 1, c);
  return text + '"';
}

void erase_from(std::vector<Subscriber*>& subscribers, const Subscriber& gone) {
  std::erase(subscribers, &gone);
}

}  // namespace

Listener::Listener(ListenerSettings settings, Opener& opener, Reactor& reactor, Log& log)
    : settings_(std::move(settings)), opener_(opener), reactor_(reactor), log_(log) {
  soon_ = reactor_.make_timer([this] { update(); });
  retry_ = reactor_.make_timer([this] { update(); });
  pending_due_ = reactor_.make_timer([this] { on_pending_due(); });
  proof_due_ = reactor_.make_timer([this] {
    if (link_) link_->close(Error::make(sqlstate::connection_failure, "it did not answer in time"));
  });
  burial_ = reactor_.make_timer([this] { buried_.reset(); });
  linger_ = reactor_.make_timer([this] {
    if (state_ != State::up || !channels_.empty()) return;
    link_->close(Error::make(sqlstate::admin_shutdown, "nobody listens"));
  });
}

Listener::~Listener() { INVARIANT(pending_.empty()); }

void Listener::transition(State to) {
  constexpr std::array<std::array<bool, 3>, 3> edges{{
      // away opening up
      {false, true, false},  // away
      {true, false, true},   // opening
      {true, false, false},  // up
  }};
  INVARIANT(edges[static_cast<std::size_t>(state_)][static_cast<std::size_t>(to)]);
  state_ = to;
}

void Listener::soon() { soon_->arm(reactor_.now()); }

void Listener::stop() {
  stopped_ = true;
  if (attempt_) {
    attempt_.reset();
    transition(State::away);
  }
  retry_->disarm();
  forget_left();
  if (link_) link_->close(Error::make(sqlstate::admin_shutdown, "shutting down"));
}

// --- subscriptions

std::optional<Error> Listener::subscribe(Subscriber& subscriber, const std::string& name) {
  auto found = channels_.find(name);
  if (found == channels_.end()) {
    if (channels_.size() >= settings_.channels_max) {
      return Error::make(sqlstate::configuration_limit_exceeded,
                         "too many channels are listened to at " + settings_.name);
    }
    found = channels_.try_emplace(name).first;
  }
  ChannelState& channel = found->second;
  if (std::ranges::find(channel.subscribers, &subscriber) != channel.subscribers.end()) return {};
  channel.subscribers.push_back(&subscriber);
  linger_->disarm();
  if (channel.heard == Heard::heard) return {};
  channel.new_ones.push_back(&subscriber);
  Pending& pending = pending_[&subscriber];
  ++pending.left;
  pending.deadline = reactor_.now() + settings_.wait_timeout;
  arm_pending();
  soon();
  return {};
}

void Listener::forget_new(ChannelState& channel, Subscriber& subscriber) {
  if (std::ranges::find(channel.new_ones, &subscriber) == channel.new_ones.end()) return;
  erase_from(channel.new_ones, subscriber);
  const auto pending = pending_.find(&subscriber);
  if (pending != pending_.end() && --pending->second.left == 0) pending_.erase(pending);
}

void Listener::unsubscribe(Subscriber& subscriber, std::string_view name) {
  const auto found = channels_.find(name);
  if (found == channels_.end()) return;
  forget_new(found->second, subscriber);
  erase_from(found->second.subscribers, subscriber);
  if (found->second.subscribers.empty()) soon();
}

void Listener::unsubscribe_all(Subscriber& subscriber) {
  for (auto& [name, channel] : channels_) {
    forget_new(channel, subscriber);
    erase_from(channel.subscribers, subscriber);
  }
  pending_.erase(&subscriber);
  missed_.erase(&subscriber);
  erase_from(unproved_, subscriber);
  erase_from(proving_, subscriber);
  soon();
}

bool Listener::is_pending(const Subscriber& subscriber) const {
  auto* const known = const_cast<Subscriber*>(&subscriber);
  return pending_.contains(known) || std::ranges::count(unproved_, known) > 0 ||
         std::ranges::count(proving_, known) > 0;
}

// Before it is ready for the next statement, the server sends what was notified.
bool Listener::prove(Subscriber& subscriber) {
  if (!is_up()) return false;
  unproved_.push_back(&subscriber);
  ask();
  return true;
}

void Listener::end_proofs(std::vector<Subscriber*>& proofs) {
  while (!proofs.empty()) {
    Subscriber* subscriber = proofs.back();
    proofs.pop_back();
    subscriber->on_listening(std::nullopt);
  }
}

// --- the link

void Listener::update() {
  if (stopped_) return;
  if (state_ == State::up) return ask();
  end_proofs(unproved_);  // who listens is told of the gap
  forget_left();
  if (state_ == State::away && !channels_.empty()) open();
}

// Channels that nobody wants. REQUIRES that no link listens to them any longer.
void Listener::forget_left() {
  std::erase_if(channels_, [](const auto& entry) { return entry.second.subscribers.empty(); });
}

void Listener::open() {
  if (reactor_.now() < retry_at_) return retry_->arm(retry_at_);
  transition(State::opening);
  attempt_ = opener_.open(
      [this](Result<std::unique_ptr<Channel>> opened) { on_opened(std::move(opened)); });
}

void Listener::on_opened(Result<std::unique_ptr<Channel>> opened) {
  attempt_.reset();
  if (!opened) return on_open_failed(opened.error());
  link_ = std::make_unique<Link>(++links_made_, *std::move(opened), settings_.link, *this, reactor_,
                                 log_);
  link_->start({});
}

void Listener::on_link_idle(Link& link) {
  if (stopped_) return link.close(Error::make(sqlstate::admin_shutdown, "shutting down"));
  if (!link.lease(*this)) return;
  transition(State::up);
  soon();
}

Duration Listener::next_pause() { return retry_pause(failures_++); }

void Listener::on_open_failed(const Error& error) {
  transition(State::away);
  const bool news = !last_failure_ || last_failure_->message != error.message;
  last_failure_ = error;
  retry_at_ = reactor_.now() + next_pause();
  log_.write(news ? LogLevel::warning : LogLevel::debug,
             "listener " + settings_.name + ": no connection: " + error.message);
  if (is_permanent(error)) refuse_pending(error);
  soon();
}

void Listener::on_link_closed(Link& link, const Error& reason, bool was_started) {
  buried_ = std::move(link_);
  burial_->arm(reactor_.now());
  proof_due_->disarm();
  unproved_.insert(unproved_.end(), proving_.begin(), proving_.end());
  proving_.clear();
  asking_ = false;
  if (stopped_) return transition(State::away);
  if (!was_started) return on_open_failed(reason);
  transition(State::away);
  bool in_use = false;
  for (auto& [name, channel] : channels_) {
    in_use = in_use || !channel.subscribers.empty();
    if (channel.heard == Heard::heard)
      missed_.insert(channel.subscribers.begin(), channel.subscribers.end());
    channel.heard = Heard::wanted;
  }
  // At once, but not again and again.
  if (reactor_.now() - link.opened_at() >= lived_well) failures_ = 0;
  retry_at_ = reactor_.now() + (failures_ == 0 ? Duration() : next_pause());
  failures_ = std::max(failures_, 1u);
  log_.write(in_use ? LogLevel::warning : LogLevel::debug,
             "listener " + settings_.name + ": link closed: " + reason.message);
  soon();
}

// --- LISTEN and UNLISTEN

// Sends what has changed. REQUIRES up.
void Listener::ask() {
  if (asking_) return;
  std::vector<std::string> texts, names;
  for (auto entry = channels_.begin(); entry != channels_.end() && texts.size() < asked_at_once;) {
    ChannelState& channel = entry->second;
    if (channel.subscribers.empty()) {
      if (channel.heard != Heard::wanted) texts.push_back("UNLISTEN " + quoted(entry->first));
      entry = channels_.erase(entry);
      continue;
    }
    if (channel.heard == Heard::wanted) {
      channel.heard = Heard::asked;
      texts.push_back("LISTEN " + quoted(entry->first));
      names.push_back(entry->first);
    }
    ++entry;
  }
  if (!unproved_.empty() && proving_.empty()) {
    if (texts.empty()) texts.emplace_back();
    proving_ = std::exchange(unproved_, {});
    proof_due_->arm(reactor_.now() + settings_.wait_timeout);
  }
  if (texts.empty()) {
    tell_missed();
    if (channels_.empty()) linger_->arm(reactor_.now() + settings_.linger);
    return;
  }
  asking_ = true;
  link_->run_chore({.texts = std::move(texts),
                    .then = [this, names = std::move(names)](
                                const std::optional<Error>& error) { on_asked(names, error); },
                    .of_holder = true});
}

void Listener::on_asked(const std::vector<std::string>& names, const std::optional<Error>& error) {
  asking_ = false;
  proof_due_->disarm();
  std::set<Subscriber*> refused;
  for (const std::string& name : names) {
    const auto found = channels_.find(name);
    if (found == channels_.end() || found->second.heard != Heard::asked) continue;
    ChannelState& channel = found->second;
    channel.heard = error ? Heard::wanted : Heard::heard;
    if (error) {
      refused.insert(channel.new_ones.begin(), channel.new_ones.end());
      continue;
    }
    for (Subscriber* subscriber : std::exchange(channel.new_ones, {})) {
      --pending_.at(subscriber).left;
    }
  }
  if (error) {
    last_failure_ = *error;
    log_.write(LogLevel::warning,
               "listener " + settings_.name + ": cannot listen: " + error->message);
    // The others want their channels as before.
    if (missed_.empty())
      soon();
    else
      retry_->arm(reactor_.now() + next_pause());
    for (Subscriber* subscriber : refused) {
      if (pending_.contains(subscriber)) refuse(*subscriber, *error);
    }
    end_proofs(proving_);
    return end_proofs(unproved_);
  }
  last_failure_.reset();
  soon();  // before the calls out
  settle();
  end_proofs(proving_);
  arm_pending();
}

// Whoever has been told may call back in, and change what is pending.
void Listener::settle() {
  for (;;) {
    const auto done =
        std::ranges::find_if(pending_, [](const auto& entry) { return entry.second.left == 0; });
    if (done == pending_.end()) return;
    Subscriber* subscriber = done->first;
    pending_.erase(done);
    subscriber->on_listening(std::nullopt);
  }
}

void Listener::tell_missed() {
  for (Subscriber* subscriber : std::exchange(missed_, {})) {
    subscriber->on_notifications_missed();
  }
}

// --- what cannot be had

void Listener::refuse(Subscriber& subscriber, const Error& error) {
  for (auto& [name, channel] : channels_) {
    if (std::ranges::find(channel.new_ones, &subscriber) == channel.new_ones.end()) continue;
    erase_from(channel.new_ones, subscriber);
    erase_from(channel.subscribers, subscriber);
  }
  pending_.erase(&subscriber);
  subscriber.on_listening(error);
}

void Listener::refuse_pending(const Error& error) {
  std::vector<Subscriber*> all;
  for (const auto& [subscriber, pending] : pending_) all.push_back(subscriber);
  for (Subscriber* subscriber : all) {
    if (pending_.contains(subscriber)) refuse(*subscriber, error);
  }
}

void Listener::on_pending_due() {
  Error error =
      Error::make(sqlstate::cannot_connect, "no connection that listens could be had in time");
  if (last_failure_) error.detail = last_failure_->message;
  for (;;) {
    const auto due = std::ranges::find_if(pending_, [now = reactor_.now()](const auto& entry) {
      return entry.second.deadline <= now;
    });
    if (due == pending_.end()) break;
    refuse(*due->first, error);
    soon();
  }
  arm_pending();
}

void Listener::arm_pending() {
  TimePoint next = TimePoint::max();
  for (const auto& [subscriber, pending] : pending_) next = std::min(next, pending.deadline);
  next == TimePoint::max() ? pending_due_->disarm() : pending_due_->arm(next);
}

// --- notifications

bool Listener::tells(const Subscriber& subscriber, std::string_view name) const {
  const auto found = channels_.find(name);
  if (found == channels_.end() || found->second.heard != Heard::heard) return false;
  return std::ranges::count(found->second.subscribers, &subscriber) > 0;
}

void Listener::on_notification(std::string_view message) {
  Notification notification;
  if (message.size() < message_header_bytes ||
      !decode_notification(message.substr(message_header_bytes), notification)) {
    return link_->close(
        Error::make(sqlstate::connection_failure, "a notification that cannot be read"));
  }
  const auto found = channels_.find(notification.channel);
  if (found == channels_.end()) return;
  for (Subscriber* subscriber : found->second.subscribers) {
    // Who waits for on_listening is told of nothing before it.
    if (std::ranges::find(found->second.new_ones, subscriber) != found->second.new_ones.end()) {
      continue;
    }
    ++delivered_;
    subscriber->on_notification_heard(message);
  }
}

void Listener::add_status(PoolStatus& status) const {
  status.listener = state_names[static_cast<std::size_t>(state_)];
  status.channels = channels_.size();
  for (const auto& [name, channel] : channels_) {
    status.subscriptions += channel.subscribers.size();
  }
  status.notifications_delivered = delivered_;
}

}  // namespace based::postgres
