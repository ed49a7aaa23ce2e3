// Transport: the bytes of one client, as a front end sees them. Loop thread only.
//
// daemon/stream implements it over libuv; tests with a buffer. The transport owns its front end
// (the handler): when the peer is gone it tells on_closed and destroys the handler afterwards,
// never inside a call that the handler made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace based {

class Transport {
 public:
  virtual ~Transport() = default;
  // Appends to the output, which is flushed at the end of the loop turn. Never blocks, never fails:
  // a broken peer is told by on_closed. After close() the bytes are dropped.
  virtual void send(std::string_view bytes) = 0;
  // What was sent goes to the socket now, as nothing is to follow it for a while. Neither
  // on_drained nor on_closed is called inside this call.
  virtual void flush() = 0;
  // Bytes taken by send() that the peer's socket has not.
  virtual std::size_t unsent() const = 0;
  // on_drained is called once when unsent() falls to `low` bytes or less; never inside this call.
  virtual void notify_when_drained(std::size_t low) = 0;
  virtual void set_reading(bool on) = 0;
  // Nothing more is read; what was sent is flushed (bounded in time), then the peer is closed and
  // on_closed follows.
  virtual void close(std::string_view reason) = 0;
  // "127.0.0.1:40312", "unix:/run/based/based.sock"
  virtual const std::string& peer() const = 0;
  // The user id of the process at the other end of a unix socket, as the kernel tells it.
  virtual std::optional<std::uint32_t> peer_uid() const { return std::nullopt; }
  // That process's id, where it can be seen from here.
  virtual std::optional<std::int32_t> peer_pid() const { return std::nullopt; }
  // What that process's user is called. Empty until somebody has looked it up, and where there is
  // no such user.
  const std::string& peer_user() const { return peer_user_; }
  void set_peer_user(std::string name) { peer_user_ = std::move(name); }

 private:
  std::string peer_user_;
};

class TransportHandler {
 public:
  virtual ~TransportHandler() = default;
  // The bytes are valid during the call and all of them are taken.
  virtual void on_bytes(std::string_view bytes) = 0;
  virtual void on_drained() = 0;
  // The peer is gone, or close() has finished. The last call; the handler is destroyed next.
  virtual void on_closed(std::string_view reason) = 0;
};

}  // namespace based
