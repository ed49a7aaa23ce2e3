#include "tests/support/fake_reactor.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <string>

using namespace based;
using namespace std::chrono_literals;

TEST_CASE("timers fire in order of their due times, each at its own time") {
  FakeReactor reactor;
  const TimePoint start = reactor.now();
  std::string order;
  auto late = reactor.make_timer([&] { order += "late"; });
  auto early = reactor.make_timer([&] {
    order += "early ";
    CHECK(reactor.now() == start + 10ms);
  });
  late->arm(start + 20ms);
  early->arm(start + 10ms);
  reactor.advance(5ms);
  CHECK(order.empty());
  reactor.advance(15ms);
  CHECK(order == "early late");
  CHECK(reactor.now() == start + 20ms);
}

TEST_CASE("a timer that was disarmed, or destroyed in another's callback, does not fire") {
  FakeReactor reactor;
  int fired = 0;
  auto victim = reactor.make_timer([&] { ++fired; });
  auto killer = reactor.make_timer([&] { victim.reset(); });
  auto quiet = reactor.make_timer([&] { ++fired; });
  victim->arm(reactor.now() + 2ms);
  killer->arm(reactor.now() + 1ms);
  quiet->arm(reactor.now() + 1ms);
  quiet->disarm();
  reactor.advance(1s);
  CHECK(fired == 0);
}

TEST_CASE("off-loop jobs rest until the test runs them, in any order it likes") {
  FakeReactor reactor;
  std::string order;
  reactor.run_off_loop([&] { order += "a"; }, [&] { order += "A"; });
  reactor.run_off_loop([&] { order += "b"; }, [&] { order += "B"; });
  CHECK(reactor.settle());
  CHECK(order.empty());
  reactor.run_off_loop_job(1);
  reactor.run_off_loop_jobs();
  CHECK(order == "bBaA");
}

TEST_CASE("a watch reports a real descriptor while there is interest in it") {
  FakeReactor reactor;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  int told = 0;
  auto watch = reactor.watch(ends[0], [&](Reactor::Ready ready) {
    CHECK(ready.readable);
    ++told;
  });
  REQUIRE(::write(ends[1], "x", 1) == 1);
  CHECK(reactor.poll_once() == 0);
  watch->set_interest(true, false);
  CHECK(reactor.poll_once() == 1);
  watch.reset();
  CHECK(reactor.poll_once() == 0);
  CHECK(told == 1);
  ::close(ends[0]);
  ::close(ends[1]);
}
