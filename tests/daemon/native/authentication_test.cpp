// AUTH: who a client is, before anything else is heard.
#include "protocol/native/messagepack.h"
#include "tests/daemon/native/native_fixture.h"
#include "tests/support/scram_client.h"

using namespace based;
using namespace based::native;
using namespace std::chrono_literals;

namespace {

Users some_users(AuthMethod method = AuthMethod::scram) {
  Users users(method, AuthMethod::peer);
  users.add("alice", make_scram_verifier("hush", "salt of 16 bytes", 4096).value());
  return users;
}

// A client that has said HELLO, with the frames that answer it.
struct Login {
  explicit Login(Daemon& daemon_, std::string_view user = "alice")
      : daemon(daemon_), client(daemon, false) {
    client.transport().receive(encode_client_preface({.version_min = 1, .version_max = 1}));
    std::string payload;
    encode(Hello{.client = "test", .user = user, .features = {}, .frame_bytes_max = 0}, payload);
    client.raw(MessageType::hello, 0, payload);
    seen = preface_bytes;
  }
  struct Answer {
    FrameHeader header;
    std::string payload;
  };
  Answer next() {
    const std::string_view left = std::string_view(client.transport().sent).substr(seen);
    REQUIRE(left.size() >= header_bytes);
    Answer answer{decode_header(left.data()), {}};
    answer.payload = left.substr(header_bytes, answer.header.payload_bytes);
    seen += header_bytes + answer.payload.size();
    return answer;
  }
  void auth(std::string_view data, std::string_view mechanism = {}) {
    std::string payload;
    encode(Auth{.data = data, .mechanism = mechanism}, payload);
    client.raw(MessageType::auth, 0, payload);
  }
  // The code of the ERROR that ends the connection, and its message.
  std::string refusal() {
    const Answer answer = next();
    REQUIRE(answer.header.type == MessageType::error);
    const auto failure = decode_failure(answer.payload);
    REQUIRE(failure.ok());
    CHECK(failure->error.scope == ErrorScope::connection);
    CHECK(client.closed());
    return std::string(failure->error.sqlstate.text()) + " " + failure->error.message;
  }
  // The server's first message, behind the WELCOME that asks for it.
  std::string challenge(const ScramClient& scram) {
    REQUIRE(next().header.type == MessageType::welcome);
    auth(scram.first(), scram_mechanism);
    const Answer answer = next();
    REQUIRE(answer.header.type == MessageType::auth);
    CHECK(answer.header.request == client.last_request());
    const auto decoded = decode_auth(answer.payload);
    REQUIRE(decoded.ok());
    return std::string(decoded->data);
  }

  Daemon& daemon;
  Client client;
  std::size_t seen = 0;
};

}  // namespace

TEST_CASE("a client that knows the password is let in, and the daemon shows that it knows it too") {
  Daemon daemon({}, {}, some_users());
  Login login(daemon);
  ScramClient scram("hush");
  const Login::Answer asked = login.next();
  REQUIRE(asked.header.type == MessageType::welcome);
  const auto stranger = decode_welcome(asked.payload);
  REQUIRE(stranger.ok());
  CHECK(stranger->auth == "SCRAM-SHA-256");
  CHECK(stranger->cancel_key.empty());
  CHECK(stranger->databases.empty());

  login.auth(scram.first(), scram_mechanism);
  const Login::Answer first = login.next();
  REQUIRE(first.header.type == MessageType::auth);
  login.auth(scram.final(decode_auth(first.payload)->data));
  const Login::Answer last = login.next();
  REQUIRE(last.header.type == MessageType::welcome);
  CHECK(last.header.request == login.client.last_request());
  const auto welcome = decode_welcome(last.payload);
  REQUIRE(welcome.ok());
  CHECK(welcome->auth == "ok");
  CHECK(welcome->auth_data == scram.expected_final());
  CHECK(welcome->cancel_key.size() == 16);
  CHECK(welcome->databases.size() == 1);
}

TEST_CASE("a wrong password and an unknown user cannot be told apart") {
  Daemon daemon({}, {}, some_users());
  for (const std::string_view user : {"alice", "bob"}) {
    CAPTURE(user);
    Login login(daemon, user);
    ScramClient scram("wrong");
    const std::string challenge = login.challenge(scram);
    CHECK(challenge.ends_with(",i=4096"));
    login.auth(scram.final(challenge));
    CHECK(login.refusal() ==
          "28P01 password authentication failed for user \"" + std::string(user) + "\"");
  }
}

TEST_CASE("an unknown user is asked with the same salt each time") {
  Daemon daemon({}, {}, some_users());
  const auto salt = [&daemon](std::string_view user) {
    Login login(daemon, user);
    const std::string challenge = login.challenge(ScramClient("x"));
    return challenge.substr(challenge.find(",s="));
  };
  CHECK(salt("bob") == salt("bob"));
  CHECK(salt("bob") != salt("carol"));
}

TEST_CASE("nothing but AUTH is heard before the client is known") {
  std::string open;
  encode(Open{}, open);
  const std::vector<std::pair<MessageType, std::string>> requests = {
      {MessageType::open, open},        {MessageType::status, "\x90"},
      {MessageType::ping, "\x90"},      {MessageType::cancel, "\x91\x01"},
      {MessageType::exec, "\x91\xa1x"},
  };
  for (const auto& request : requests) {
    Daemon daemon({}, {}, some_users());
    Login login(daemon);
    login.next();
    login.client.raw(request.first, request.first == MessageType::status ? 0 : 1, request.second);
    CHECK(login.refusal().starts_with("28000 "));
    daemon.reactor.run_ready();
    CHECK(daemon.database->sessions() == 0);
  }
}

TEST_CASE("what was sent along with a wrong proof is not heard") {
  Daemon daemon({}, {}, some_users());
  Login login(daemon);
  ScramClient scram("wrong");
  const std::string challenge = login.challenge(scram);
  login.auth(scram.final(challenge));
  login.client.open(1);
  CHECK(login.refusal().starts_with("28P01 "));
  daemon.reactor.run_ready();
  CHECK(daemon.database->sessions() == 0);
}

TEST_CASE("a login that breaks the mechanism's rules is refused") {
  struct Case {
    const char* what;
    std::string first;
    std::string_view mechanism;
    const char* code;
  };
  const std::vector<Case> cases = {
      {"no mechanism", "n,,n=,r=abcdefghijklmnop", "", "08P01"},
      {"another mechanism", "n,,n=,r=abcdefghijklmnop", "SCRAM-SHA-1", "08P01"},
      {"channel binding", "p=tls-unique,,n=,r=abcdefghijklmnop", scram_mechanism, "0A000"},
      {"no SCRAM message", "hello", scram_mechanism, "08P01"},
      {"nothing", "", scram_mechanism, "08P01"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.what);
    Daemon daemon({}, {}, some_users());
    Login login(daemon);
    login.next();
    login.auth(one.first, one.mechanism);
    CHECK(login.refusal().substr(0, 5) == one.code);
  }
  Daemon daemon({}, {}, some_users());
  Login login(daemon);
  login.challenge(ScramClient("hush"));
  login.auth("c=biws");
  CHECK(login.refusal().starts_with("08P01 "));
}

TEST_CASE("a login that is not finished in the handshake's time is closed") {
  Daemon daemon({}, {}, some_users());
  Login login(daemon);
  daemon.reactor.advance(6s);
  login.challenge(ScramClient("hush"));
  daemon.reactor.advance(6s);
  CHECK(login.client.closed());
}

TEST_CASE("a proof cannot be given twice, nor where nobody asked") {
  Daemon daemon({}, {}, some_users());
  Login login(daemon);
  ScramClient scram("hush");
  const std::string challenge = login.challenge(scram);
  login.auth(scram.final(challenge));
  REQUIRE(login.next().header.type == MessageType::welcome);
  login.auth(scram.first(), scram_mechanism);
  CHECK(login.refusal().starts_with("08P01 "));
}

TEST_CASE("where clients are believed, the user still has to be one of the list") {
  Daemon daemon({}, {}, some_users(AuthMethod::trust));
  Login known(daemon, "alice");
  CHECK(known.next().header.type == MessageType::welcome);
  Login unknown(daemon, "bob");
  CHECK(unknown.refusal().starts_with("28000 "));
  Daemon asking({}, {}, some_users());
  Login nobody(asking, "");
  CHECK(nobody.refusal().starts_with("28000 "));
}
