// FrontEnd: one protocol that clients speak, as the server sees it. Loop thread only.
#pragma once

#include <functional>
#include <memory>

#include "backends/reactor.h"
#include "daemon/status.h"
#include "daemon/transport.h"
#include "protocol/result.h"

namespace based {

class FrontEnd {
 public:
  virtual ~FrontEnd() = default;

  // The handler of a new client's conversation. The transport and the front end outlive it.
  virtual std::unique_ptr<TransportHandler> accept(Transport& transport) = 0;

  // The handler of a client that there is no place for: its first message is answered with `why`,
  // and it is closed. What PostgreSQL's protocol asks before that is answered as ever, and a
  // CancelRequest is obeyed. `why` outlives the handler, as the transport and the front end do.
  virtual std::unique_ptr<TransportHandler> turn_away(Transport& transport, const Error& why) = 0;

  // Begins the end: clients are told; new sessions and transactions are refused with 57P01,
  // retryable. What is open may finish until `deadline`; then it is rolled back and its clients are
  // closed. A client with nothing open is closed at once. Called once.
  virtual void drain(TimePoint deadline) = 0;

  virtual FrontEndStatus status() const = 0;
};

}  // namespace based
