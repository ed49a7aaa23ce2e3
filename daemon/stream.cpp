#include "daemon/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <uv.h>

#include <array>
#include <cerrno>
#include <utility>

#include "protocol/check.h"

namespace based {
namespace {

constexpr std::size_t buffers_kept_max = 32;
constexpr std::size_t buffer_bytes_kept_max = 16 * 1024;
// Bounded, so that one busy client does not keep the loop from the others.
constexpr int reads_per_event = 8;
// Of what the socket has taken, so much may stay in front of the rest.
constexpr std::size_t taken_kept_max = 64 * 1024;
constexpr int keepalive_after_s = 60;

void set_option(int socket, int level, int option, int value) {
  setsockopt(socket, level, option, &value, sizeof value);
}

std::string_view reason_of(int error) { return uv_strerror(uv_translate_sys_error(error)); }

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

Stream::Stream(StreamContext& context, Descriptor socket, bool is_unix,
               std::function<void(Stream&)> on_gone)
    : context_(context),
      socket_(std::move(socket)),
      on_gone_(std::move(on_gone)),
      is_unix_(is_unix) {}

Stream::~Stream() = default;

void Stream::begin(std::unique_ptr<TransportHandler> handler, std::string peer) {
  handler_ = std::move(handler);
  peer_ = std::move(peer);
  if (!is_unix_) {
    set_option(socket_.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(socket_.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(socket_.get(), IPPROTO_TCP, TCP_KEEPIDLE, keepalive_after_s);
  }
  watch_ = context_.reactor.watch(socket_.get(), [this](Reactor::Ready ready) { on_ready(ready); });
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

void Stream::on_ready(Reactor::Ready ready) {
  if (ready.failed) return end_broken();
  if (ready.readable) read();
  if (ready.writable && full_) {
    full_ = false;
    go_on();
    update_interest();
  }
}

void Stream::update_interest() {
  if (watch_ != nullptr) watch_->set_interest(reading_, full_);
}

void Stream::read() {
  for (int i = 0; i < reads_per_event && reading_; ++i) {
    if (read_once() < context_.read_buffer_bytes) return;
  }
}

// How many bytes came; 0 also where the stream has ended by it.
std::size_t Stream::read_once() {
  ssize_t length = 0;
  do length = ::recv(socket_.get(), context_.read_buffer.get(), context_.read_buffer_bytes, 0);
  while (length < 0 && errno == EINTR);
  if (length <= 0) {
    if (length == 0) finish("closed by the client");
    if (length < 0 && errno != EAGAIN) finish(reason_of(errno));
    return 0;
  }
  const auto bytes = static_cast<std::size_t>(length);
  context_.bytes_received += bytes;
  handler_->on_bytes({context_.read_buffer.get(), bytes});
  return bytes;
}

// What came before it broke is there, and then the reason.
void Stream::end_broken() {
  while (reading_ && read_once() > 0) continue;
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  finish(reason_of(error != 0 ? error : ECONNRESET));
}

void Stream::read_on() {
  if (reading_ || state_ != State::open) return;
  reading_ = true;
  looks_unread_ = 0;
  update_interest();
}

void Stream::set_reading(bool on) {
  if (on) return read_on();
  if (!reading_) return;
  reading_ = false;
  update_interest();
}

void Stream::send(std::string_view bytes) {
  if (state_ != State::open || bytes.empty()) return;
  if (unsent() == 0) progressed();
  if (output_.empty()) output_ = context_.output_buffers.take();
  output_.append(bytes);
  want_turn_end();
}

// There is one task at most, and the stream is there until it has run.
void Stream::want_turn_end() {
  if (turn_end_wanted_) return;
  turn_end_wanted_ = true;
  context_.reactor.at_end_of_turn([this] { end_turn(); });
}

void Stream::end_turn() {
  turn_end_wanted_ = false;
  if (state_ == State::closed) return tell_gone();
  go_on();
}

void Stream::flush() {
  if (state_ == State::open && !full_ && !output_.empty()) write_output();
}

void Stream::go_on() {
  if (!full_ && !output_.empty()) write_output();
  if (state_ == State::closed) return;
  if (unsent() == 0 && state_ == State::closing) return finish(reason_);
  if (tell_drained_ && unsent() <= drained_low_) {
    tell_drained_ = false;
    handler_->on_drained();
  }
}

void Stream::write_output() {
  const std::string_view rest = std::string_view(output_).substr(taken_);
  ssize_t written = 0;
  do written = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
  while (written < 0 && errno == EINTR);
  if (written < 0 && errno != EAGAIN && errno != ENOBUFS) return finish(reason_of(errno));
  if (written > 0) {
    progressed();
    context_.bytes_sent += static_cast<std::uint64_t>(written);
    taken_ += static_cast<std::size_t>(written);
  }
  if (taken_ == output_.size()) {
    context_.output_buffers.give_back(std::exchange(output_, {}));
    taken_ = 0;
    return;
  }
  if (taken_ > taken_kept_max && taken_ > output_.size() / 2) {
    output_.erase(0, taken_);
    taken_ = 0;
  }
  full_ = true;
  update_interest();
}

void Stream::progressed() { last_progress_ = context_.reactor.now(); }

void Stream::notify_when_drained(std::size_t low) {
  tell_drained_ = true;
  drained_low_ = low;
  want_turn_end();
}

// Not before the second look: who reads on in between sees the end where it is.
void Stream::check_gone() {
  if (state_ != State::open || reading_ || std::exchange(looks_unread_, 1) == 0) return;
  pollfd polled{.fd = socket_.get(), .events = POLLRDHUP, .revents = 0};
  if (::poll(&polled, 1, 0) <= 0) return;
  finish("closed by the client");
}

void Stream::check_stall() {
  if (unsent() == 0 || (state_ != State::open && state_ != State::closing)) return;
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
  want_turn_end();
}

std::optional<ucred> Stream::peer_credentials() const {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (!is_unix_) return std::nullopt;
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
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
  transition(State::closed);
  reading_ = full_ = false;
  update_interest();
  want_turn_end();
}

void Stream::tell_gone() {
  if (handler_ != nullptr) handler_->on_closed(reason_);
  handler_.reset();
  const std::function<void(Stream&)> on_gone = std::move(on_gone_);
  on_gone(*this);
}

}  // namespace based
