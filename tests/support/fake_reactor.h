// FakeReactor: a loop that only moves when the test says so. No thread, no real time.
//
// The clock stands until advance(), which fires timers in order of their due times. Descriptors are
// real: poll_once() asks poll(2) without waiting and reports what is ready; trigger() reports what
// the test makes up. Off-loop jobs rest until run_off_loop_job() or run_off_loop_jobs(). settle()
// runs everything that can run without time passing.
#pragma once

#include <poll.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "backends/reactor.h"

namespace based {

class FakeReactor final : public Reactor {
 public:
  // --- the reactor's own face
  TimePoint now() const override { return now_; }

  std::unique_ptr<Timer> make_timer(std::function<void()> on_due) override {
    return std::make_unique<FakeTimer>(*this, std::move(on_due));
  }

  std::unique_ptr<Watch> watch(int fd, std::function<void(Ready)> on_ready) override {
    return std::make_unique<FakeWatch>(*this, fd, std::move(on_ready));
  }

  void post(std::function<void()> task) override {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(task));
  }

  void at_end_of_turn(std::function<void()> task) override {
    end_of_turn_.push_back(std::move(task));
  }

  void run_off_loop(std::function<void()> work, std::function<void()> then) override {
    jobs_.push_back({std::move(work), std::move(then)});
  }

  // --- the crank
  // Runs what was posted and what waits for the end of the turn, until neither is left.
  void run_ready() {
    for (;;) {
      std::deque<std::function<void()>> tasks;
      {
        const std::lock_guard lock(posted_mutex_);
        tasks.swap(posted_);
      }
      if (tasks.empty()) tasks.swap(end_of_turn_);
      if (tasks.empty()) return;
      for (auto& task : tasks) task();
    }
  }

  // Moves the clock; due timers fire one by one, each at its own time, with run_ready() after each.
  void advance(Duration by) {
    const TimePoint end = now_ + by;
    run_ready();
    for (;;) {
      const auto next = timers_.begin();
      if (next == timers_.end() || next->first.first > end) break;
      now_ = std::max(now_, next->first.first);
      fire(next);
    }
    now_ = end;
    run_ready();
  }

  // Moves the clock with nothing run on the way, as a loop that stood still: what was
  // due is late.
  void stand_still(Duration by) {
    now_ += by;
    fire_due();
    run_ready();
  }

  // Fires what is due now without moving the clock. Was there anything?
  bool fire_due() {
    bool fired = false;
    while (!timers_.empty() && timers_.begin()->first.first <= now_) {
      fire(timers_.begin());
      fired = true;
    }
    return fired;
  }

  // The time of the earliest armed timer; TimePoint::max() when none is armed.
  TimePoint next_due() const {
    return timers_.empty() ? TimePoint::max() : timers_.begin()->first.first;
  }
  std::size_t timers_armed() const { return timers_.size(); }
  std::size_t watches() const { return watches_.size(); }

  // Reports readiness of each watched descriptor once, waiting at most `wait` of real time for the
  // first. Returns how many were told.
  std::size_t poll_once(std::chrono::milliseconds wait = std::chrono::milliseconds(0)) {
    std::vector<pollfd> polled;
    std::vector<std::uint64_t> ids;
    for (const auto& [id, watch] : watches_) {
      const int events = (watch->readable_ ? POLLIN : 0) | (watch->writable_ ? POLLOUT : 0);
      if (events == 0) continue;
      polled.push_back({.fd = watch->fd_, .events = static_cast<short>(events), .revents = 0});
      ids.push_back(id);
    }
    if (polled.empty() || ::poll(polled.data(), polled.size(), static_cast<int>(wait.count())) <= 0)
      return 0;
    std::size_t told = 0;
    for (std::size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      const auto found = watches_.find(ids[i]);
      if (found == watches_.end()) continue;  // destroyed by an earlier callback
      const bool hung_up = (polled[i].revents & (POLLHUP | POLLERR)) != 0;
      Ready ready{
          .readable = found->second->readable_ && (hung_up || (polled[i].revents & POLLIN)),
          .writable = found->second->writable_ && (hung_up || (polled[i].revents & POLLOUT)),
          .failed = (polled[i].revents & POLLNVAL) != 0};
      if (!ready.readable && !ready.writable && !ready.failed) continue;
      const auto on_ready = found->second->on_ready_;
      on_ready(ready);
      ++told;
    }
    run_ready();
    return told;
  }

  // Tells the watches of this descriptor what the test says.
  void trigger(int fd, Ready ready) {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, watch] : watches_) {
      if (watch->fd_ == fd) ids.push_back(id);
    }
    for (const std::uint64_t id : ids) {
      const auto found = watches_.find(id);
      if (found == watches_.end()) continue;
      const auto on_ready = found->second->on_ready_;
      on_ready(ready);
    }
    run_ready();
  }

  // What may run without time passing: posts, due timers, descriptors. Bounded, so that a loop that
  // never rests fails the test instead of hanging it. Was it at rest in the end?
  bool settle() {
    for (int round = 0; round < 100'000; ++round) {
      run_ready();
      const bool fired = fire_due();
      if (poll_once() == 0 && !fired && at_rest()) return true;
    }
    return false;
  }

  std::size_t off_loop_jobs() const { return jobs_.size(); }

  // Runs the job at this place in the queue: its work, then its `then`.
  void run_off_loop_job(std::size_t place = 0) {
    Job job = std::move(jobs_[place]);
    jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(place));
    job.work();
    job.then();
    run_ready();
  }

  void run_off_loop_jobs() {
    while (!jobs_.empty()) run_off_loop_job();
  }

 private:
  struct FakeTimer;
  struct FakeWatch;
  struct Job {
    std::function<void()> work;
    std::function<void()> then;
  };
  // Timers of one time fire in the order of their arming.
  using Timers = std::map<std::pair<TimePoint, std::uint64_t>, FakeTimer*>;

  struct FakeTimer final : Timer {
    FakeTimer(FakeReactor& reactor, std::function<void()> on_due)
        : reactor_(reactor), on_due_(std::move(on_due)) {}
    ~FakeTimer() override { disarm(); }
    void arm(TimePoint due) override {
      disarm();
      // Real timers have milliseconds and are never early.
      const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(due.time_since_epoch());
      place_ = {std::max(TimePoint(rounded), reactor_.now_), ++reactor_.armings_};
      reactor_.timers_[place_] = this;
      armed_ = true;
    }
    void disarm() override {
      if (armed_) reactor_.timers_.erase(place_);
      armed_ = false;
    }

    FakeReactor& reactor_;
    std::function<void()> on_due_;
    std::pair<TimePoint, std::uint64_t> place_;
    bool armed_ = false;
  };

  struct FakeWatch final : Watch {
    FakeWatch(FakeReactor& reactor, int fd, std::function<void(Ready)> on_ready)
        : reactor_(reactor), fd_(fd), on_ready_(std::move(on_ready)), id_(++reactor.armings_) {
      reactor_.watches_[id_] = this;
    }
    ~FakeWatch() override { reactor_.watches_.erase(id_); }
    void set_interest(bool readable, bool writable) override {
      readable_ = readable;
      writable_ = writable;
    }

    FakeReactor& reactor_;
    int fd_;
    std::function<void(Ready)> on_ready_;
    std::uint64_t id_;
    bool readable_ = false;
    bool writable_ = false;
  };

  void fire(Timers::iterator due) {
    FakeTimer* timer = due->second;
    timer->disarm();
    const auto on_due = timer->on_due_;  // the callback may destroy the timer
    on_due();
    run_ready();
  }

  bool at_rest() {
    const std::lock_guard lock(posted_mutex_);
    return posted_.empty() && end_of_turn_.empty();
  }

  TimePoint now_{std::chrono::hours(1)};
  std::uint64_t armings_ = 0;
  Timers timers_;
  std::map<std::uint64_t, FakeWatch*> watches_;
  std::mutex posted_mutex_;
  std::deque<std::function<void()>> posted_;
  std::deque<std::function<void()>> end_of_turn_;
  std::deque<Job> jobs_;
};

}  // namespace based
