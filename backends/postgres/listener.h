// Listener: one link that listens for all sessions of a user.
//
//   away -> opening -> up -> away; away again, with growing pauses, while somebody wants a channel
//
// A channel is listened to from its first subscription to some time after its last one has ended.
// When the link is lost everything is listened to again on a new one; what was notified meanwhile
// is lost, and every subscriber that listened is told of the gap.
//
// The link is one beside the pool's. What a subscriber is told of comes from the loop, never inside
// a call into the Listener. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backends/log.h"
#include "backends/postgres/channel.h"
#include "backends/postgres/link.h"
#include "backends/reactor.h"
#include "backends/status.h"

namespace based::postgres {

class Subscriber {
 public:
  virtual ~Subscriber() = default;
  // A NotificationResponse as it came, type and length before it. Must not call the Listener.
  virtual void on_notification_heard(std::string_view message) = 0;
  // The link was lost and is back: notifications may have been missed. Must not call the Listener.
  virtual void on_notifications_missed() = 0;
  // Every channel that it asked for is listened to, and what it had proved is; or the subscriptions
  // that are not, after all, have ended with this error.
  virtual void on_listening(const std::optional<Error>& error) = 0;
};

struct ListenerSettings {
  std::string name;         // "app/alice": for logs and errors
  Duration wait_timeout{};  // for a subscription to be effective
  Duration linger{};        // a link without channels is closed after it
  std::size_t channels_max = 10'000;
  LinkLimits link;
};

class Listener final : public LinkHost, public LinkHolder {
 public:
  Listener(ListenerSettings settings, Opener& opener, Reactor& reactor, Log& log);
  ~Listener() override;  // REQUIRES that nobody is subscribed

  // Asks for the channel. Already effective: nothing follows. Otherwise on_listening follows, once
  // for all that the subscriber has asked for. 53400: too many channels.
  std::optional<Error> subscribe(Subscriber& subscriber, const std::string& channel);
  void unsubscribe(Subscriber& subscriber, std::string_view channel);
  // Also what a subscriber does that goes.
  void unsubscribe_all(Subscriber& subscriber);
  // Has everybody heard of what was committed before? on_listening follows when they have. False:
  // nobody listens, or the link is away, and nothing follows.
  bool prove(Subscriber& subscriber);
  // Is the subscriber told of what is notified on the channel?
  bool tells(const Subscriber& subscriber, std::string_view channel) const;
  // Does it wait for on_listening?
  bool is_pending(const Subscriber& subscriber) const;
  // Is anything listened to?
  bool is_up() const { return state_ == State::up && !channels_.empty(); }

  // Nobody is subscribed and no link is left.
  bool empty() const { return channels_.empty() && !link_ && !attempt_; }
  // Closes the link. REQUIRES that nobody is subscribed.
  void stop();
  void add_status(PoolStatus& status) const;

 private:
  enum class State : std::uint8_t { away, opening, up };
  // wanted: LISTEN is to be sent. asked: it was. heard: the server has said that it listens.
  enum class Heard : std::uint8_t { wanted, asked, heard };
  struct ChannelState {
    Heard heard = Heard::wanted;
    std::vector<Subscriber*> subscribers;  // none: UNLISTEN is to be sent
    std::vector<Subscriber*> new_ones;     // those of them that wait for it to be heard
  };
  struct Pending {
    std::size_t left = 0;  // channels that are not heard yet
    TimePoint deadline;
  };

  // LinkHost
  void on_link_idle(Link& link) override;
  void on_link_closed(Link& link, const Error& reason, bool was_started) override;
  std::vector<Chore> cleaning_chores(Link&) override { return {}; }
  char rest_status() const override { return 'I'; }
  // LinkHolder
  void on_link_lost(const Error&) override {}  // the host hears of it
  void on_cancel_over() override {}
  void on_notification(std::string_view message) override;

  void transition(State to);
  void soon();
  void update();
  void forget_left();
  void open();
  void on_opened(Result<std::unique_ptr<Channel>> opened);
  void on_open_failed(const Error& error);
  Duration next_pause();
  void ask();
  void end_proofs(std::vector<Subscriber*>& proofs);
  void on_asked(const std::vector<std::string>& names, const std::optional<Error>& error);
  void settle();
  void tell_missed();
  void refuse(Subscriber& subscriber, const Error& error);
  void refuse_pending(const Error& error);
  void on_pending_due();
  void arm_pending();
  void forget_new(ChannelState& channel, Subscriber& subscriber);

  const ListenerSettings settings_;
  Opener& opener_;
  Reactor& reactor_;
  Log& log_;
  State state_ = State::away;
  std::unique_ptr<OpenAttempt> attempt_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<Link> buried_;
  std::unique_ptr<Reactor::Timer> soon_, retry_, pending_due_, proof_due_, linger_, burial_;
  std::map<std::string, ChannelState, std::less<>> channels_;
  std::map<Subscriber*, Pending> pending_;
  std::vector<Subscriber*> unproved_, proving_;  // that asked; asked of the server
  std::set<Subscriber*> missed_;                 // to be told of a gap when the link is back
  bool asking_ = false;                          // a group of LISTENs is under way
  bool stopped_ = false;
  unsigned failures_ = 0;  // in a row
  TimePoint retry_at_;
  std::uint64_t links_made_ = 0, delivered_ = 0;
  std::optional<Error> last_failure_;
};

}  // namespace based::postgres
