// Greeter: tells a new client's protocol by its first byte and hands the connection to that front
// end.
//
// Where clients are known by the user of their process, that one's name is looked up before: the
// client waits, for first_byte_max at most, and nobody else.
//
// A protocol that this port does not speak gets a refusal that its own program can read, and is
// closed: a TLS alert, an HTTP status.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "backends/reactor.h"
#include "daemon/peer_names.h"
#include "daemon/transport.h"

namespace based {

// Makes the handler of one client's conversation. The transport outlives it.
using FrontEndFactory = std::function<std::unique_ptr<TransportHandler>(Transport&)>;

struct GreeterOptions {
  Duration first_byte_max;  // a client that has no front end by then is closed
  FrontEndFactory native;
  FrontEndFactory postgres;
  PeerNames* peer_names = nullptr;  // null: nobody asks for the user behind a unix socket
};

class Greeter final : public TransportHandler {
 public:
  // `options` outlives the greeter.
  Greeter(Transport& transport, const GreeterOptions& options, Reactor& reactor);
  ~Greeter() override { *anchor_ = nullptr; }

  // No front end has the client yet.
  bool is_waiting() const { return front_end_ == nullptr; }

  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_closed(std::string_view reason) override;

 private:
  void give_up();
  void find_peer_user(std::uint32_t uid, std::string_view bytes);
  void hand_over(std::string_view bytes);
  void refuse(std::string_view answer, std::string_view reason);

  Transport& transport_;
  const GreeterOptions& options_;
  std::unique_ptr<Reactor::Timer> silence_;
  std::unique_ptr<TransportHandler> front_end_;
  bool refused_ = false;
  std::string held_;  // while its user is being looked up; nothing is read then
  // What waits for that finds the greeter through it.
  const std::shared_ptr<Greeter*> anchor_ = std::make_shared<Greeter*>(this);
};

}  // namespace based
