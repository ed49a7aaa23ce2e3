// The Relay's LISTEN: the server is given the statement, so that its answer, its errors and the
// fate of its transaction are real; what was committed is then the shared listener's, and the link
// is told to UNLISTEN before somebody else gets it.
#include <algorithm>
#include <utility>

#include "backends/postgres/relay.h"
#include "protocol/postgres/backend.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/scanner.h"

namespace based::postgres {
namespace {

// A client that does not read gets its notifications when it does.
constexpr std::size_t unsent_high = 1024 * 1024;
constexpr std::size_t unsent_low = 256 * 1024;

}  // namespace

// Must the session keep its link for it?
bool Relay::listens_here(const Statement& statement) const {
  if (statement.kind != StatementKind::listen) return false;
  return !may_listen() || statement.setting.empty();
}

bool Relay::keeps_no_more() const {
  return (listening_ && listening_->journal.full()) || (stack_.outer() && stack_.outer()->full);
}

// Where no more can be kept of its transaction, of what the script says, or the text calls.
bool Relay::refuse_listen(const Script* script, std::string_view text) {
  if (!keeps_no_more()) return false;
  const auto adds = [this](const StatementRef& statement) {
    if (statement->kind == StatementKind::listen) return true;
    return context_.channels != nullptr && notifies(statement->text);
  };
  const bool calls = context_.channels != nullptr && notifies(text);
  if (!calls && (script == nullptr || std::ranges::none_of(script->statements, adds))) return false;
  refuse_here(ListenJournal::full_error());
  return true;
}

void Relay::note_listen(const Statement& statement, std::string_view tag) {
  if (!may_listen()) return;
  if (context_.channels != nullptr && statement.kind == StatementKind::other && tag == "NOTIFY") {
    const std::optional<SaidNotify> said = read_notify(statement.text);
    if (said) notify(said->channel, said->payload);
    return;
  }
  const bool listens = statement.kind == StatementKind::listen && !listens_here(statement);
  if (!listening_ && !listens) return;
  make_listening();
  if (listens && context_.listener != nullptr) listening_->on_link = true;
  if (listens || statement.kind != StatementKind::listen) listening_->journal.done(statement, tag);
}

void Relay::make_listening() {
  if (listening_) return;
  listening_.reset(new Listening{.queue = NotificationQueue(context_.notification_queue)});
}

// In a sandbox: what others hear of when the client's transaction is committed.
void Relay::notify(const std::string& channel, const std::string& payload) {
  if (context_.channels == nullptr) return;
  make_listening();
  listening_->journal.notify(channel, payload);
}

// Nobody listens on the root's link: it never commits.
void Relay::settle_sandbox_channels() {
  std::vector<ListenJournal::Action> actions = listening_->journal.take();
  if (stack_.outer()) {  // what has not committed is not heard
    LeaseWaiter* outer = context_.leases.outer();
    if (outer != nullptr) outer->take_over({.said = std::move(actions)});
    return;
  }
  for (const ListenJournal::Action& action : actions) {
    if (action.payload) continue;
    if (action.listen) {
      on_listening(context_.channels->subscribe(*this, action.channel));
    } else if (action.channel.empty()) {
      context_.channels->unsubscribe_all(*this);
    } else {
      context_.channels->unsubscribe(*this, action.channel);
    }
  }
  const auto process = static_cast<std::uint32_t>(options_.process_id);
  for (const ListenJournal::Action& action : actions) {
    if (action.payload) context_.channels->publish(process, action.channel, *action.payload);
  }
}

// Who hears what it notifies is told of its number, while it has its link: until everybody is
// proved to have heard. A function that notifies is not seen.
void Relay::note_notifying(std::string_view text) {
  if (context_.listener == nullptr || !context_.listener->is_up()) return;
  if (!sql::contains_word(text, "NOTIFY")) return;
  make_listening();
  listening_->notified = true;
}

void Relay::forget_listens() {
  if (listening_) listening_->journal.roll_back();
}

// At the end of a transaction. False: on_listening or the link's answer must come first.
bool Relay::settle_listening() {
  if (!listening_) return true;
  if (context_.channels != nullptr) return settle_sandbox_channels(), true;
  for (const ListenJournal::Action& action : listening_->journal.take()) {
    if (action.listen) {
      const std::optional<Error> refused = context_.listener->subscribe(*this, action.channel);
      if (refused) on_listening(refused);
      listening_->subscribed = true;
    } else if (action.channel.empty()) {
      context_.listener->unsubscribe_all(*this);
      listening_->subscribed = false;
    } else {
      context_.listener->unsubscribe(*this, action.channel);
    }
  }
  // As directly, who listens is told of what others have committed before its answer ends.
  const bool notified = std::exchange(listening_->notified, false);
  const bool proved = std::exchange(listening_->proved, false);
  if (!proved && (listening_->subscribed || notified)) context_.listener->prove(*this);
  const bool unlisten = std::exchange(listening_->on_link, false);
  if (!unlisten && !context_.listener->is_pending(*this)) return true;
  transition(State::listening);
  if (!unlisten) return false;
  listening_->unlistening = true;
  arm(context_.settings_timeout);
  link_->run_chore({.texts = {"UNLISTEN *"},
                    .then =
                        [this](const std::optional<Error>& error) {
                          if (error) return link_->close(*error);
                          listening_->unlistening = false;
                          if (timer_) timer_->disarm();
                          go_on_listening();
                        },
                    .of_holder = true});
  return false;
}

void Relay::on_listening(const std::optional<Error>& error) {
  if (state_ == State::ended) return;
  if (error) {
    std::string bytes;
    BackendWriter(bytes).error("ERROR", *error);
    client_.send(bytes);
  }
  go_on_listening();
}

void Relay::go_on_listening() {
  if (state_ != State::listening || listening_->unlistening) return;
  if (context_.listener->is_pending(*this)) return;
  if (link_ != nullptr) {
    listening_->proved = true;
    transition(State::flowing);
    return end_unit('I');
  }
  transition(State::idle);
  send_ready('I');
  go_on();
}

// --- notifications

// As the server does it: between two units, outside of a transaction.
bool Relay::may_be_notified() const {
  const bool idle = state_ == State::idle || state_ == State::flowing;
  return idle && status_ == 'I' && sent_.empty() && held_.empty() && !extended_;
}

void Relay::on_notification_heard(std::string_view message) {
  const bool slow = client_.unsent() > unsent_high;
  if (may_be_notified() && !slow && listening_->queue.empty()) return client_.send(message);
  context_.notifications_dropped += listening_->queue.push(message);
  if (slow) client_.notify_when_drained(unsent_low);
}

void Relay::hear_on_link(std::string_view message) {
  Notification told;
  if (!decode_notification(message.substr(message_header_bytes), told)) return;
  if (context_.listener->tells(*this, told.channel)) return;
  context_.notifications_dropped += listening_->queue.push(message);
}

void Relay::on_notifications_missed() {
  listening_->queue.note_missed();
  if (may_be_notified()) tell_notifications();
}

void Relay::tell_notifications() {
  if (!listening_ || listening_->queue.empty()) return;
  client_.send(listening_->queue.take());
}

}  // namespace based::postgres
