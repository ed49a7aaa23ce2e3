#include "daemon/postgres/front_end.h"

#include <sys/random.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "daemon/postgres/client.h"
#include "protocol/check.h"

namespace based::postgres {
namespace {

// Handshakes and idleness are looked at this often: their limits are seconds.
constexpr std::chrono::milliseconds sweep_interval{500};

}  // namespace

PostgresFrontEnd::PostgresFrontEnd(const PostgresLimits& limits, DatabaseDirectory& databases,
                                   const Users& users, Reactor& reactor, Log& log)
    : limits_(limits),
      databases_(databases),
      users_(users),
      reactor_(reactor),
      log_(log),
      sweep_timer_(reactor.make_timer([this] { sweep(); })),
      go_on_timer_(reactor.make_timer([this] { go_on(); })) {
  sweep_timer_->arm(reactor_.now() + sweep_interval);
}

PostgresFrontEnd::~PostgresFrontEnd() { INVARIANT(clients_.empty()); }

std::unique_ptr<TransportHandler> PostgresFrontEnd::accept(Transport& transport) {
  ++clients_total_;
  return std::make_unique<PostgresClient>(*this, transport, nullptr);
}

std::unique_ptr<TransportHandler> PostgresFrontEnd::turn_away(Transport& transport,
                                                              const Error& why) {
  return std::make_unique<PostgresClient>(*this, transport, &why);
}

std::int32_t PostgresFrontEnd::enter(PostgresClient& client) {
  do {
    last_process_id_ =
        last_process_id_ == std::numeric_limits<std::int32_t>::max() ? 1 : last_process_id_ + 1;
  } while (clients_.contains(last_process_id_));
  clients_.emplace(last_process_id_, &client);
  return last_process_id_;
}

void PostgresFrontEnd::leave(std::int32_t process_id) { clients_.erase(process_id); }

std::string PostgresFrontEnd::random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  const ssize_t got = ::getrandom(bytes.data(), count, GRND_NONBLOCK);
  if (got != static_cast<ssize_t>(count)) bytes.clear();
  return bytes;
}

void PostgresFrontEnd::cancel(std::int32_t process_id, std::string_view secret,
                              std::shared_ptr<const void> until_sent) {
  ++counters_.cancels;
  const auto found = clients_.find(process_id);
  if (found != clients_.end()) found->second->cancel(secret, std::move(until_sent));
}

void PostgresFrontEnd::go_on_soon(PostgresClient& client) {
  going_on_.push_back(client.process_id());
  go_on_timer_->arm(reactor_.now());
}

void PostgresFrontEnd::go_on() {
  const std::vector<std::int32_t> now = std::exchange(going_on_, {});
  for (const std::int32_t process_id : now) {
    const auto found = clients_.find(process_id);
    if (found != clients_.end()) found->second->go_on();
  }
}

void PostgresFrontEnd::sweep() {
  // A client leaves the table only when its transport has closed, never inside these calls.
  for (const auto& [process_id, client] : clients_) client->look_at_clock();
  sweep_timer_->arm(reactor_.now() + sweep_interval);
}

void PostgresFrontEnd::drain(TimePoint deadline) {
  drain_deadline_ = reactor_.make_timer([this] {
    for (const auto& [process_id, client] : clients_) client->shut_down();
  });
  drain_deadline_->arm(deadline);
  for (const auto& [process_id, client] : clients_) client->drain();
}

FrontEndStatus PostgresFrontEnd::status() const {
  FrontEndStatus status;
  status.connections = clients_.size();
  status.connections_total = clients_total_;
  status.requests_total = counters_.requests;
  status.errors_total = counters_.refused;
  status.cancels_total = counters_.cancels;
  for (const auto& [process_id, client] : clients_) client->add_status(status.sessions);
  return status;
}

}  // namespace based::postgres
