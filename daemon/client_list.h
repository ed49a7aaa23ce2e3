// ClientList: every client that is connected. It owns the streams, limits their number and looks
// for stalled ones.
//
// Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "backends/log.h"
#include "daemon/greeter.h"
#include "daemon/stream.h"

namespace based {

struct ClientLimits {
  std::size_t clients_max;
  Duration write_stall_max;
  std::size_t read_buffer_bytes = 64 * 1024;  // one for all: what one read takes at most
};

class ClientList {
 public:
  // The options and everything else outlive the list.
  ClientList(UvReactor& reactor, Log& log, const ClientLimits& limits,
             const GreeterOptions& greeter);

  // Accepts from a listening socket that has somebody waiting.
  void accept(uv_stream_t* server, bool is_unix, const std::string& place);
  // Closes who has not said yet what it speaks: no front end knows of it, so none would end it.
  void close_strangers(std::string_view reason);
  // Closes everybody without flushing, as at the end of a drain. The list is empty a turn later.
  void abort_all(std::string_view reason);

  std::size_t size() const { return clients_.size(); }
  std::uint64_t accepted() const { return accepted_; }
  std::uint64_t refused() const { return refused_; }
  std::uint64_t bytes_received() const { return context_.bytes_received; }
  std::uint64_t bytes_sent() const { return context_.bytes_sent; }
  // Called when the list has become empty.
  void on_empty(std::function<void()> callback) { on_empty_ = std::move(callback); }

 private:
  void look_for_stalls();
  void gone(Stream& stream);

  UvReactor& reactor_;
  Log& log_;
  const ClientLimits limits_;
  const GreeterOptions& greeter_;
  StreamContext context_;
  struct Client {
    std::unique_ptr<Stream> stream;
    Greeter* greeter;  // the stream's handler, which it owns
  };
  std::unordered_map<Stream*, Client> clients_;
  std::unique_ptr<Reactor::Timer> stall_timer_;
  std::function<void()> on_empty_;
  std::uint64_t accepted_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace based
