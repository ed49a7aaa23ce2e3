#include "backends/postgres/pq_channel.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "protocol/check.h"

namespace based::postgres {

struct PqChannel::CancelJob {
  ~CancelJob() { PQfreeCancel(cancel); }
  PGcancel* cancel = nullptr;
  bool sent = false;               // written by the helper thread before `then` runs
  std::function<void(bool)> done;  // loop thread; empty when the channel is gone
};

PqChannel::PqChannel(Connection connection, Reactor& reactor)
    : connection_(std::move(connection)),
      reactor_(reactor),
      fd_(PQsocket(connection_.get())),
      tls_(PQsslStruct(connection_.get(), "OpenSSL")) {
  INVARIANT(fd_ >= 0);
}

PqChannel::~PqChannel() {
  if (cancel_job_) cancel_job_->done = nullptr;
}

IoResult PqChannel::read(std::span<char> space) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    const int size = static_cast<int>(std::min<std::size_t>(space.size(), INT_MAX));
    return tls_result(SSL_read(static_cast<SSL*>(tls_), space.data(), size), "TLS read");
  }
  for (;;) {
    const ssize_t n = ::recv(fd_, space.data(), space.size(), 0);
    if (n > 0) return {Io::done, static_cast<std::size_t>(n)};
    if (n == 0) return {Io::ended};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Io::wants_read};
    return failed("read");
  }
}

IoResult PqChannel::write(std::string_view bytes) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    const int size = static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
    return tls_result(SSL_write(static_cast<SSL*>(tls_), bytes.data(), size), "TLS write");
  }
  for (;;) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) return {Io::done, static_cast<std::size_t>(n)};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Io::wants_write};
    return failed("write");
  }
}

IoResult PqChannel::tls_result(int result, const char* what) {
  if (result > 0) return {Io::done, static_cast<std::size_t>(result)};
  switch (SSL_get_error(static_cast<SSL*>(tls_), result)) {
    case SSL_ERROR_WANT_READ:
      return {Io::wants_read};
    case SSL_ERROR_WANT_WRITE:
      return {Io::wants_write};
    case SSL_ERROR_ZERO_RETURN:
      return {Io::ended};
    case SSL_ERROR_SYSCALL:
      if (errno == 0) return {Io::ended};  // closed without close_notify, as a crashed server does
      return failed(what);
    default:
      break;
  }
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  last_error_ = std::string(what) + ": " + text.data();
  return {Io::failed};
}

IoResult PqChannel::failed(const char* what) {
  std::array<char, 128> text{};
  last_error_ = std::string(what) + ": " + ::strerror_r(errno, text.data(), text.size());
  return {Io::failed};
}

std::string PqChannel::parameter(const std::string& name) const {
  const char* value = PQparameterStatus(connection_.get(), name.c_str());
  return value == nullptr ? "" : value;
}

void PqChannel::cancel(std::function<void(bool sent)> done) {
  INVARIANT(!cancel_job_ || !cancel_job_->done);
  auto job = std::make_shared<CancelJob>();
  job->cancel = PQgetCancel(connection_.get());
  job->done = std::move(done);
  cancel_job_ = job;
  reactor_.run_off_loop(
      [job] {
        std::array<char, 256> error{};
        job->sent = job->cancel != nullptr &&
                    PQcancel(job->cancel, error.data(), static_cast<int>(error.size())) == 1;
      },
      [job] {
        const auto told = std::exchange(job->done, nullptr);
        if (told) told(job->sent);
      });
}

}  // namespace based::postgres
