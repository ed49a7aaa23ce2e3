// Vigil: watches the step that runs, for its deadline, its cancellation and locks of other
// processes. Lane thread; a job may be cancelled from any.
#pragma once

#include <sqlite3.h>

#include <optional>

#include "backends/reactor.h"
#include "backends/sqlite/job.h"
#include "protocol/result.h"

namespace based::sqlite {

class Vigil {
 public:
  // Installs the progress and busy handlers; must outlive the handle's last use.
  void install(sqlite3* db);

  // Until end(): the job's cancellation stops the statement, and so does `deadline` (the epoch:
  // none). A lock of another process is waited for until `busy_until`.
  void begin(const Job* job, TimePoint deadline, TimePoint busy_until);
  // Only locks are watched: what must run (a rollback) is not stopped.
  void begin_unstoppable(TimePoint busy_until) { begin(nullptr, TimePoint{}, busy_until); }
  void end() { *this = Vigil{}; }

  TimePoint deadline() const { return deadline_; }
  // 57014 with the reason, once the step has to stop.
  std::optional<Error> reason_to_stop() const;

 private:
  static int on_progress(void* self);
  static int on_busy(void* self, int count);
  bool must_stop() const;

  const Job* job_ = nullptr;
  TimePoint deadline_{};
  TimePoint busy_until_{};
};

}  // namespace based::sqlite
