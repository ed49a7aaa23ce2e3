#include "backends/sqlite/vigil.h"

#include <algorithm>
#include <thread>

namespace based::sqlite {
namespace {

// Some 20 microseconds of work; asking costs nothing that could be measured.
constexpr int instructions_between_looks = 1000;

}  // namespace

void Vigil::install(sqlite3* db) {
  sqlite3_progress_handler(db, instructions_between_looks, &Vigil::on_progress, this);
  sqlite3_busy_handler(db, &Vigil::on_busy, this);
}

void Vigil::begin(const Job* job, TimePoint deadline, TimePoint busy_until) {
  job_ = job;
  deadline_ = deadline;
  busy_until_ = busy_until;
}

bool Vigil::must_stop() const {
  if (job_ != nullptr && job_->cancelled()) return true;
  return deadline_ != TimePoint{} && Clock::now() >= deadline_;
}

std::optional<Error> Vigil::reason_to_stop() const {
  if (job_ != nullptr && job_->cancelled()) {
    return Error::make(sqlstate::query_canceled, job_->cancel_reason());
  }
  if (deadline_ != TimePoint{} && Clock::now() >= deadline_) {
    return Error::make(sqlstate::query_canceled, "canceling statement due to statement timeout");
  }
  return std::nullopt;
}

int Vigil::on_progress(void* self) { return static_cast<const Vigil*>(self)->must_stop() ? 1 : 0; }

int Vigil::on_busy(void* self, int count) {
  const auto& vigil = *static_cast<const Vigil*>(self);
  if (vigil.must_stop() || Clock::now() >= vigil.busy_until_) return 0;
  std::this_thread::sleep_for(std::chrono::milliseconds(std::min(1 + count, 10)));
  return 1;
}

}  // namespace based::sqlite
