// LoopFixture: a real loop for tests of the rim. run_until waits for a condition, never for a time.
#pragma once

#include <doctest/doctest.h>

#include <functional>

#include "daemon/uv_reactor.h"

namespace based {

class LoopFixture {
 public:
  ~LoopFixture() {
    reactor.close();
  }  // aborts when a handle was left: the leak check of every test

  // Runs the loop until the condition holds; fails the test after ten seconds.
  void run_until(const std::function<bool()>& condition) {
    bool late = false;
    {
      const auto deadline = reactor.make_timer([&] {
        late = true;
        reactor.stop();
      });
      uv_update_time(reactor.loop());
      deadline->arm(reactor.now() + std::chrono::seconds(10));
      // A turn that only ran timers would sleep before the condition is asked again: it ticks.
      const std::unique_ptr<Reactor::Timer> tick = reactor.make_timer([&] {});
      while (!condition() && !late) {
        tick->arm(reactor.now() + std::chrono::milliseconds(2));
        uv_run(reactor.loop(), UV_RUN_ONCE);
      }
    }
    REQUIRE_FALSE(late);
  }

  UvReactor reactor;
};

}  // namespace based
