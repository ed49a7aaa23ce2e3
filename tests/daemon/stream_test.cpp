#include "daemon/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "daemon/client_list.h"
#include "daemon/listener.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/memory_log.h"

using namespace based;
using namespace std::chrono_literals;

namespace {

std::string temporary_folder() {
  std::string path = "/tmp/based-stream-XXXXXX";
  REQUIRE(mkdtemp(path.data()) != nullptr);
  return path;
}

int connect_to(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

// What the handler of the test does with its bytes.
struct Script {
  std::function<void(Transport&, std::string_view)> on_bytes;
  std::function<void()> on_drained;
  std::string closed;
  Transport* transport = nullptr;
};

class ScriptedHandler final : public TransportHandler {
 public:
  ScriptedHandler(Transport& transport, Script& script) : transport_(transport), script_(script) {
    script_.transport = &transport;
  }
  void on_bytes(std::string_view bytes) override { script_.on_bytes(transport_, bytes); }
  void on_drained() override {
    if (script_.on_drained) script_.on_drained();
  }
  void on_closed(std::string_view reason) override { script_.closed = reason; }

 private:
  Transport& transport_;
  Script& script_;
};

// A listening unix socket with a client list behind it.
class StreamFixture : public LoopFixture {
 public:
  explicit StreamFixture(const ClientLimits& limits = {.clients_max = 4, .write_stall_max = 5s}) {
    folder_ = temporary_folder();
    greeters_.welcome.first_byte_max = 5s;
    greeters_.welcome.native = [this](Transport& t) {
      return std::make_unique<ScriptedHandler>(t, script);
    };
    greeters_.turn_away.first_byte_max = 5s;
    greeters_.turn_away.native = [this](Transport& t) {
      return std::make_unique<ScriptedHandler>(t, refusal);
    };
    clients = std::make_unique<ClientList>(reactor, log, limits, greeters_);
    auto opened = Listener::open({.path = folder_ + "/s"}, reactor,
                                 [this](Accepted client) { clients->take(std::move(client)); });
    REQUIRE(opened.ok());
    listeners = std::move(*opened);
  }
  ~StreamFixture() {
    listeners.clear();
    clients->abort_all("end of test");
    run_until([this] { return clients->size() == 0; });
    clients.reset();
    CHECK(access((folder_ + "/s").c_str(), F_OK) != 0);
    CHECK(rmdir(folder_.c_str()) == 0);
  }

  int connect_client() { return connect_to(folder_ + "/s"); }

  MemoryLog log;
  Script script;   // of clients that have a place
  Script refusal;  // of those that are turned away
  std::unique_ptr<ClientList> clients;
  std::vector<std::unique_ptr<Listener>> listeners;

 private:
  std::string folder_;
  ClientGreeters greeters_;
};

class StallFixture : public StreamFixture {
 public:
  StallFixture() : StreamFixture({.clients_max = 4, .write_stall_max = 10ms}) {}
};

// One place, and a client in it.
class NarrowFixture : public StreamFixture {
 public:
  explicit NarrowFixture(Duration turning_away_max = 5s)
      : StreamFixture(
            {.clients_max = 1, .write_stall_max = 5s, .turning_away_max = turning_away_max}) {
    script.on_bytes = [](Transport& t, std::string_view) { t.send("x"); };
    first = connect_client();
    REQUIRE(write(first, "\x1f", 1) == 1);
    run_until([this] { return script.transport != nullptr; });
  }
  ~NarrowFixture() { close(first); }

  int first = -1;
};

class ImpatientFixture : public NarrowFixture {
 public:
  ImpatientFixture() : NarrowFixture(10ms) {}
};

// What the log says of clients that were turned away: in how many lines, and how many they were.
struct Refusals {
  std::size_t lines = 0;
  std::size_t clients = 0;

  explicit Refusals(const std::string& log) {
    const std::string_view before = "server: ";
    for (std::size_t at = log.find(before); at != log.npos; at = log.find(before, at + 1)) {
      const char* count = log.c_str() + at + before.size();
      clients += *count == 'a' ? 1 : std::strtoul(count, nullptr, 10);
      ++lines;
    }
  }
};

}  // namespace

TEST_CASE_FIXTURE(StreamFixture,
                  "bytes come in as sent and what one turn sends goes out together") {
  std::string received;
  script.on_bytes = [&](Transport& t, std::string_view bytes) {
    received += bytes;
    t.send("one ");
    t.send("two");
  };
  const int fd = connect_client();
  REQUIRE(write(fd, "\x1fhello", 6) == 6);
  run_until([&] { return received == "\x1fhello"; });
  char answer[16];
  CHECK(read(fd, answer, sizeof answer) == 7);
  close(fd);
  run_until([&] { return !script.closed.empty(); });
  CHECK(script.closed == "closed by the client");
}

TEST_CASE_FIXTURE(StreamFixture,
                  "close flushes megabytes first, and the handler may ask for it in its callback") {
  const std::string megabytes(4 << 20, 'x');
  script.on_bytes = [&](Transport& t, std::string_view) {
    t.send(megabytes);
    t.close("done");
    t.send("never seen");
  };
  const int fd = connect_client();
  REQUIRE(write(fd, "\x1f", 1) == 1);
  run_until([&] { return script.transport != nullptr && script.transport->unsent() > 0; });
  std::size_t received = 0;
  std::string buffer(1 << 16, '\0');
  while (received < megabytes.size()) {
    const ssize_t n = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n > 0) received += static_cast<std::size_t>(n);
    if (n <= 0) uv_run(reactor.loop(), UV_RUN_NOWAIT);
  }
  run_until([&] { return script.closed == "done"; });
  CHECK(read(fd, buffer.data(), buffer.size()) == 0);
  close(fd);
}

TEST_CASE_FIXTURE(StreamFixture, "on_drained comes once, when the output has fallen to the mark") {
  int drained = 0;
  script.on_drained = [&] { ++drained; };
  script.on_bytes = [&](Transport& t, std::string_view) {
    t.send(std::string(1 << 20, 'x'));
    t.notify_when_drained(0);
  };
  const int fd = connect_client();
  REQUIRE(write(fd, "\x1f", 1) == 1);
  run_until([&] { return script.transport != nullptr; });
  CHECK(drained == 0);
  std::string buffer(1 << 16, '\0');
  while (drained == 0) {
    [[maybe_unused]] const auto n = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    uv_run(reactor.loop(), UV_RUN_NOWAIT);
  }
  CHECK(drained == 1);
  CHECK(script.transport->unsent() == 0);
  close(fd);
}

TEST_CASE_FIXTURE(StreamFixture, "what is flushed is there at once, the rest at the turn's end") {
  int fd = -1;
  char answer[8];
  ssize_t at_once = 0;
  script.on_bytes = [&](Transport& t, std::string_view) {
    t.send("now");
    t.flush();
    at_once = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    t.send("later");
    CHECK(recv(fd, answer, sizeof answer, MSG_DONTWAIT) == -1);
  };
  fd = connect_client();
  REQUIRE(write(fd, "\x1f", 1) == 1);
  run_until([&] { return at_once != 0; });
  CHECK(at_once == 3);
  CHECK(recv(fd, answer, sizeof answer, MSG_DONTWAIT) == 5);
  close(fd);
}

TEST_CASE_FIXTURE(StreamFixture, "a flush to a client that is gone is no end in the middle of it") {
  std::signal(SIGPIPE, SIG_IGN);  // as the daemon does
  int fd = -1;
  bool within = false;
  bool told_within = true;
  script.on_bytes = [&](Transport& t, std::string_view) {
    close(fd);
    within = true;
    t.send("lost");
    t.flush();
    told_within = !script.closed.empty();
    t.send("as well");
    t.flush();
    within = false;
  };
  fd = connect_client();
  REQUIRE(write(fd, "\x1f", 1) == 1);
  run_until([&] { return !script.closed.empty(); });
  CHECK_FALSE(within);
  CHECK_FALSE(told_within);
}

TEST_CASE_FIXTURE(StallFixture, "a client that stops taking its output is closed") {
  script.on_bytes = [&](Transport& t, std::string_view) { t.send(std::string(8 << 20, 'x')); };
  const int fd = connect_client();
  REQUIRE(write(fd, "\x1f", 1) == 1);
  run_until([&] { return !script.closed.empty(); });
  CHECK(script.closed == "its output was not taken for too long");
  close(fd);
}

TEST_CASE_FIXTURE(NarrowFixture, "a client above max_clients is told so, and the others stay") {
  refusal.on_bytes = [](Transport& t, std::string_view) {
    t.send("no");
    t.close("too many");
  };
  const int second = connect_client();
  REQUIRE(write(second, "\x1f", 1) == 1);
  run_until([&] { return refusal.closed == "too many"; });
  char answer[8];
  CHECK(read(second, answer, sizeof answer) == 2);
  CHECK(read(second, answer, sizeof answer) == 0);
  run_until([&] { return clients->turning_away() == 0; });
  CHECK(clients->connected() == 1);
  CHECK(clients->accepted() == 1);
  CHECK(clients->refused() == 1);
  CHECK(script.closed.empty());
  close(second);
}

TEST_CASE_FIXTURE(NarrowFixture,
                  "only some are turned away at once, and of a flood the log says little") {
  std::vector<int> crowd;
  for (std::size_t i = 0; i < turned_away_at_once(1) + 5; ++i) crowd.push_back(connect_client());
  run_until([&] { return clients->refused() == crowd.size(); });
  CHECK(clients->turning_away() == turned_away_at_once(1));
  CHECK(clients->size() == 1 + turned_away_at_once(1));
  // The last ones are closed without a word.
  char answer;
  run_until([&] { return recv(crowd.back(), &answer, 1, MSG_DONTWAIT) == 0; });
  CHECK(recv(crowd.front(), &answer, 1, MSG_DONTWAIT) == -1);
  CHECK(log.text().find("server: a client turned away, 1 are connected and max_clients is 1\n") !=
        std::string::npos);
  run_until([&] { return Refusals(log.text()).clients == crowd.size(); });
  CHECK(Refusals(log.text()).lines < crowd.size() / 2);
  // Their places are for others when they are gone.
  for (const int fd : crowd) close(fd);
  run_until([&] { return clients->turning_away() == 0; });
  CHECK(clients->connected() == 1);
}

TEST_CASE_FIXTURE(ImpatientFixture,
                  "a client that is turned away has little time, whatever it says") {
  refusal.on_bytes = [](Transport&, std::string_view) {};
  const int silent = connect_client();
  const int talker = connect_client();
  REQUIRE(write(talker, "\x1f", 1) == 1);
  run_until([&] { return clients->turning_away() == 2; });
  run_until([&] { return clients->turning_away() == 0; });
  CHECK(refusal.closed == "turned away");
  char answer;
  CHECK(read(silent, &answer, 1) == 0);
  CHECK(read(talker, &answer, 1) == 0);
  close(silent);
  close(talker);
}

TEST_CASE("so many clients are let in that there are descriptors for those turned away") {
  for (const std::size_t descriptors : {0u, 15u, 16u, 24u, 25u, 100u, 1000u, 65'280u, 1'000'000u}) {
    const std::size_t clients = clients_within(descriptors);
    CHECK(clients + (clients > 0 ? turned_away_at_once(clients) : 0) <= descriptors);
    CHECK(clients + turned_away_share + turned_away_at_once(clients + turned_away_share) >
          descriptors);
  }
}

TEST_CASE_FIXTURE(StreamFixture, "other protocols are refused in their own words") {
  std::uint64_t accepted_before = 0;
  const auto conversation = [&](std::string_view sent) {
    const int fd = connect_client();
    REQUIRE(write(fd, sent.data(), sent.size()) == static_cast<ssize_t>(sent.size()));
    const auto before = accepted_before;
    run_until([&] { return clients->accepted() > before && clients->size() == 0; });
    accepted_before = clients->accepted();
    char answer[512];
    const ssize_t n = read(fd, answer, sizeof answer);
    close(fd);
    return std::string(answer, static_cast<std::size_t>(n > 0 ? n : 0));
  };
  CHECK(conversation("\x16\x03\x01") == std::string_view("\x15\x03\x01\x00\x02\x02\x46", 7));
  CHECK(conversation("GET / HTTP/1.1\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(conversation("?").empty());
}

TEST_CASE("a socket's path belongs to the living daemon and passes on when it is gone") {
  const std::string folder = temporary_folder();
  const std::string path = folder + "/s";
  {
    auto first = UnixSocketPath::claim(path);
    REQUIRE(first.ok());
    auto second = UnixSocketPath::claim(path);
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().sqlstate == sqlstate::lock_not_available);
  }
  // A socket file without its daemon is stale.
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  close(fd);
  {
    auto third = UnixSocketPath::claim(path);
    CHECK(third.ok());
    CHECK(access(path.c_str(), F_OK) != 0);
  }
  // Anything but a socket is not ours to remove.
  close(open((folder + "/file").c_str(), O_CREAT | O_WRONLY, 0600));
  auto file = UnixSocketPath::claim(folder + "/file");
  REQUIRE_FALSE(file.ok());
  CHECK(file.error().message.find("no socket") != std::string::npos);
  unlink((folder + "/file").c_str());
  unlink((folder + "/file.lock").c_str());
  CHECK(rmdir(folder.c_str()) == 0);
  CHECK_FALSE(UnixSocketPath::claim(std::string(200, 'x')).ok());
}
