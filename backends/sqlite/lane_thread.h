// LaneThread: one thread that runs tasks in order, and something when it has had nothing for a
// while.
//
// Any thread may post. Destroying it runs what is queued and joins.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "backends/reactor.h"

namespace based::sqlite {

class LaneThread {
 public:
  // `on_idle` runs on the thread once after each time of `idle_after` without a task.
  LaneThread(std::function<void()> on_idle, Duration idle_after);
  ~LaneThread();
  LaneThread(const LaneThread&) = delete;
  LaneThread& operator=(const LaneThread&) = delete;

  void post(std::function<void()> task);
  // Runs what is queued, then ends. Idempotent; not from the thread itself.
  void stop();

 private:
  void run();

  std::function<void()> on_idle_;
  Duration idle_after_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;  // under mutex_
  bool stopping_ = false;                    // under mutex_
  std::thread thread_;
};

}  // namespace based::sqlite
