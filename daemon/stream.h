// Stream: one accepted client's bytes, TCP or unix socket. The Transport of every front end.
//
// Its socket is watched by the reactor, as those of links are; libuv's own streams read() and
// write(), which costs the kernel more than recv() and send(). Reads land in one buffer that all
// streams share; output is gathered and flushed once a loop turn. A client with nothing unsent
// holds no buffer. Loop thread only.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/reactor.h"
#include "daemon/descriptor.h"
#include "daemon/transport.h"

namespace based {

// Buffers for output, so that not every answer makes its own. A few small ones are kept.
class OutputBuffers {
 public:
  std::string take();
  void give_back(std::string&& buffer);

 private:
  std::vector<std::string> kept_;
};

// What all streams share. Outlives them.
struct StreamContext {
  Reactor& reactor;
  std::unique_ptr<char[]> read_buffer;
  std::size_t read_buffer_bytes;
  // A client that takes none of its output for this long is closed.
  Duration write_stall_max;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
  OutputBuffers output_buffers{};
};

class Stream final : public Transport {
 public:
  // A socket that does not block. `on_gone(stream)` is called once, at the end of a loop turn, when
  // the peer is closed and the handler was told; it destroys the stream.
  Stream(StreamContext& context, Descriptor socket, bool is_unix,
         std::function<void(Stream&)> on_gone);
  ~Stream() override;

  void begin(std::unique_ptr<TransportHandler> handler, std::string peer);

  // Closes at once what did not move for too long. Called now and then.
  void check_stall();
  // Closes at once where the peer has gone while nothing was read from it. Called now and then.
  void check_gone();
  // Closes without flushing. on_gone follows.
  void abort(std::string_view reason);

  void send(std::string_view bytes) override;
  void flush() override;
  std::size_t unsent() const override { return output_.size() - taken_; }
  void notify_when_drained(std::size_t low) override;
  void set_reading(bool on) override;
  void close(std::string_view reason) override;
  const std::string& peer() const override { return peer_; }
  std::optional<std::uint32_t> peer_uid() const override;
  std::optional<std::int32_t> peer_pid() const override;

 private:
  enum class State : std::uint8_t {
    made,     // no peer yet
    open,     // bytes flow
    closing,  // nothing is read; output is being flushed, bounded by write_stall_max
    closed,   // nothing moves; the handler hears of it at the end of the turn
  };

  void transition(State to);
  void on_ready(Reactor::Ready ready);
  void update_interest();
  void read();
  std::size_t read_once();
  void end_broken();
  void read_on();
  std::optional<ucred> peer_credentials() const;
  void want_turn_end();
  void end_turn();
  void go_on();
  void write_output();
  void progressed();
  void finish(std::string_view reason);
  void tell_gone();

  StreamContext& context_;
  Descriptor socket_;
  std::unique_ptr<Reactor::Watch> watch_;  // destroyed before its socket is closed
  std::unique_ptr<TransportHandler> handler_;
  std::function<void(Stream&)> on_gone_;
  std::string peer_;
  std::string output_;
  std::size_t taken_ = 0;  // of the output, by the socket
  std::string reason_;
  std::size_t drained_low_ = 0;
  TimePoint last_progress_;
  State state_ = State::made;
  bool is_unix_;
  bool reading_ = false;
  bool full_ = false;              // the socket takes no more; it will be writable
  std::uint8_t looks_unread_ = 0;  // of check_gone(), at most one, since reading was stopped
  bool turn_end_wanted_ = false;
  bool tell_drained_ = false;
};

}  // namespace based
