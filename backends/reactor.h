// Reactor: the clock, the descriptor watch and the way back to the loop, as backends see them.
//
// daemon/uv_reactor implements it over libuv; tests/support/fake_reactor.h with a hand-cranked
// clock. Everything is loop-thread only except post(), which any thread may call. No callback ever
// runs inside the call that asked for it. Destroying a Timer or a Watch, also inside its own
// callback, ends its callbacks at once. The reactor outlives every Timer, Watch and job made from
// it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace based {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = std::chrono::nanoseconds;

class Reactor {
 public:
  virtual ~Reactor() = default;

  // One-shot, re-armable, millisecond resolution, never early. Made disarmed.
  class Timer {
   public:
    virtual ~Timer() = default;
    virtual void arm(TimePoint due) = 0;  // replaces an earlier due time
    virtual void disarm() = 0;
  };

  struct Ready {
    bool readable = false;
    bool writable = false;
    bool failed = false;  // the descriptor is broken: nothing more will be reported
  };

  // Level-triggered. Destroy the Watch before closing its descriptor.
  class Watch {
   public:
    virtual ~Watch() = default;
    virtual void set_interest(bool readable, bool writable) = 0;  // starts with neither
  };

  // The loop's cached time: constant within one turn.
  virtual TimePoint now() const = 0;
  virtual std::unique_ptr<Timer> make_timer(std::function<void()> on_due) = 0;
  virtual std::unique_ptr<Watch> watch(int fd, std::function<void(Ready)> on_ready) = 0;

  // Runs `task` on the loop thread, in order of posting. Any thread. One wake-up serves many posts.
  virtual void post(std::function<void()> task) = 0;

  // Runs `task` once, after all events of this loop turn were handled and before the loop sleeps:
  // where output that was gathered during the turn is flushed.
  virtual void at_end_of_turn(std::function<void()> task) = 0;

  // Runs `work` on one of a few helper threads (it may block, boundedly), then `then` on the loop.
  // The queue is FIFO. `then` always runs, also during shutdown: the loop does not end before it
  // has.
  virtual void run_off_loop(std::function<void()> work, std::function<void()> then) = 0;
};

}  // namespace based
