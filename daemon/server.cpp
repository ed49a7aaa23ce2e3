#include "daemon/server.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <set>
#include <utility>

namespace based {
namespace {

// How often systemd's STATUS line is told. It is for people: a minute would be too old, a second a
// waste.
constexpr std::chrono::seconds status_line_interval{10};

constexpr std::array<std::string_view, 5> state_names{"serving", "draining", "closing", "ending",
                                                      "ended"};

// A signal while databases are already closing: the operator does not want to wait for anything any
// more.
constexpr int exit_forced = 1;

Error no_place(std::size_t clients_max) {
  return Error::make(sqlstate::too_many_connections, "sorry, too many clients already")
      .with_hint(fmt::format("max_clients is {}.", clients_max))
      .as_retryable();
}

}  // namespace

Server::Server(ServerOptions options, UvReactor& reactor, Log& log, DatabaseDirectory& databases,
               FrontEnds front_ends)
    : options_(std::move(options)),
      reactor_(reactor),
      log_(log),
      databases_(databases),
      front_ends_(front_ends),
      no_place_(no_place(options_.clients.clients_max)),
      peer_names_(reactor),
      started_(reactor.now()) {
  greeters_ = {
      .welcome = {.first_byte_max = options_.first_byte_max,
                  .native = [this](Transport& t) { return front_ends_.native.accept(t); },
                  .postgres = [this](Transport& t) { return front_ends_.postgres.accept(t); },
                  .peer_names = options_.names_peers ? &peer_names_ : nullptr},
      .turn_away = {
          .first_byte_max = options_.first_byte_max,
          .native = [this](Transport& t) { return front_ends_.native.turn_away(t, no_place_); },
          .postgres =
              [this](Transport& t) { return front_ends_.postgres.turn_away(t, no_place_); }}};
  clients_ = std::make_unique<ClientList>(reactor_, log_, options_.clients, greeters_);
  clients_->on_empty([this] {
    if (state_ == State::draining) close_clients("every client is gone");
    if (state_ == State::closing) end_databases();
  });
  status_timer_ = reactor_.make_timer([this] { tell_status(); });
  signals_ = std::make_unique<Signals>(reactor_);
  signals_->on(SIGTERM, [this] { on_stop_signal("SIGTERM"); });
  signals_->on(SIGINT, [this] { on_stop_signal("SIGINT"); });
  signals_->on(SIGUSR1, [this] { log_status(); });
  signals_->on(SIGHUP, [this] {
    log_.write(LogLevel::warning,
               "server: SIGHUP: reloading the configuration is not there yet, nothing changes");
  });
}

Server::~Server() { INVARIANT(clients_->size() == 0); }

Result<void> Server::listen_at(const ListenPlace& place) {
  auto opened = Listener::open(place, reactor_,
                               [this](Accepted client) { clients_->take(std::move(client)); });
  if (!opened) return std::move(opened).error();
  for (auto& listener : *opened) listeners_.push_back(std::move(listener));
  return {};
}

Result<void> Server::listen_everywhere() {
  for (const ListenPlace& place : options_.listen) {
    if (auto opened = listen_at(place); !opened) return opened;
  }
  if (options_.unix_socket_dir.empty()) return {};
  std::set<std::uint16_t> ports;  // one may be that of several addresses
  for (const auto& listener : listeners_) {
    if (listener->port() != 0) ports.insert(listener->port());
  }
  for (const std::uint16_t port : ports) {
    auto opened = listen_at({.host = {},
                             .port = 0,
                             .path = fmt::format("{}/.s.PGSQL.{}", options_.unix_socket_dir, port),
                             .mode = options_.unix_socket_mode});
    if (!opened) return opened;
  }
  return {};
}

Result<void> Server::listen() {
  if (auto opened = listen_everywhere(); !opened) {
    listeners_.clear();
    return opened;
  }
  for (const auto& listener : listeners_) {
    std::fprintf(stderr, "listening on %s\n", listener->address().c_str());
  }
  return {};
}

void Server::run() {
  if (state_ == State::serving) {
    service_manager_.ready();
    tell_status();
  }
  if (state_ != State::ended) reactor_.run();
  INVARIANT(state_ == State::ended);
  status_timer_.reset();
  last_look_.reset();
  drain_deadline_.reset();
  signals_.reset();
}

void Server::transition(State to, std::string_view reason) {
  constexpr std::array<std::array<bool, 5>, 5> edges{{
      // serving draining closing ending ended
      {false, true, false, false, false},   // serving
      {false, false, true, false, false},   // draining
      {false, false, false, true, false},   // closing
      {false, false, false, false, true},   // ending
      {false, false, false, false, false},  // ended
  }};
  INVARIANT(edges[static_cast<std::size_t>(state_)][static_cast<std::size_t>(to)]);
  log_.write(LogLevel::info,
             fmt::format("server: {} -> {}, {}", state_names[static_cast<std::size_t>(state_)],
                         state_names[static_cast<std::size_t>(to)], reason));
  state_ = to;
}

void Server::on_stop_signal(std::string_view name) {
  switch (state_) {
    case State::serving:
      return begin_drain(name);
    case State::draining:
      return close_clients(fmt::format("a second signal, {}", name));
    case State::closing:
    case State::ending:
      log_.write(LogLevel::warning,
                 fmt::format("server: {} while ending: gone without waiting", name));
      _exit(exit_forced);
    case State::ended:
      return;
  }
}

void Server::begin_drain(std::string_view reason) {
  transition(State::draining, reason);
  service_manager_.stopping();
  listeners_.clear();
  const TimePoint deadline = reactor_.now() + options_.shutdown_timeout;
  if (clients_->size() == 0) return close_clients("no client is connected");
  drain_deadline_ = reactor_.make_timer([this] { close_clients("the drain's deadline"); });
  // Armed before the front ends' own, and so due before them.
  last_look_ = reactor_.make_timer([this] { log_open_transactions(); });
  last_look_->arm(deadline);
  // The front end ends its clients by itself at the deadline; ours is the net below it.
  drain_deadline_->arm(deadline + std::chrono::seconds(1));
  front_ends_.native.drain(deadline);
  front_ends_.postgres.drain(deadline);
  clients_->close_strangers("the daemon is stopping");
}

void Server::close_clients(std::string_view reason) {
  transition(State::closing, reason);
  if (drain_deadline_ != nullptr) {
    drain_deadline_->disarm();
    last_look_->disarm();
  }
  log_open_transactions();
  if (clients_->size() == 0) return end_databases();
  clients_->abort_all("the daemon is stopping");
}

void Server::end_databases() {
  transition(State::ending, "no client is left");
  databases_.end();
  const auto present = databases_.present();
  databases_ending_ = present.size();
  if (databases_ending_ == 0) on_database_ended("", {});
  for (const auto* entry : present) {
    entry->database->shut_down(
        [this, name = entry->database->name()](const std::vector<std::string>& report) {
          on_database_ended(name, report);
        });
  }
}

void Server::on_database_ended(const std::string& name, const std::vector<std::string>& report) {
  for (const std::string& line : report) {
    log_.write(LogLevel::info, fmt::format("database {}: {}", name, line));
  }
  if (databases_ending_ > 0 && --databases_ending_ > 0) return;
  transition(State::ended, "every database is closed");
  reactor_.stop();
}

StatusTree Server::status() const {
  const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(reactor_.now() - started_);
  StatusTree::List listeners;
  for (const auto& listener : listeners_) listeners.emplace_back(listener->address());
  StatusTree::List databases;
  for (const auto* entry : databases_.present()) {
    databases.push_back(describe(entry->database->status()));
  }
  return StatusTree::Map{
      {"version", BASED_VERSION},
      {"state", std::string(state_names[static_cast<std::size_t>(state_)])},
      {"pid", static_cast<std::int64_t>(getpid())},
      {"uptime_s", static_cast<std::int64_t>(uptime.count())},
      {"listeners", std::move(listeners)},
      {"clients",
       StatusTree::Map{
           {"connected", StatusTree::number(clients_->connected())},
           {"turning_away", StatusTree::number(clients_->turning_away())},
           {"accepted_total", StatusTree::number(clients_->accepted())},
           {"refused_total", StatusTree::number(clients_->refused())},
           {"received_bytes_total", StatusTree::number(clients_->bytes_received())},
           {"sent_bytes_total", StatusTree::number(clients_->bytes_sent())},
       }},
      {"native", describe(front_ends_.native.status())},
      {"postgres", describe(front_ends_.postgres.status())},
      {"databases", std::move(databases)},
  };
}

// Those whose clients are about to be closed.
void Server::log_open_transactions() {
  std::ptrdiff_t open = 0;
  for (const FrontEnd* front_end : {&front_ends_.native, &front_ends_.postgres}) {
    open += std::ranges::count_if(front_end->status().sessions, [](const SessionStatus& session) {
      return session.transaction == "open" || session.transaction == "failed";
    });
  }
  if (open == 0) return;
  log_.write(LogLevel::info, fmt::format("server: shutdown: {} open transaction{} rolled back",
                                         open, open == 1 ? "" : "s"));
}

void Server::log_status() {
  for (const std::string& line : render_lines(status())) log_.write(LogLevel::info, line);
}

void Server::tell_status() {
  service_manager_.status(fmt::format("{} clients, {} databases, {}", clients_->connected(),
                                      databases_.present().size(),
                                      state_names[static_cast<std::size_t>(state_)]));
  status_timer_->arm(reactor_.now() + status_line_interval);
}

}  // namespace based
