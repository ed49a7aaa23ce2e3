// The native protocol through the daemon: one connection and one session a client, one thread that
// polls them all.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "protocol/native/frame.h"
#include "protocol/native/messages.h"
#include "tests/bench/contestant.h"

namespace based::bench {
namespace {

using Moment = std::chrono::steady_clock::time_point;
using namespace based::native;

constexpr std::uint32_t session = 1;

struct Client {
  int fd = -1;
  bool preface_seen = false;
  std::uint32_t request = 0;
  Moment sent;
  FrameBuffer frames{frame_payload_default};
};

void append_frame(std::string& out, MessageType type, std::uint32_t session_id,
                  std::uint32_t request, const std::string& payload) {
  FrameWriter writer(out, {.type = type, .session = session_id, .request = request});
  out += payload;
  writer.finish();
}

template <typename Message>
std::string payload_of(const Message& message) {
  std::string payload;
  encode(message, payload);
  return payload;
}

std::string exec_payload(Workload workload) {
  std::string sql = workload == Workload::read ? "SELECT payload FROM bench_rows WHERE id = $1"
                                               : "INSERT INTO bench_log(payload) VALUES ($1)";
  std::string payload;
  MessagePackWriter writer(payload);
  writer.array(2);
  writer.text(sql);
  writer.array(1);
  const int key = std::rand() % keys;
  if (workload == Workload::read) {
    writer.integer(key);
  } else {
    writer.text(std::to_string(key));
  }
  return payload;
}

void write_all(int fd, const std::string& bytes) {
  if (::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
    fail("the daemon does not take a request");
  }
}

void send_request(Client& client, Workload workload) {
  std::string out;
  ++client.request;
  if (workload == Workload::ping) {
    append_frame(out, MessageType::ping, 0, client.request, payload_of(Ping{}));
  } else {
    append_frame(out, MessageType::exec, session, client.request, exec_payload(workload));
  }
  client.sent = std::chrono::steady_clock::now();
  write_all(client.fd, out);
}

// Takes what has come. Is the answer to the request in flight whole?
bool receive(Client& client) {
  char buffer[65536];
  const ssize_t length = recv(client.fd, buffer, sizeof buffer, 0);
  if (length <= 0) fail("the daemon closed a connection");
  std::string_view bytes(buffer, static_cast<std::size_t>(length));
  if (!client.preface_seen) {
    if (bytes.size() < preface_bytes) fail("the daemon's preface came in pieces");
    bytes.remove_prefix(preface_bytes);
    client.preface_seen = true;
  }
  bool answered = false;
  client.frames.feed(bytes);
  for (Frame frame; client.frames.next(frame) == FrameBuffer::Scan::frame;) {
    if (frame.header.type == MessageType::error) {
      auto failure = decode_failure(frame.payload);
      fail("the daemon: " + (failure ? failure->error.message : failure.error().message));
    }
    const bool final =
        frame.header.type == MessageType::end || frame.header.type == MessageType::ping;
    if (final && frame.header.request == client.request) answered = true;
  }
  return answered;
}

void connect_client(Client& client, const std::string& path, const std::string& database) {
  client.fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (connect(client.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    fail("cannot connect to " + path);
  }
  std::string out = encode_client_preface({protocol_version, protocol_version});
  append_frame(out, MessageType::hello, 0, ++client.request, payload_of(Hello{.client = "bench"}));
  append_frame(out, MessageType::open, session, ++client.request,
               payload_of(Open{.database = database}));
  write_all(client.fd, out);
  while (!receive(client)) {
  }
}

}  // namespace

Figures run_native(const std::string& socket_path, const std::string& database, Workload workload,
                   int clients, std::chrono::milliseconds time) {
  std::vector<Client> all(static_cast<std::size_t>(clients));
  std::vector<pollfd> polled;
  for (Client& client : all) {
    connect_client(client, socket_path, database);
    polled.push_back({client.fd, POLLIN, 0});
  }
  Figures figures;
  const Moment start = std::chrono::steady_clock::now();
  const Moment end = start + time;
  std::size_t waiting = all.size();
  for (Client& client : all) send_request(client, workload);
  while (waiting > 0) {
    if (poll(polled.data(), polled.size(), 10000) <= 0) fail("the daemon does not answer");
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (polled[i].revents == 0 || !receive(all[i])) continue;
      const Moment now = std::chrono::steady_clock::now();
      ++figures.requests;
      figures.latencies_us.push_back(static_cast<std::uint32_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(now - all[i].sent).count()));
      if (now < end) {
        send_request(all[i], workload);
      } else {
        polled[i].fd = -1;
        --waiting;
      }
    }
  }
  figures.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const Client& client : all) close(client.fd);
  return figures;
}

}  // namespace based::bench
