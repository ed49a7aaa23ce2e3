#include "daemon/uv_reactor.h"

#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "tests/support/loop_fixture.h"

using namespace based;
using namespace std::chrono_literals;

TEST_CASE_FIXTURE(LoopFixture,
                  "a timer fires once, not early, and may be armed again in its callback") {
  int fired = 0;
  const TimePoint start = reactor.now();
  TimePoint at{};
  std::unique_ptr<Reactor::Timer> timer;
  timer = reactor.make_timer([&] {
    at = reactor.now();
    if (++fired < 3) timer->arm(reactor.now() + 2ms);
  });
  timer->arm(start + 5ms);
  run_until([&] { return fired == 3; });
  CHECK(at >= start + 9ms);
  timer->arm(reactor.now());
  timer->disarm();
  bool later = false;
  const auto other = reactor.make_timer([&] { later = true; });
  other->arm(reactor.now() + 5ms);
  run_until([&] { return later; });
  CHECK(fired == 3);
}

TEST_CASE_FIXTURE(LoopFixture, "a timer's newest time counts, whether it is later or earlier") {
  std::vector<TimePoint> fired;
  const auto timer = reactor.make_timer([&] { fired.push_back(reactor.now()); });
  const TimePoint start = reactor.now();
  timer->arm(start + 2ms);
  timer->arm(start + 20ms);
  run_until([&] { return !fired.empty(); });
  CHECK(fired.front() >= start + 20ms);

  timer->arm(reactor.now() + 1h);
  timer->disarm();
  timer->arm(reactor.now() + 1h);
  timer->arm(reactor.now() + 2ms);
  run_until([&] { return fired.size() == 2; });

  timer->arm(reactor.now() + 2ms);
  timer->disarm();
  bool later = false;
  const auto other = reactor.make_timer([&] { later = true; });
  other->arm(reactor.now() + 10ms);
  run_until([&] { return later; });
  CHECK(fired.size() == 2);
}

TEST_CASE_FIXTURE(LoopFixture, "a short time that does not count any more wakes nobody") {
  const auto timer = reactor.make_timer([] {}), far = reactor.make_timer([] {});
  uv_run(reactor.loop(), UV_RUN_NOWAIT);  // its descriptors are known from then on
  far->arm(reactor.now() + 2h);
  timer->arm(reactor.now() + 10ms);
  CHECK(uv_backend_timeout(reactor.loop()) == 10);
  timer->disarm();
  CHECK(uv_backend_timeout(reactor.loop()) == 7'200'000);
  timer->arm(reactor.now() + 10ms);
  timer->arm(reactor.now() + 1h);
  CHECK(uv_backend_timeout(reactor.loop()) == 3'600'000);
}

TEST_CASE_FIXTURE(LoopFixture, "a timer may be destroyed in its own callback") {
  std::unique_ptr<Reactor::Timer> timer;
  bool fired = false;
  timer = reactor.make_timer([&] {
    timer.reset();
    fired = true;
  });
  timer->arm(reactor.now());
  run_until([&] { return fired; });
}

TEST_CASE_FIXTURE(LoopFixture, "posts from other threads run on the loop, in their order") {
  std::vector<int> seen;
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) reactor.post([&seen, i] { seen.push_back(i); });
  });
  run_until([&] { return seen.size() == 100; });
  other.join();
  CHECK(std::is_sorted(seen.begin(), seen.end()));
}

TEST_CASE_FIXTURE(LoopFixture,
                  "the end of the turn comes after the turn's events and before sleep") {
  std::string order;
  reactor.post([&] {
    reactor.at_end_of_turn([&] {
      order += "end;";
      reactor.at_end_of_turn([&] { order += "again;"; });
    });
    order += "event;";
  });
  reactor.post([&] { order += "event;"; });
  run_until([&] { return order.size() >= 22; });
  CHECK(order == "event;event;end;again;");
}

TEST_CASE_FIXTURE(LoopFixture,
                  "blocking work runs off the loop and its answer on it, even at the end") {
  const auto loop_thread = std::this_thread::get_id();
  int answers = 0;
  for (int i = 0; i < 20; ++i) {
    auto worked_on = std::make_shared<std::thread::id>();
    reactor.run_off_loop([worked_on] { *worked_on = std::this_thread::get_id(); },
                         [&, worked_on] {
                           CHECK(*worked_on != loop_thread);
                           CHECK(std::this_thread::get_id() == loop_thread);
                           ++answers;
                         });
  }
  run_until([&] { return answers == 20; });
  // One more, whose answer only the closing of the reactor waits for.
  reactor.run_off_loop([] {}, [answered = std::make_shared<int>(0)] { ++*answered; });
}

TEST_CASE_FIXTURE(LoopFixture, "a watch reports readable, writable and the end of the peer") {
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
  int readable = 0, writable = 0;
  auto watch = reactor.watch(pair[0], [&](Reactor::Ready ready) {
    readable += ready.readable ? 1 : 0;
    writable += ready.writable ? 1 : 0;
  });
  watch->set_interest(false, true);
  run_until([&] { return writable > 0; });
  CHECK(readable == 0);
  watch->set_interest(true, false);
  close(pair[1]);
  run_until([&] { return readable > 0; });
  watch.reset();
  close(pair[0]);
}
