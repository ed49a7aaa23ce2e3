// ThreadedReactor: a small real loop for tests of lanes, whose threads are real too.
//
// post() is for any thread; everything else, and every callback, belongs to the thread that calls
// run_until(). It waits on a condition variable, never for a fixed time.
#pragma once

#include <doctest/doctest.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "backends/reactor.h"

namespace based {

class ThreadedReactor final : public Reactor {
 public:
  TimePoint now() const override { return Clock::now(); }

  std::unique_ptr<Timer> make_timer(std::function<void()> on_due) override {
    return std::make_unique<DueTimer>(*this, std::move(on_due));
  }
  std::unique_ptr<Watch> watch(int, std::function<void(Ready)>) override { return nullptr; }

  void post(std::function<void()> task) override {
    {
      const std::lock_guard lock{mutex_};
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }
  void at_end_of_turn(std::function<void()> task) override { post(std::move(task)); }
  void run_off_loop(std::function<void()> work, std::function<void()> then) override {
    work();
    post(std::move(then));
  }

  // Runs the loop until the condition holds. False after `limit`.
  bool run_until(const std::function<bool()>& condition,
                 Duration limit = std::chrono::seconds(20)) {
    const auto end = Clock::now() + limit;
    while (!condition()) {
      if (Clock::now() >= end) return false;
      turn(end);
    }
    return true;
  }
  // Runs the loop for a while: only to show that something does not happen.
  void run_for(Duration time) {
    run_until([] { return false; }, time);
  }

 private:
  class DueTimer final : public Timer {
   public:
    DueTimer(ThreadedReactor& reactor, std::function<void()> on_due)
        : reactor_(reactor), on_due_(std::move(on_due)) {}
    ~DueTimer() override { disarm(); }
    void arm(TimePoint due) override {
      disarm();
      reactor_.timers_.emplace(std::pair{due, this}, on_due_);
      due_ = due;
    }
    void disarm() override { reactor_.timers_.erase({due_, this}); }

   private:
    ThreadedReactor& reactor_;
    std::function<void()> on_due_;
    TimePoint due_{};
  };

  void turn(TimePoint end) {
    if (!timers_.empty() && timers_.begin()->first.first <= Clock::now()) {
      const auto on_due = timers_.begin()->second;
      timers_.erase(timers_.begin());
      on_due();
      return;
    }
    std::deque<std::function<void()>> tasks;
    {
      std::unique_lock lock{mutex_};
      // Looks again soon: a condition may come true without a task, on another thread.
      auto wake = std::min(end, Clock::now() + std::chrono::milliseconds(10));
      if (!timers_.empty()) wake = std::min(wake, timers_.begin()->first.first);
      changed_.wait_until(lock, wake, [this] { return !tasks_.empty(); });
      tasks.swap(tasks_);
    }
    for (auto& task : tasks) task();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;  // under mutex_
  std::map<std::pair<TimePoint, DueTimer*>, std::function<void()>> timers_;
};

}  // namespace based
