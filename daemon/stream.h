// Stream: one accepted client's bytes over libuv, TCP or unix socket. The Transport of every front
// end.
//
// Reads land in the reactor-wide shared buffer; output is gathered and flushed once a loop turn. A
// client with nothing unsent holds no buffer. Loop thread only.
#pragma once

#include <sys/socket.h>
#include <uv.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/reactor.h"
#include "daemon/transport.h"
#include "daemon/uv_cell.h"
#include "daemon/uv_reactor.h"

namespace based {

union UvClient {
  uv_tcp_t tcp;
  uv_pipe_t pipe;
  uv_stream_t stream;
};

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
  UvReactor& reactor;
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
  // `on_gone(stream)` is called once, at the end of a loop turn, when the peer is closed and the
  // handler was told; it destroys the stream.
  Stream(StreamContext& context, std::function<void(Stream&)> on_gone);
  ~Stream() override;

  // The handle to accept into: uv_accept() it, then begin().
  uv_stream_t* accept_tcp();
  uv_stream_t* accept_unix();
  void begin(std::unique_ptr<TransportHandler> handler, std::string peer);

  // Closes at once what did not move for too long. Called now and then.
  void check_stall();
  // Closes at once where the peer has gone while nothing was read from it. Called now and then.
  void check_gone();
  // Closes without flushing. on_gone follows.
  void abort(std::string_view reason);

  void send(std::string_view bytes) override;
  void flush() override;
  std::size_t unsent() const override;
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
    closed,   // the socket is gone; the handler hears of it at the end of the turn
  };
  struct Write;

  void transition(State to);
  void read_on();
  std::optional<ucred> peer_credentials() const;
  void want_flush();
  void end_turn();
  void write_output();
  void write_rest(std::string_view rest);
  void on_written(int status);
  void progressed();
  void finish(std::string_view reason);
  void tell_gone();

  StreamContext& context_;
  UvOwned<UvClient> cell_;
  std::unique_ptr<TransportHandler> handler_;
  std::function<void(Stream&)> on_gone_;
  std::string peer_;
  std::string output_;
  std::string reason_;
  std::size_t in_flight_ = 0;  // bytes libuv has and the socket has not
  std::size_t drained_low_ = 0;
  TimePoint last_progress_;
  uv_os_fd_t descriptor_ = -1;  // the cell's
  State state_ = State::made;
  bool reading_ = false;
  std::uint8_t looks_unread_ = 0;  // of check_gone(), at most one, since reading was stopped
  bool flush_wanted_ = false;
  bool tell_drained_ = false;
};

}  // namespace based
