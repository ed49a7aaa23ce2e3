#include "daemon/stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "protocol/check.h"

namespace based {
namespace {

constexpr std::size_t buffers_kept_max = 32;
constexpr std::size_t buffer_bytes_kept_max = 16 * 1024;

}  // namespace

std::string OutputBuffers::take() {
  if (kept_.empty()) return {};
  std::string buffer = std::move(kept_.back());
  kept_.pop_back();
  return buffer;
}

void OutputBuffers::give_back(std::string&& buffer) {
  if (kept_.size() >= buffers_kept_max || buffer.capacity() > buffer_bytes_kept_max) return;
  kept_.push_back(std::move(buffer));
  kept_.back().clear();
}

// A write under way owns its bytes and points at the cell, never at the stream.
struct Stream::Write {
  uv_write_t request{};
  std::string bytes;
};

Stream::Stream(StreamContext& context, std::function<void(Stream&)> on_gone)
    : context_(context), on_gone_(std::move(on_gone)) {}

Stream::~Stream() = default;

uv_stream_t* Stream::accept_tcp() {
  cell_ = make_uv<UvClient>(
      this, [this](UvClient* c) { return uv_tcp_init(context_.reactor.loop(), &c->tcp); });
  return &cell_->handle.stream;
}

uv_stream_t* Stream::accept_unix() {
  cell_ = make_uv<UvClient>(
      this, [this](UvClient* c) { return uv_pipe_init(context_.reactor.loop(), &c->pipe, 0); });
  return &cell_->handle.stream;
}

void Stream::begin(std::unique_ptr<TransportHandler> handler, std::string peer) {
  handler_ = std::move(handler);
  peer_ = std::move(peer);
  if (cell_->base()->type == UV_TCP) {
    uv_tcp_nodelay(&cell_->handle.tcp, 1);
    uv_tcp_keepalive(&cell_->handle.tcp, 1, 60);
  }
  INVARIANT(uv_fileno(cell_->base(), &descriptor_) == 0);
  transition(State::open);
  read_on();
}

void Stream::transition(State to) {
  constexpr std::array<std::array<bool, 4>, 4> edges{{
      // made   open   closing closed
      {false, true, false, true},    // made
      {false, false, true, true},    // open
      {false, false, false, true},   // closing
      {false, false, false, false},  // closed
  }};
  INVARIANT(edges[static_cast<std::size_t>(state_)][static_cast<std::size_t>(to)]);
  state_ = to;
}

void Stream::read_on() {
  if (reading_ || state_ != State::open) return;
  reading_ = true;
  looks_unread_ = 0;
  const int started = uv_read_start(
      &cell_->handle.stream,
      [](uv_handle_t* handle, std::size_t, uv_buf_t* buffer) noexcept {
        auto* self = uv_owner<Stream, UvClient>(handle);
        if (self == nullptr) return;
        buffer->base = self->context_.read_buffer.get();
        buffer->len = self->context_.read_buffer_bytes;
      },
      [](uv_stream_t* handle, ssize_t length, const uv_buf_t* buffer) noexcept {
        auto* self = uv_owner<Stream, UvClient>(handle);
        if (self == nullptr || length == 0) return;
        if (length < 0)
          return self->finish(length == UV_EOF ? "closed by the client"
                                               : uv_strerror(static_cast<int>(length)));
        self->context_.bytes_received += static_cast<std::uint64_t>(length);
        self->handler_->on_bytes({buffer->base, static_cast<std::size_t>(length)});
      });
  if (started != 0) finish(uv_strerror(started));
}

void Stream::set_reading(bool on) {
  if (on) return read_on();
  if (!reading_ || state_ != State::open) return;
  reading_ = false;
  uv_read_stop(&cell_->handle.stream);
}

void Stream::send(std::string_view bytes) {
  if (state_ != State::open || bytes.empty()) return;
  if (unsent() == 0) progressed();
  if (output_.empty()) output_ = context_.output_buffers.take();
  output_.append(bytes);
  want_flush();
}

std::size_t Stream::unsent() const { return output_.size() + in_flight_; }

void Stream::want_flush() {
  if (flush_wanted_ || in_flight_ > 0 || cell_ == nullptr) return;
  flush_wanted_ = true;
  context_.reactor.at_end_of_turn([cell = cell_.get()] {
    // The cell outlives this turn: it is freed by its close callback, which runs after the end of
    // the turn.
    if (cell->owner != nullptr) static_cast<Stream*>(cell->owner)->end_turn();
  });
}

void Stream::flush() {
  if (state_ == State::open && in_flight_ == 0 && !output_.empty()) write_output();
}

void Stream::write_output() {
  // By ourselves: libuv's write() of a socket is slower than send().
  ssize_t written = 0;
  do written = ::send(descriptor_, output_.data(), output_.size(), MSG_NOSIGNAL);
  while (written < 0 && errno == EINTR);
  if (written < 0 && errno != EAGAIN) return finish(uv_strerror(uv_translate_sys_error(errno)));
  const auto taken = static_cast<std::size_t>(written > 0 ? written : 0);
  if (taken > 0) progressed();
  context_.bytes_sent += taken;
  if (taken < output_.size()) write_rest(std::string_view(output_).substr(taken));
  context_.output_buffers.give_back(std::exchange(output_, {}));
}

void Stream::end_turn() {
  flush_wanted_ = false;
  if (in_flight_ > 0 || state_ == State::closed) return;
  if (!output_.empty()) write_output();
  if (state_ == State::closed) return;
  if (in_flight_ == 0 && state_ == State::closing) return finish(reason_);
  if (tell_drained_ && unsent() <= drained_low_) {
    tell_drained_ = false;
    handler_->on_drained();
  }
}

void Stream::write_rest(std::string_view rest) {
  auto write = std::make_unique<Write>();
  write->bytes.assign(rest);
  uv_buf_t buffer = uv_buf_init(write->bytes.data(), static_cast<unsigned>(write->bytes.size()));
  in_flight_ = rest.size();
  write->request.data = write.get();
  const int started =
      uv_write(&write->request, &cell_->handle.stream, &buffer, 1,
               [](uv_write_t* request, int status) noexcept {
                 const std::unique_ptr<Write> done(static_cast<Write*>(request->data));
                 auto* self = uv_owner<Stream, UvClient>(request->handle);
                 if (self != nullptr) self->on_written(status);
               });
  if (started == 0) {
    write.release();
  } else {
    in_flight_ = 0;
    finish(uv_strerror(started));
  }
}

void Stream::on_written(int status) {
  context_.bytes_sent += in_flight_;
  in_flight_ = 0;
  if (status < 0) return finish(uv_strerror(status));
  progressed();
  end_turn();
}

void Stream::progressed() { last_progress_ = context_.reactor.now(); }

void Stream::notify_when_drained(std::size_t low) {
  tell_drained_ = true;
  drained_low_ = low;
  want_flush();
}

// Not before the second look: who reads on in between sees the end where it is.
void Stream::check_gone() {
  if (state_ != State::open || reading_ || std::exchange(looks_unread_, 1) == 0) return;
  pollfd polled{.fd = descriptor_, .events = POLLRDHUP, .revents = 0};
  if (::poll(&polled, 1, 0) <= 0) return;
  finish("closed by the client");
}

void Stream::check_stall() {
  if (unsent() == 0 || (state_ != State::open && state_ != State::closing)) return;
  // libuv tells only of a whole write; what its queue still holds tells of progress within one.
  const std::size_t queued = uv_stream_get_write_queue_size(&cell_->handle.stream);
  if (queued < in_flight_) {
    in_flight_ = queued;
    progressed();
  }
  if (context_.reactor.now() - last_progress_ >= context_.write_stall_max) {
    finish("its output was not taken for too long");
  }
}

void Stream::close(std::string_view reason) {
  if (state_ != State::open) return;
  set_reading(false);
  transition(State::closing);
  reason_ = reason;
  progressed();
  want_flush();
}

std::optional<ucred> Stream::peer_credentials() const {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (cell_->base()->type != UV_NAMED_PIPE) return std::nullopt;
  if (getsockopt(descriptor_, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
    return std::nullopt;
  return credentials;
}

std::optional<std::uint32_t> Stream::peer_uid() const {
  const std::optional<ucred> peer = peer_credentials();
  return peer ? std::optional<std::uint32_t>(peer->uid) : std::nullopt;
}

std::optional<std::int32_t> Stream::peer_pid() const {
  const std::optional<ucred> peer = peer_credentials();
  return peer && peer->pid > 0 ? std::optional<std::int32_t>(peer->pid) : std::nullopt;
}

void Stream::abort(std::string_view reason) { finish(reason); }

void Stream::finish(std::string_view reason) {
  if (state_ == State::closed) return;
  reason_ = reason;
  set_reading(false);  // libuv would go on delivering what it has read
  transition(State::closed);
  context_.reactor.at_end_of_turn([cell = cell_.get()] {
    if (cell->owner != nullptr) static_cast<Stream*>(cell->owner)->tell_gone();
  });
}

void Stream::tell_gone() {
  if (handler_ != nullptr) handler_->on_closed(reason_);
  handler_.reset();
  const std::function<void(Stream&)> on_gone = std::move(on_gone_);
  on_gone(*this);
}

}  // namespace based
