// UvReactor: the reactor over one libuv loop. The only implementation the daemon uses.
//
// Loop thread only, but for post(). Owns the loop; close() must have returned before it is
// destroyed.
#pragma once

#include <uv.h>

#include <mutex>
#include <vector>

#include "backends/reactor.h"
#include "daemon/off_loop.h"
#include "daemon/uv_cell.h"

namespace based {

class UvReactor final : public Reactor {
 public:
  UvReactor();
  ~UvReactor() override;

  TimePoint now() const override;
  std::unique_ptr<Timer> make_timer(std::function<void()> on_due) override;
  std::unique_ptr<Watch> watch(int fd, std::function<void(Ready)> on_ready) override;
  void post(std::function<void()> task) override;
  void at_end_of_turn(std::function<void()> task) override;
  void run_off_loop(std::function<void()> work, std::function<void()> then) override;

  uv_loop_t* loop() { return &loop_; }
  // Runs the loop until stop(). May be called again.
  void run();
  void stop();
  // Ends the reactor: waits for off-loop jobs and their `then`, runs the loop until no handle
  // lives, closes it. REQUIRES that every Timer, Watch and other handle of the loop has been
  // destroyed. Aborts if a handle is left.
  void close();

 private:
  void run_posted();
  void run_end_of_turn();

  uv_loop_t loop_{};
  UvOwned<uv_async_t> wake_;
  UvOwned<uv_prepare_t> before_sleep_;
  UvOwned<uv_check_t> after_events_;
  std::vector<std::function<void()>> end_of_turn_;
  std::vector<std::function<void()>> ending_;  // those that are being run
  std::size_t jobs_under_way_ = 0;
  bool closed_ = false;

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;

  std::unique_ptr<OffLoop> off_loop_;
};

}  // namespace based
