#include "daemon/client_list.h"

#include <fmt/format.h>

#include <utility>

#include "daemon/listener.h"

namespace based {
namespace {

constexpr std::chrono::seconds stall_look_interval{1};

std::string peer_of(uv_stream_t* client, bool is_unix, const std::string& place) {
  if (is_unix) return place;
  sockaddr_storage address{};
  int length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (uv_tcp_getpeername(reinterpret_cast<uv_tcp_t*>(client), generic, &length) != 0) return "gone";
  return format_address(generic);
}

}  // namespace

ClientList::ClientList(UvReactor& reactor, Log& log, const ClientLimits& limits,
                       const GreeterOptions& greeter)
    : reactor_(reactor),
      log_(log),
      limits_(limits),
      greeter_(greeter),
      context_{.reactor = reactor,
               .read_buffer = std::make_unique<char[]>(limits.read_buffer_bytes),
               .read_buffer_bytes = limits.read_buffer_bytes,
               .write_stall_max = limits.write_stall_max},
      stall_timer_(reactor.make_timer([this] { look_for_stalls(); })) {
  stall_timer_->arm(reactor_.now() + stall_look_interval);
}

void ClientList::accept(uv_stream_t* server, bool is_unix, const std::string& place) {
  auto stream = std::make_unique<Stream>(context_, [this](Stream& s) { gone(s); });
  uv_stream_t* handle = is_unix ? stream->accept_unix() : stream->accept_tcp();
  if (uv_accept(server, handle) != 0) return;
  if (clients_.size() >= limits_.clients_max) {
    ++refused_;
    log_.write(
        LogLevel::warning,
        fmt::format("listener {}: client turned away, {} are connected and max_clients is {}",
                    place, clients_.size(), limits_.clients_max));
    return;
  }
  ++accepted_;
  Stream& taken = *stream;
  auto greeter = std::make_unique<Greeter>(taken, greeter_, reactor_);
  clients_.emplace(&taken, Client{std::move(stream), greeter.get()});
  std::string peer = peer_of(handle, is_unix, place);
  if (log_.enabled(LogLevel::debug)) {
    log_.write(LogLevel::debug, fmt::format("client {}: connected to {}", peer, place));
  }
  taken.begin(std::move(greeter), std::move(peer));
}

void ClientList::gone(Stream& stream) {
  clients_.erase(&stream);
  if (clients_.empty() && on_empty_) on_empty_();
}

void ClientList::close_strangers(std::string_view reason) {
  for (auto& [stream, client] : clients_) {
    if (client.greeter->is_waiting()) stream->close(reason);
  }
}

void ClientList::abort_all(std::string_view reason) {
  for (auto& [stream, client] : clients_) stream->abort(reason);
}

void ClientList::look_for_stalls() {
  for (auto& [stream, client] : clients_) stream->check_stall();
  stall_timer_->arm(reactor_.now() + stall_look_interval);
}

}  // namespace based
