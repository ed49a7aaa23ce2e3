// The connection: preface, HELLO, frames, limits, PING, cancel from elsewhere, STATUS, the end.
#include "protocol/native/messagepack.h"
#include "tests/daemon/native/native_fixture.h"

using namespace based;
using namespace based::native;
using namespace std::chrono_literals;

namespace {

std::string frame(MessageType type, std::uint32_t session, std::uint32_t request,
                  std::string_view payload, std::uint8_t frame_flags = 0) {
  std::string bytes(header_bytes, '\0');
  encode_header({.payload_bytes = static_cast<std::uint32_t>(payload.size()),
                 .type = type,
                 .flags = frame_flags,
                 .session = session,
                 .request = request},
                bytes.data());
  return bytes.append(payload);
}

std::string hello() {
  std::string payload;
  encode(Hello{}, payload);
  return frame(MessageType::hello, 0, 1, payload);
}

std::string preface() { return encode_client_preface({.version_min = 1, .version_max = 1}); }

}  // namespace

TEST_CASE("the daemon says what it gives and limits") {
  NativeLimits limits;
  limits.sessions = 7;
  Daemon daemon({.name = "shop"}, limits);
  Client c(daemon, false);
  c.transport().receive(preface() + hello());
  daemon.reactor.run_ready();
  const std::string& sent = c.transport().sent;
  CHECK(sent.substr(0, preface_bytes) == encode_server_preface(1));
  const auto welcome = decode_welcome(std::string_view(sent).substr(preface_bytes + header_bytes));
  REQUIRE(welcome.ok());
  CHECK(welcome->limits.sessions == 7);
  CHECK(welcome->cancel_key.size() == 16);
  REQUIRE(welcome->databases.size() == 1);
  CHECK(welcome->databases[0].name == "shop");
  REQUIRE(welcome->features.size() == 2);
  CHECK(welcome->features[0] == "join");
  CHECK(welcome->features[1].substr(0, 2) == "x-");
}

TEST_CASE("who is turned away hears so when it has said HELLO, however it came") {
  const std::string all = preface() + hello();
  for (std::size_t at = 0; at <= all.size(); ++at) {
    Daemon daemon;
    Client c(daemon, false);
    const Error why = Error::make(sqlstate::too_many_connections, "too many").as_retryable();
    c.transport().handler = daemon.front_end->turn_away(c.transport(), why);
    c.transport().receive(all.substr(0, at));
    CHECK(c.closed() == (at == all.size()));
    c.transport().receive(all.substr(at) + frame(MessageType::ping, 0, 2, ""));
    CHECK(c.run() == Lines{"#1 ERROR 53300 idle connection retry"});
    CHECK(c.transport().close_reason == "too many");
    CHECK(daemon.log.text().find("refused") == std::string::npos);
  }
}

TEST_CASE("the handshake may arrive byte by byte") {
  Daemon daemon;
  Client c(daemon, false);
  std::string payload;
  encode(Open{}, payload);
  const std::string all = preface() + hello() + frame(MessageType::open, 1, 2, payload);
  for (const char byte : all) c.transport().receive({&byte, 1});
  CHECK(c.run() == Lines{"#2 END idle opened app"});
}

TEST_CASE("wrong magic and unknown versions are told and closed") {
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\n"), std::string("\x16\x03\x01\x02\x00\x01\x00\x01", 8),
        std::string("\x00\x00\x00\x08\x04\xd2\x16\x2f", 8),
        std::string("\x1f"
                    "BSD\x02\x09\0\0",
                    8),
        std::string("\x1f"
                    "BSD\x00\x00\0\0",
                    8)}) {
    Daemon daemon;
    Client c(daemon, false);
    c.transport().receive(bytes);
    daemon.reactor.run_ready();
    CHECK(c.closed());
    CHECK(c.transport().sent == encode_server_preface(0));
  }
}

TEST_CASE("a client that does not finish its handshake is closed") {
  for (const std::string& so_far :
       {std::string(), preface().substr(0, 3), preface(), preface() + hello().substr(0, 17)}) {
    Daemon daemon;
    Client c(daemon, false);
    c.transport().receive(so_far);
    for (int second = 0; second < 9; ++second) {
      daemon.reactor.advance(1s);
      if (second == 4) c.transport().receive("");  // dribbling does not help
    }
    CHECK(!c.closed());
    daemon.reactor.advance(2s);
    CHECK(c.closed());
  }
}

TEST_CASE("what breaks the frame's rules ends the connection and rolls back") {
  struct Case {
    const char* what;
    std::string bytes;
    const char* code;
  };
  std::string huge(header_bytes, '\0');
  encode_header(
      {.payload_bytes = (16u << 20) + 1, .type = MessageType::exec, .session = 1, .request = 9},
      huge.data());
  const std::vector<Case> cases = {
      {"a second HELLO", frame(MessageType::hello, 0, 9, "\x91\x80"), "08P01"},
      {"an unknown type", frame(static_cast<MessageType>(99), 0, 9, ""), "08P01"},
      {"a server's message", frame(MessageType::end, 1, 9, "\x91\x80"), "08P01"},
      {"AUTH", frame(MessageType::auth, 0, 9, "\x91\xa1x"), "08P01"},
      {"a number used again", frame(MessageType::ping, 0, 3, "\x90"), "08P01"},
      {"no number", frame(MessageType::ping, 0, 0, "\x90"), "08P01"},
      {"a queued request without session", frame(MessageType::exec, 0, 9, "\x91\xa1x"), "08P01"},
      {"a payload over the limit", huge, "54000"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.what);
    Daemon daemon;
    Client c(daemon);
    c.open(1);
    c.exec(1, "begin; insert a");
    c.run();
    CHECK(daemon.database->transactions() == 1);
    c.transport().receive(one.bytes + frame(MessageType::exec, 1, 10, "\x91\xa8insert b"));
    const Lines lines = c.run();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find(one.code) != std::string::npos);
    CHECK(lines[0].find(" connection") != std::string::npos);
    CHECK(c.closed());
    CHECK(daemon.database->sessions() == 0);
    CHECK(daemon.database->committed.empty());
  }
}

TEST_CASE("the first frame must be HELLO, and a bad HELLO ends the connection") {
  for (const std::string& first :
       {frame(MessageType::ping, 0, 1, "\x90"), frame(MessageType::open, 1, 1, "\x90"),
        frame(MessageType::hello, 0, 1, "\xc1")}) {
    Daemon daemon;
    Client c(daemon, false);
    c.transport().receive(preface() + first);
    const Lines lines = c.run();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find(" connection") != std::string::npos);
    CHECK(c.closed());
  }
}

TEST_CASE("an unknown frame that may be ignored is, and flags that mean nothing mean nothing") {
  Daemon daemon;
  Client c(daemon);
  c.transport().receive(frame(static_cast<MessageType>(200), 5, 77, "whatever", flags::ignorable));
  c.raw(MessageType::ping, 0, "\x90", 0xF8);
  CHECK(c.run() == Lines{"#2 PONG []"});
}

TEST_CASE("PING comes back as it was, past every queue") {
  Daemon daemon;
  Client c(daemon);
  c.open(1);
  c.exec(1, "slow");
  std::string echo;
  MessagePackWriter(echo).text("hello");
  c.ping(echo);
  CHECK(c.run().back() == "#4 PONG [\"hello\"]");
  c.ping();
  CHECK(c.run().back() == "#5 PONG []");
  daemon.database->run_on();
  c.run();
}

TEST_CASE("a silent client is asked, and closed when it stays silent") {
  NativeLimits limits;
  limits.ping = 10s;
  SUBCASE("silent") {
    Daemon daemon({}, limits);
    Client c(daemon);
    c.open(1);
    c.exec(1, "begin; insert a");
    c.run();
    daemon.reactor.advance(11s);
    CHECK(c.run() == Lines{"PING []"});
    daemon.reactor.advance(10s);
    CHECK(c.closed());
    CHECK(daemon.database->sessions() == 0);
  }
  SUBCASE("a loop that stood still asks all the same, and hears the answer") {
    Daemon daemon({}, limits);
    Client c(daemon);
    daemon.reactor.stand_still(60s);
    CHECK(c.run() == Lines{"PING []"});
    daemon.reactor.stand_still(60s);
    CHECK(!c.closed());
    c.transport().receive(frame(MessageType::ping, 0, 0, "\x90", flags::reply));
    daemon.reactor.advance(9s);
    CHECK(!c.closed());
    daemon.reactor.advance(12s);
    CHECK(c.closed());
  }
  SUBCASE("answering") {
    Daemon daemon({}, limits);
    Client c(daemon);
    for (int i = 0; i < 10; ++i) {
      daemon.reactor.advance(11s);
      CHECK(c.run() == Lines{"PING []"});
      c.transport().receive(frame(MessageType::ping, 0, 0, "\x90", flags::reply));
    }
    CHECK(!c.closed());
  }
}

TEST_CASE("a client with nothing open may rest only so long, whether or not it answers PING") {
  NativeLimits limits;
  limits.ping = 10s;
  limits.idle = 60s;
  Daemon daemon({}, limits);
  Client idle(daemon);
  Client busy(daemon);
  idle.open(1);
  busy.open(1);
  busy.exec(1, "begin; insert a");
  for (int i = 0; i < 14; ++i) {
    daemon.reactor.advance(5s);
    for (Client* c : {&idle, &busy}) {
      c->transport().receive(frame(MessageType::ping, 0, 0, "\x90", flags::reply));
    }
  }
  CHECK(idle.closed());
  CHECK(!busy.closed());
}

TEST_CASE("sessions, requests and their bytes are limited, each with its own answer") {
  NativeLimits limits;
  limits.sessions = 2;
  limits.requests = 3;
  limits.request_bytes = 500;
  Daemon daemon({}, limits);
  Client c(daemon);
  c.open(1);
  c.open(2);
  c.open(3);
  CHECK(c.run().back() == "#4 ERROR 53300 idle session retry");
  c.open(1);
  CHECK(c.run() == Lines{"#5 ERROR 08P01 idle"});
  c.exec(1, "slow");
  c.exec(1, std::string(600, ' '));
  CHECK(c.run() == Lines{"#7 ERROR 53200 idle retry"});
  c.exec(1, "insert a");
  c.exec(2, "slow");
  c.exec(2, "insert b");
  CHECK(c.run() == Lines{"#10 ERROR 53300 idle retry"});
  daemon.database->run_on();
  c.run();
  c.exec(2, "insert c");
  CHECK(c.run() == Lines{"#11 END idle [INSERT +1]"});
  CHECK(daemon.database->committed == Lines{"a", "c"});
}

TEST_CASE("a session that is not open answers 08003, an unknown database 3D000") {
  Daemon daemon;
  Client c(daemon);
  c.exec(5, "select 1");
  Open open;
  open.database = "nowhere";
  c.open(5, open);
  c.exec(5, "select 1");
  c.fetch(0, 77, 1);
  c.cancel(0, {.request = 77});
  CHECK(c.run() == Lines{"#2 ERROR 08003 idle session", "#3 ERROR 3D000 idle session",
                         "#4 ERROR 08003 idle session", "#5 END idle not found",
                         "#6 END idle not found"});
}

TEST_CASE("a request may be cancelled from another connection, with the right key only") {
  Daemon daemon;
  Client c(daemon);
  c.open(1);
  const auto request = c.exec(1, "slow");
  c.run();
  Client other(daemon);
  const std::string wrong(16, 'x');
  other.cancel(0, {.request = request, .connection = c.connection, .key = wrong});
  other.cancel(0, {.request = request, .connection = 999, .key = c.cancel_key});
  other.cancel(0, {.request = request, .connection = c.connection, .key = ""});
  CHECK(other.run() ==
        Lines{"#2 END idle not found", "#3 END idle not found", "#4 END idle not found"});
  other.cancel(0, {.request = request, .connection = c.connection, .key = c.cancel_key});
  CHECK(other.run() == Lines{"#5 END idle found"});
  CHECK(c.run() == Lines{"#3 ERROR 57014 idle"});
}

TEST_CASE("who asks without reading the answers is not heard until it does") {
  NativeLimits limits;
  limits.output_bytes = 64 << 10;
  Daemon daemon({}, limits);
  Client c(daemon, true, client_payload_min);
  c.transport().stalled = true;
  std::string echo;
  MessagePackWriter(echo).text(std::string(1000, 'x'));
  for (int i = 0; i < 10'000 && c.transport().reading; ++i) c.ping(echo);
  CHECK(!c.transport().reading);
  CHECK(c.transport().unsent() < (1 << 20));
  c.transport().take_all();
  c.run();
  CHECK(c.transport().reading);
}

TEST_CASE("STATUS shows the sessions with their levels") {
  Daemon daemon;
  daemon.front_end->set_status_source([&daemon] {
    return StatusTree(StatusTree::Map{{"native", describe(daemon.front_end->status())}});
  });
  Client c(daemon);
  Open open;
  open.label = "import";
  c.open(1, open);
  c.exec(1, "begin; insert a; savepoint s");
  c.run();
  c.status();
  CHECK(c.run().back() == "#4 END idle status");
  const FrontEndStatus status = daemon.front_end->status();
  CHECK(status.connections == 1);
  REQUIRE(status.sessions.size() == 1);
  CHECK(status.sessions[0].label == "import");
  CHECK(status.sessions[0].database == "app");
  CHECK(status.sessions[0].transaction == "open");
  REQUIRE(status.sessions[0].levels.size() == 2);
  CHECK(status.sessions[0].levels[0].state == "open");
  CHECK(status.sessions[0].levels[1].state == "pending");
  CHECK(status.sessions[0].levels[1].name == "s");
}
