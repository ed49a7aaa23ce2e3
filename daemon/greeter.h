// Greeter: tells a new client's protocol by its first byte and hands the connection to that front
// end.
//
// A protocol that this port does not speak gets a refusal that its own program can read, and is
// closed: a TLS alert, an HTTP status.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "backends/reactor.h"
#include "daemon/transport.h"

namespace based {

// Makes the handler of one client's conversation. The transport outlives it.
using FrontEndFactory = std::function<std::unique_ptr<TransportHandler>(Transport&)>;

struct GreeterOptions {
  Duration first_byte_max;  // a client that says nothing for this long is closed
  FrontEndFactory native;
  FrontEndFactory postgres;
};

class Greeter final : public TransportHandler {
 public:
  // `options` outlives the greeter.
  Greeter(Transport& transport, const GreeterOptions& options, Reactor& reactor);

  // No front end has the client yet.
  bool is_waiting() const { return front_end_ == nullptr; }

  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_closed(std::string_view reason) override;

 private:
  void refuse(std::string_view answer, std::string_view reason);

  Transport& transport_;
  const GreeterOptions& options_;
  std::unique_ptr<Reactor::Timer> silence_;
  std::unique_ptr<TransportHandler> front_end_;
  bool refused_ = false;
};

}  // namespace based
