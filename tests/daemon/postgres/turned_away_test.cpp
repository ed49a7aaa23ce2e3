// A client of PostgreSQL's protocol that there is no place for.
#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "daemon/postgres/front_end.h"
#include "protocol/postgres/startup.h"
#include "tests/support/fake_reactor.h"
#include "tests/support/fake_transport.h"
#include "tests/support/memory_log.h"

using namespace based;
using namespace based::postgres;

namespace {

std::string be32(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xFF);
  return bytes;
}

std::string untyped(const std::string& body) {
  return be32(static_cast<std::uint32_t>(body.size() + 4)) + body;
}

const std::string ssl = untyped(be32(80877103));
const std::string gss = untyped(be32(80877104));
const std::string cancel = untyped(be32(80877102) + be32(1) + be32(2));
const std::string start = untyped(be32(3 << 16) + std::string("user\0ann\0\0", 10));

class TurnedAway {
 public:
  TurnedAway() { transport.handler = front_end_.turn_away(transport, why_); }
  ~TurnedAway() { transport.lose(); }

  // The error's fields, each with its letter, behind what was said before it.
  std::string said() const {
    std::string text = transport.sent;
    for (char& c : text) {
      if (c == '\0') c = ' ';
    }
    return text;
  }

  MemoryLog log;
  FakeReactor reactor;
  FakeTransport transport{reactor};

 private:
  const Error why_ =
      Error::make(sqlstate::too_many_connections, "too many").with_hint("max_clients is 3.");
  DatabaseDirectory databases_;
  Users users_{AuthMethod::scram, AuthMethod::scram};
  PostgresFrontEnd front_end_{{}, databases_, users_, reactor, log};
};

}  // namespace

TEST_CASE("who is turned away hears so when its start-up packet is whole, however it came") {
  for (std::size_t at = 0; at <= start.size(); ++at) {
    TurnedAway client;
    client.transport.receive(start.substr(0, at));
    CHECK(client.transport.closed == (at == start.size()));
    client.transport.receive(start.substr(at));
    CHECK(client.transport.closed);
    CHECK(client.said().substr(5) == "SFATAL VFATAL C53300 Mtoo many Hmax_clients is 3.  ");
    CHECK(client.log.text().empty());
  }
}

TEST_CASE("who is turned away is declined encryption first") {
  TurnedAway client;
  client.transport.receive(gss);
  CHECK(client.transport.sent == "N");
  client.transport.receive(ssl);
  CHECK(client.transport.sent == "NN");
  client.transport.receive(start);
  CHECK(client.said().find("C53300 ") != std::string::npos);
  CHECK(client.transport.closed);
}

TEST_CASE("a cancel request needs no place") {
  TurnedAway client;
  client.transport.receive(ssl);
  client.transport.receive(cancel);
  CHECK(client.transport.sent == "N");
  CHECK(client.transport.close_reason == "a cancel request");
}

TEST_CASE("who is turned away and breaks the protocol hears of that") {
  TurnedAway client;
  client.transport.receive(untyped(be32(3 << 16)));
  CHECK(client.said().find("C08P01 ") != std::string::npos);
  CHECK(client.transport.closed);
}
