#include "daemon/uv_reactor.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace based {
namespace {

// Opening a link takes a thread for as long as the server's answer does: a few, so that one dead
// host does not stop the links of the others.
constexpr std::size_t off_loop_threads_max = 4;

class UvTimer final : public Reactor::Timer {
 public:
  UvTimer(uv_loop_t* loop, std::function<void()> on_due)
      : cell_(make_uv<uv_timer_t>(this, [loop](uv_timer_t* t) { return uv_timer_init(loop, t); })),
        on_due_(std::move(on_due)) {}

  // A timeout is armed and disarmed again for every statement: libuv's own timer is left as it is
  // where it comes no later, and asks when it comes. But not where that is soon: for each wait that
  // is shorter than its own tick the kernel programs the machine's timer, twice.
  void arm(TimePoint due) override {
    due_ = std::max<std::int64_t>(
        std::chrono::ceil<std::chrono::milliseconds>(due.time_since_epoch()).count(), now());
    if (due_ < wakes_at_ || (due_ > wakes_at_ && wakes_soon())) wake_at(due_);
  }

  void disarm() override {
    due_ = never;
    if (!wakes_soon()) return;
    wakes_at_ = never;
    uv_timer_stop(&cell_->handle);
  }

 private:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t soon_ms = 100;

  std::int64_t now() const { return static_cast<std::int64_t>(uv_now(cell_->handle.loop)); }

  bool wakes_soon() const { return wakes_at_ != never && wakes_at_ - now() < soon_ms; }

  void wake_at(std::int64_t time) {
    wakes_at_ = time;
    const auto timeout = static_cast<std::uint64_t>(time - now());
    INVARIANT(uv_timer_start(&cell_->handle, &UvTimer::fire, timeout, 0) == 0);
  }

  static void fire(uv_timer_t* timer) noexcept {
    auto* self = uv_owner<UvTimer, uv_timer_t>(timer);
    if (self == nullptr) return;
    self->wakes_at_ = never;
    if (self->due_ == never) return;
    if (self->due_ > self->now()) return self->wake_at(self->due_);
    self->due_ = never;
    const std::function<void()> on_due = self->on_due_;  // the callback may destroy the timer
    on_due();
  }

  UvOwned<uv_timer_t> cell_;
  std::function<void()> on_due_;
  std::int64_t due_ = never;       // of the loop's milliseconds
  std::int64_t wakes_at_ = never;  // libuv's timer
};

class UvWatch final : public Reactor::Watch {
 public:
  UvWatch(uv_loop_t* loop, int fd, std::function<void(Reactor::Ready)> on_ready)
      : cell_(make_uv<uv_poll_t>(this,
                                 [loop, fd](uv_poll_t* p) { return uv_poll_init(loop, p, fd); })),
        on_ready_(std::move(on_ready)) {}

  void set_interest(bool readable, bool writable) override {
    const int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    if (events == events_) return;
    events_ = events;
    if (events == 0) {
      uv_poll_stop(&cell_->handle);
    } else {
      INVARIANT(uv_poll_start(&cell_->handle, events, &UvWatch::fire) == 0);
    }
  }

 private:
  // libuv reports a broken descriptor as a negative status, with no events and the watch already
  // stopped.
  static void fire(uv_poll_t* poll, int status, int events) noexcept {
    auto* self = uv_owner<UvWatch, uv_poll_t>(poll);
    if (self == nullptr) return;
    if (status < 0) self->events_ = 0;
    // The callback may destroy the watch; the cell stays until the turn has ended.
    auto on_ready = std::move(self->on_ready_);
    on_ready({.readable = (events & UV_READABLE) != 0,
              .writable = (events & UV_WRITABLE) != 0,
              .failed = status < 0});
    self = uv_owner<UvWatch, uv_poll_t>(poll);
    if (self != nullptr) self->on_ready_ = std::move(on_ready);
  }

  UvOwned<uv_poll_t> cell_;
  std::function<void(Reactor::Ready)> on_ready_;
  int events_ = 0;
};

}  // namespace

UvReactor::UvReactor() {
  INVARIANT(uv_loop_init(&loop_) == 0);
  wake_ = make_uv<uv_async_t>(this, [this](uv_async_t* async) {
    return uv_async_init(&loop_, async, [](uv_async_t* handle) {
      if (auto* self = uv_owner<UvReactor, uv_async_t>(handle)) self->run_posted();
    });
  });
  before_sleep_ = make_uv<uv_prepare_t>(
      this, [this](uv_prepare_t* prepare) { return uv_prepare_init(&loop_, prepare); });
  after_events_ =
      make_uv<uv_check_t>(this, [this](uv_check_t* check) { return uv_check_init(&loop_, check); });
  // Events come from timers, then from descriptors: the end of the turn is after either, before the
  // next sleep.
  uv_prepare_start(&before_sleep_->handle, [](uv_prepare_t* handle) {
    if (auto* self = uv_owner<UvReactor, uv_prepare_t>(handle)) self->run_end_of_turn();
  });
  uv_check_start(&after_events_->handle, [](uv_check_t* handle) {
    if (auto* self = uv_owner<UvReactor, uv_check_t>(handle)) self->run_end_of_turn();
  });
  off_loop_ = std::make_unique<OffLoop>(off_loop_threads_max);
}

UvReactor::~UvReactor() { INVARIANT(closed_); }

TimePoint UvReactor::now() const { return TimePoint(std::chrono::milliseconds(uv_now(&loop_))); }

std::unique_ptr<Reactor::Timer> UvReactor::make_timer(std::function<void()> on_due) {
  return std::make_unique<UvTimer>(&loop_, std::move(on_due));
}

std::unique_ptr<Reactor::Watch> UvReactor::watch(int fd, std::function<void(Ready)> on_ready) {
  return std::make_unique<UvWatch>(&loop_, fd, std::move(on_ready));
}

void UvReactor::post(std::function<void()> task) {
  bool first = false;
  {
    const std::lock_guard lock(posted_mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  if (first) uv_async_send(&wake_->handle);
}

void UvReactor::run_posted() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(posted_mutex_);
    tasks.swap(posted_);
  }
  for (const auto& task : tasks) task();
}

void UvReactor::at_end_of_turn(std::function<void()> task) {
  end_of_turn_.push_back(std::move(task));
}

void UvReactor::run_end_of_turn() {
  while (!end_of_turn_.empty()) {
    std::swap(end_of_turn_, ending_);  // both keep their room from turn to turn
    for (const auto& task : ending_) task();
    ending_.clear();
  }
}

void UvReactor::run_off_loop(std::function<void()> work, std::function<void()> then) {
  ++jobs_under_way_;
  off_loop_->run([this, work = std::move(work), then = std::move(then)]() mutable {
    work();
    post([this, then = std::move(then)] {
      --jobs_under_way_;
      then();
    });
  });
}

void UvReactor::run() { uv_run(&loop_, UV_RUN_DEFAULT); }

void UvReactor::stop() { uv_stop(&loop_); }

void UvReactor::close() {
  while (jobs_under_way_ > 0 || !end_of_turn_.empty()) uv_run(&loop_, UV_RUN_ONCE);
  off_loop_.reset();
  run_posted();
  run_end_of_turn();
  wake_.reset();
  before_sleep_.reset();
  after_events_.reset();
  uv_run(&loop_, UV_RUN_DEFAULT);
  INVARIANT(uv_loop_close(&loop_) == 0);
  closed_ = true;
}

}  // namespace based
