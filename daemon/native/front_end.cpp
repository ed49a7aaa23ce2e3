#include "daemon/native/front_end.h"

#include <fmt/format.h>

#include <vector>

#include "daemon/native/connection.h"

namespace based::native {
namespace {

// Handshakes, pings and idleness are looked at this often: their limits are seconds, not
// milliseconds.
constexpr std::chrono::milliseconds sweep_interval{500};

}  // namespace

NativeFrontEnd::NativeFrontEnd(const NativeLimits& limits, DatabaseDirectory& databases,
                               const Users& users, Reactor& reactor, Log& log)
    : limits_(limits),
      databases_(databases),
      users_(users),
      reactor_(reactor),
      log_(log),
      waits_(reactor),
      sweep_timer_(reactor.make_timer([this] { sweep(); })),
      grease_(std::random_device{}()) {
  sweep_timer_->arm(reactor_.now() + sweep_interval);
}

NativeFrontEnd::~NativeFrontEnd() { INVARIANT(connections_.empty()); }

std::unique_ptr<TransportHandler> NativeFrontEnd::accept(Transport& transport) {
  return enter(transport, nullptr);
}

std::unique_ptr<TransportHandler> NativeFrontEnd::turn_away(Transport& transport,
                                                            const Error& why) {
  return enter(transport, &why);
}

std::unique_ptr<TransportHandler> NativeFrontEnd::enter(Transport& transport,
                                                        const Error* turned_away) {
  const std::uint64_t id = ++last_connection_id_;
  auto connection = std::make_unique<NativeConnection>(*this, transport, id, turned_away);
  connections_.emplace(id, connection.get());
  return connection;
}

NativeConnection* NativeFrontEnd::find(std::uint64_t connection) const {
  const auto found = connections_.find(connection);
  return found == connections_.end() ? nullptr : found->second;
}

std::string NativeFrontEnd::meaningless_feature() {
  return fmt::format("x-{:04x}", grease_() & 0xFFFF);
}

void NativeFrontEnd::sweep() {
  // A connection leaves the table only when its transport has closed, never inside these calls.
  for (const auto& [id, connection] : connections_) connection->look_at_clock();
  sweep_timer_->arm(reactor_.now() + sweep_interval);
}

void NativeFrontEnd::drain(TimePoint deadline) {
  drain_deadline_ = reactor_.make_timer([this] { end_all(); });
  drain_deadline_->arm(deadline);
  drain_until_ = deadline;
  for (const auto& [id, connection] : connections_) connection->drain(deadline);
}

void NativeFrontEnd::end_all() {
  for (const auto& [id, connection] : connections_) connection->end();
}

FrontEndStatus NativeFrontEnd::status() const {
  FrontEndStatus status;
  status.connections = connections_.size();
  status.connections_total = last_connection_id_;
  status.requests_total = counters_.requests;
  status.errors_total = counters_.errors;
  status.cancels_total = counters_.cancels;
  for (const auto& [id, connection] : connections_) connection->add_status(status.sessions);
  return status;
}

}  // namespace based::native
