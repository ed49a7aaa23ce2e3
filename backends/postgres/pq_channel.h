// PqChannel: the socket of a connection that libpq opened. See channel.h.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <string>

#include "backends/postgres/channel.h"
#include "backends/reactor.h"

namespace based::postgres {

struct FinishConnection {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
using Connection = std::unique_ptr<PGconn, FinishConnection>;

class PqChannel final : public Channel {
 public:
  // REQUIRES an open, non-blocking connection with nothing outstanding.
  PqChannel(Connection connection, Reactor& reactor);
  ~PqChannel() override;

  int fd() const override { return fd_; }
  IoResult read(std::span<char> space) override;
  bool keeps_bytes() const override { return tls_ != nullptr; }
  IoResult write(std::string_view bytes) override;
  std::string last_error() const override { return last_error_; }
  std::int32_t process_id() const override { return PQbackendPID(connection_.get()); }
  std::string parameter(const std::string& name) const override;
  void cancel(std::function<void(bool sent)> done) override;

 private:
  // Shared with the helper thread's job, which may outlive the channel.
  struct CancelJob;
  IoResult tls_result(int result, const char* what);
  IoResult failed(const char* what);

  Connection connection_;
  Reactor& reactor_;
  int fd_;
  void* tls_;  // SSL*, or null
  std::string last_error_;
  std::shared_ptr<CancelJob> cancel_job_;
};

}  // namespace based::postgres
