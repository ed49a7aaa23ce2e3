#include "backends/sqlite/job.h"

#include "protocol/check.h"

namespace based::sqlite {

void Job::cancel(std::string_view reason) {
  {
    const std::lock_guard lock{mutex_};
    if (cancelled()) return;
    reason_ = reason;
    cancelled_.store(true, std::memory_order_release);
  }
  changed_.notify_all();
}

std::string Job::cancel_reason() const {
  const std::lock_guard lock{mutex_};
  return reason_;
}

bool Job::has_room() const {
  return parcels_out_ == 0 || (parcels_out_ < parcels_max && bytes_out_ < setup_.bytes_max);
}

void Job::acknowledge(std::size_t bytes) {
  {
    const std::lock_guard lock{mutex_};
    INVARIANT(parcels_out_ > 0 && bytes <= bytes_out_);
    --parcels_out_;
    bytes_out_ -= bytes;
  }
  changed_.notify_all();
}

bool Job::wait_for_room(TimePoint deadline) {
  std::unique_lock lock{mutex_};
  const auto ready = [this] { return cancelled() || has_room(); };
  if (!ready()) {
    waiting_.store(true, std::memory_order_relaxed);
    if (deadline == TimePoint{}) {
      changed_.wait(lock, ready);
    } else {
      changed_.wait_until(lock, deadline, ready);
    }
    waiting_.store(false, std::memory_order_relaxed);
  }
  return !cancelled() && has_room();
}

void Job::deliver(std::shared_ptr<Parcel> parcel) {
  {
    const std::lock_guard lock{mutex_};
    ++parcels_out_;
    bytes_out_ += parcel->bytes();
  }
  setup_.deliver(std::move(parcel));
}

}  // namespace based::sqlite
