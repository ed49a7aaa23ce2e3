// ClientList: every client that is connected. It owns the streams, limits their number and looks
// for stalled ones.
//
// Above clients_max a client is turned away: it has no place, but is heard until its front end has
// told it so. These are few, and not for long; whoever is one too many of them is closed at once.
//
// Loop thread only.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "backends/log.h"
#include "daemon/greeter.h"
#include "daemon/listener.h"
#include "daemon/stream.h"

namespace based {

struct ClientLimits {
  std::size_t clients_max;
  Duration write_stall_max;
  std::size_t read_buffer_bytes = 64 * 1024;  // one for all: what one read takes at most
  // From the connection of a client that is turned away to its end, whatever it does.
  Duration turning_away_max = std::chrono::seconds(3);
};

// How many may be turned away at once: a share of the clients, and some where these are few.
constexpr std::size_t turned_away_share = 8;
constexpr std::size_t turned_away_few = 16;
constexpr std::size_t turned_away_at_once(std::size_t clients_max) {
  return clients_max / turned_away_share + turned_away_few;
}
// The clients_max for which so many connections are enough.
constexpr std::size_t clients_within(std::size_t connections) {
  if (connections < turned_away_few) return 0;
  return (connections - turned_away_few) / (turned_away_share + 1) * turned_away_share;
}
static_assert(clients_within(1000) + turned_away_at_once(clients_within(1000)) <= 1000);

// Who receives the clients: those that have a place, and those that are turned away.
struct ClientGreeters {
  GreeterOptions welcome;
  GreeterOptions turn_away;
};

class ClientList {
 public:
  // The greeters and everything else outlive the list.
  ClientList(Reactor& reactor, Log& log, const ClientLimits& limits,
             const ClientGreeters& greeters);

  // A client that a listener has accepted.
  void take(Accepted client);
  // Closes who has not said yet what it speaks: no front end knows of it, so none would end it.
  void close_strangers(std::string_view reason);
  // Closes everybody without flushing, as at the end of a drain. The list is empty a turn later.
  void abort_all(std::string_view reason);

  std::size_t size() const { return clients_.size(); }
  std::size_t turning_away() const { return turning_away_; }
  // Who has a place.
  std::size_t connected() const { return clients_.size() - turning_away_; }
  std::uint64_t accepted() const { return accepted_; }
  std::uint64_t refused() const { return refused_; }
  std::uint64_t bytes_received() const { return context_.bytes_received; }
  std::uint64_t bytes_sent() const { return context_.bytes_sent; }
  // Called when the list has become empty: nobody is being turned away either.
  void on_empty(std::function<void()> callback) { on_empty_ = std::move(callback); }

 private:
  void look_at_clock();
  void log_refusals();
  void gone(Stream& stream);

  Reactor& reactor_;
  Log& log_;
  const ClientLimits limits_;
  const ClientGreeters& greeters_;
  StreamContext context_;
  struct Client {
    std::unique_ptr<Stream> stream;
    Greeter* greeter;                // the stream's handler, which it owns
    std::optional<TimePoint> until;  // of one that is turned away
  };
  std::unordered_map<Stream*, Client> clients_;
  std::unique_ptr<Reactor::Timer> clock_timer_;
  std::function<void()> on_empty_;
  std::uint64_t accepted_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t refused_logged_ = 0;
  std::optional<TimePoint> refusals_logged_at_;
  std::size_t turning_away_ = 0;
};

}  // namespace based
