#include "daemon/client_list.h"

#include <fmt/format.h>

#include <utility>

namespace based {
namespace {

constexpr std::chrono::seconds look_interval{1};

}  // namespace

ClientList::ClientList(Reactor& reactor, Log& log, const ClientLimits& limits,
                       const ClientGreeters& greeters)
    : reactor_(reactor),
      log_(log),
      limits_(limits),
      greeters_(greeters),
      context_{.reactor = reactor,
               .read_buffer = std::make_unique<char[]>(limits.read_buffer_bytes),
               .read_buffer_bytes = limits.read_buffer_bytes,
               .write_stall_max = limits.write_stall_max},
      clock_timer_(reactor.make_timer([this] { look_at_clock(); })) {
  clock_timer_->arm(reactor_.now() + look_interval);
}

void ClientList::take(Accepted client) {
  std::optional<TimePoint> until;
  if (connected() < limits_.clients_max) {
    ++accepted_;
  } else {
    ++refused_;
    log_refusals();
    if (turning_away_ >= turned_away_at_once(limits_.clients_max)) return;
    ++turning_away_;
    until = reactor_.now() + limits_.turning_away_max;
  }
  auto stream = std::make_unique<Stream>(context_, std::move(client.socket), client.is_unix,
                                         [this](Stream& s) { gone(s); });
  Stream& taken = *stream;
  auto greeter =
      std::make_unique<Greeter>(taken, until ? greeters_.turn_away : greeters_.welcome, reactor_);
  clients_.emplace(&taken, Client{std::move(stream), greeter.get(), until});
  if (log_.enabled(LogLevel::debug)) {
    log_.write(LogLevel::debug,
               fmt::format("client {}: connected to {}", client.peer, client.place));
  }
  taken.begin(std::move(greeter), std::move(client.peer));
}

void ClientList::gone(Stream& stream) {
  const auto found = clients_.find(&stream);
  if (found->second.until) --turning_away_;
  clients_.erase(found);
  if (clients_.empty() && on_empty_) on_empty_();
}

void ClientList::close_strangers(std::string_view reason) {
  for (auto& [stream, client] : clients_) {
    if (client.greeter->is_waiting()) stream->close(reason);
  }
}

void ClientList::abort_all(std::string_view reason) {
  for (auto& [stream, client] : clients_) stream->abort(reason);
}

void ClientList::look_at_clock() {
  for (auto& [stream, client] : clients_) {
    stream->check_stall();
    stream->check_gone();
    if (client.until && reactor_.now() >= *client.until) stream->abort("turned away");
  }
  log_refusals();
  clock_timer_->arm(reactor_.now() + look_interval);
}

// Whoever floods the listener does not flood the log: a line a second says how many they were.
void ClientList::log_refusals() {
  const TimePoint now = reactor_.now();
  if (refused_logged_ == refused_) return;
  if (refusals_logged_at_ && now - *refusals_logged_at_ < look_interval) return;
  log_.write(LogLevel::warning,
             fmt::format("server: {} turned away, {} are connected and max_clients is {}",
                         refused_ - refused_logged_ == 1
                             ? "a client"
                             : fmt::format("{} clients", refused_ - refused_logged_),
                         connected(), limits_.clients_max));
  refused_logged_ = refused_;
  refusals_logged_at_ = now;
}

}  // namespace based
