// Greeter and PeerNames: a slow database of users holds up nobody but those who wait for it.
#include "daemon/greeter.h"

#include <doctest/doctest.h>

#include <map>
#include <vector>

#include "tests/support/fake_reactor.h"
#include "tests/support/fake_transport.h"

using namespace based;
using namespace std::chrono_literals;

namespace {

struct FrontEndProbe final : TransportHandler {
  FrontEndProbe(Transport& of, std::vector<std::string>& into) : transport(of), heard(into) {}
  void on_bytes(std::string_view bytes) override {
    heard.push_back(transport.peer_user() + ":" + std::string(bytes.substr(1)));
  }
  void on_drained() override {}
  void on_closed(std::string_view) override {}
  Transport& transport;
  std::vector<std::string>& heard;
};

struct Fixture {
  std::unique_ptr<FakeTransport> client(std::optional<std::uint32_t> uid) {
    auto transport = std::make_unique<FakeTransport>(reactor);
    transport->uid = uid;
    transport->handler = std::make_unique<Greeter>(*transport, options, reactor);
    return transport;
  }

  FakeReactor reactor;
  std::vector<std::string> heard;
  std::map<std::uint32_t, std::string> users{{7, "ann"}, {8, "bob"}};
  std::size_t asked = 0;
  PeerNames names{reactor, [this](std::uint32_t uid) {
                    ++asked;
                    return users.contains(uid) ? users[uid] : std::string();
                  }};
  FrontEndFactory make = [this](Transport& transport) {
    return std::make_unique<FrontEndProbe>(transport, heard);
  };
  GreeterOptions options{
      .first_byte_max = 10s, .native = make, .postgres = make, .peer_names = &names};
  using Heard = std::vector<std::string>;
};

constexpr std::string_view hello("\x1fhello", 6);

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a client's user is looked up off the loop, before it is heard") {
  const auto ann = client(7);
  const auto stranger = client(std::nullopt);
  ann->receive(hello);
  CHECK_FALSE(ann->reading);
  stranger->receive(hello);
  CHECK(heard == Heard{":hello"});
  CHECK(asked == 0);
  reactor.run_off_loop_jobs();
  CHECK(heard == Heard{":hello", "ann:hello"});
  CHECK(ann->reading);
  ann->receive("\x1fmore");
  CHECK(heard.back() == "ann:more");
}

TEST_CASE_FIXTURE(Fixture, "one look-up serves all who wait for it, and those of the next minute") {
  const auto one = client(7), two = client(7), three = client(7), other = client(8);
  one->receive(hello);
  two->receive(hello);
  other->receive(hello);
  CHECK(reactor.off_loop_jobs() == 2);
  reactor.run_off_loop_jobs();
  CHECK(heard == Heard{"ann:hello", "ann:hello", "bob:hello"});
  users[7] = "anna";
  three->receive(hello);
  CHECK(heard.back() == "ann:hello");
  CHECK(asked == 2);
  reactor.advance(61s);
  const auto later = client(7);
  later->receive(hello);
  reactor.run_off_loop_jobs();
  CHECK(heard.back() == "anna:hello");
}

TEST_CASE_FIXTURE(Fixture, "a user that does not exist has no name, and is asked for again") {
  for (std::size_t times : {1u, 2u}) {
    const auto nobody = client(99);
    nobody->receive(hello);
    reactor.run_off_loop_jobs();
    CHECK(heard.size() == times);
    CHECK(heard.back() == ":hello");
    CHECK(asked == times);
  }
}

TEST_CASE_FIXTURE(Fixture, "who waits for longer than a greeting may take is closed") {
  const auto ann = client(7);
  ann->receive(hello);
  reactor.advance(11s);
  CHECK(ann->closed);
  CHECK(ann->close_reason == "its user was not found in time");
  reactor.run_off_loop_jobs();
  CHECK(heard.empty());
}

TEST_CASE_FIXTURE(Fixture, "a client that goes while it waits is forgotten") {
  const auto ann = client(7);
  ann->receive(hello);
  ann->lose();
  reactor.run_off_loop_jobs();
  CHECK(heard.empty());
}

TEST_CASE("names that come when nobody asks any more are dropped") {
  FakeReactor reactor;
  std::vector<std::string> told;
  {
    PeerNames names(reactor, [](std::uint32_t) { return std::string("ann"); });
    names.find(7, [&told](const std::string& name) { told.push_back(name); });
  }
  reactor.run_off_loop_jobs();
  CHECK(told.empty());
}

TEST_CASE("the system's own users have names") {
  CHECK(PeerNames::system_user_name(0) == "root");
  CHECK(PeerNames::system_user_name(4'000'000'000).empty());
}
