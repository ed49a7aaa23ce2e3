// Job: one unit while it is on a lane, with everything that the loop and the lane tell each other
// about it.
//
// Shared by the two threads; each member says whose it is. It carries no pointer back to the
// session: a job whose session has gone finishes by itself.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "backends/sqlite/parcel.h"
#include "backends/unit.h"

namespace based::sqlite {

// What a session left on the handle between its steps, so that no other session sees it. Lane
// thread.
struct SessionMemory {
  std::int64_t last_insert_id = 0;
  std::int64_t changes = 0;
  std::int64_t total_changes = 0;
};

class Job {
 public:
  // `deliver` is called on the lane with each parcel, the last one carrying the outcome. At most
  // `parcels_max` parcels and `bytes_max` bytes (or one parcel) are out at a time.
  using Deliver = std::function<void(std::shared_ptr<Parcel>)>;
  struct Setup {
    Unit unit;
    std::optional<std::string> mark;  // instead of the unit: a mark of that name is set
    std::uint64_t session_id = 0;
    bool session_read_only = false;
    bool holds_lease = false;
    std::size_t around = 0;  // transactions of other sessions that it runs inside of
    std::shared_ptr<SessionMemory> memory;
    std::size_t bytes_max = 0;
    Deliver deliver;
  };
  static constexpr std::size_t parcels_max = 4;

  explicit Job(Setup setup) : setup_(std::move(setup)) {}

  // Any thread; nothing in them changes after construction.
  const Unit& unit() const { return setup_.unit; }
  const Setup& setup() const { return setup_; }

  // Any thread. The first reason stays. Only this job is hit, however late it comes.
  void cancel(std::string_view reason);
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  // REQUIRES cancelled().
  std::string cancel_reason() const;

  // A job may be posted to the lane before its turn. Lane: it begins now. False: it was revoked and
  // must not run.
  bool claim() { return take_over(Turn::claimed); }
  // Loop: it shall not run. False: it has begun.
  bool revoke() { return take_over(Turn::revoked); }

  // Loop: a parcel was consumed.
  void acknowledge(std::size_t bytes);
  // Any thread: does the lane wait for parcels to be consumed?
  bool waits_for_reader() const { return waiting_.load(std::memory_order_relaxed); }

  // Lane: waits until one more parcel may go out. False when the job was cancelled or `deadline`
  // (if it is not the epoch) passed.
  bool wait_for_room(TimePoint deadline);
  // Lane. REQUIRES room, but for the last parcel.
  void deliver(std::shared_ptr<Parcel> parcel);

 private:
  enum class Turn : std::uint8_t { posted, claimed, revoked };

  bool has_room() const;
  bool take_over(Turn to) {
    auto expected = Turn::posted;
    return turn_.compare_exchange_strong(expected, to, std::memory_order_acq_rel);
  }

  const Setup setup_;
  std::atomic<Turn> turn_{Turn::posted};
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> waiting_{false};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string reason_;           // under mutex_
  std::size_t parcels_out_ = 0;  // under mutex_
  std::size_t bytes_out_ = 0;    // under mutex_
};

}  // namespace based::sqlite
