#include "backends/sqlite/lane_thread.h"

#include <pthread.h>
#include <signal.h>

namespace based::sqlite {

LaneThread::LaneThread(std::function<void()> on_idle, Duration idle_after)
    : on_idle_(std::move(on_idle)), idle_after_(idle_after) {
  // Signals are the loop's: a thread inherits the mask of the one that makes it.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread{[this] { run(); }};
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "sqlite-lane");
}

LaneThread::~LaneThread() { stop(); }

void LaneThread::post(std::function<void()> task) {
  {
    const std::lock_guard lock{mutex_};
    tasks_.push_back(std::move(task));
  }
  changed_.notify_one();
}

void LaneThread::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void LaneThread::run() {
  bool idle_told = true;
  std::unique_lock lock{mutex_};
  for (;;) {
    const auto due = [this] { return stopping_ || !tasks_.empty(); };
    if (idle_told) {
      changed_.wait(lock, due);
    } else if (!changed_.wait_for(lock, idle_after_, due)) {
      idle_told = true;
      lock.unlock();
      on_idle_();
      lock.lock();
      continue;
    }
    if (tasks_.empty()) return;
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds dies here, not under the lock
    lock.lock();
    idle_told = false;
  }
}

}  // namespace based::sqlite
