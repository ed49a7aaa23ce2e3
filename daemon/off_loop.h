// OffLoop: a few helper threads for calls that block, boundedly: opening and cancelling with libpq,
// name look-ups.
//
// Not libuv's own pool, which name look-ups and file work share: a queue of slow connects must not
// stop those. run() and the constructor are loop-thread only; jobs are taken first in, first out.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace based {

class OffLoop {
 public:
  // Threads are started when first needed, up to `threads_max`.
  explicit OffLoop(std::size_t threads_max) : threads_max_(threads_max) {}
  // Finishes what is queued, then joins.
  ~OffLoop();
  OffLoop(const OffLoop&) = delete;
  OffLoop& operator=(const OffLoop&) = delete;

  void run(std::function<void()> work);

 private:
  void serve();

  const std::size_t threads_max_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace based
