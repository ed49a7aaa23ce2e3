// FakeTransport: a client's end of a conversation. What the daemon sends is kept; the test says
// when the peer takes it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "backends/reactor.h"
#include "daemon/transport.h"

namespace based {

class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(Reactor& reactor) : reactor_(reactor) {}
  ~FakeTransport() override { *anchor_ = nullptr; }

  // --- the test's side
  std::unique_ptr<TransportHandler> handler;
  std::string sent;      // all of it, in order
  bool stalled = false;  // the peer takes nothing
  std::string close_reason;
  bool closed = false;
  bool reading = true;
  std::optional<std::uint32_t> uid;  // of the peer's process

  // How many of these bytes arrive together; none: all.
  std::function<std::size_t(std::size_t)> split;

  // Bytes from the peer; nothing is heard after a close.
  void receive(std::string_view bytes) {
    do {
      if (handler == nullptr || closed) return;
      const std::size_t together = split && !bytes.empty() ? split(bytes.size()) : bytes.size();
      handler->on_bytes(bytes.substr(0, together));
      bytes.remove_prefix(together);
    } while (!bytes.empty());
  }
  // The peer takes what was sent so far.
  void take_all() {
    taken_ = sent.size();
    tell_drained();
  }
  // The peer is gone.
  void lose() {
    if (handler == nullptr) return;
    closed = true;
    handler->on_closed("gone");
    handler.reset();
  }

  // --- Transport
  void send(std::string_view bytes) override {
    if (closed) return;
    sent += bytes;
    if (!stalled) taken_ = sent.size();
  }
  void flush() override {}
  std::size_t unsent() const override { return sent.size() - taken_; }
  void notify_when_drained(std::size_t low) override {
    low_ = low;
    waits_ = true;
  }
  void set_reading(bool on) override { reading = on; }
  void close(std::string_view reason) override {
    if (closed) return;
    closed = true;
    close_reason = reason;
    reactor_.post([weak = std::weak_ptr<FakeTransport*>(anchor_)] {
      const auto there = weak.lock();
      if (!there || *there == nullptr) return;
      FakeTransport& self = **there;
      if (self.handler == nullptr) return;
      self.handler->on_closed(self.close_reason);
      self.handler.reset();
    });
  }
  const std::string& peer() const override { return peer_; }
  std::optional<std::uint32_t> peer_uid() const override { return uid; }

 private:
  void tell_drained() {
    if (!waits_ || unsent() > low_) return;
    waits_ = false;
    reactor_.post([weak = std::weak_ptr<FakeTransport*>(anchor_)] {
      const auto there = weak.lock();
      if (there && *there != nullptr && (*there)->handler != nullptr)
        (*there)->handler->on_drained();
    });
  }

  Reactor& reactor_;
  std::shared_ptr<FakeTransport*> anchor_ = std::make_shared<FakeTransport*>(this);
  std::string peer_ = "127.0.0.1:1";
  std::size_t taken_ = 0;
  std::size_t low_ = 0;
  bool waits_ = false;
};

}  // namespace based
