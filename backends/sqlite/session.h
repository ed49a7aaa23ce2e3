// SqliteSession: one session's half of a SQLite database; its unit in flight, and its rows on their
// way to the sink.
//
// Loop thread. Units of one session come one at a time; what the lane sends is taken parcel by
// parcel, and a parcel is acknowledged when the sink has taken it, which is what holds a lane that
// is faster than its reader.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "backends/database.h"
#include "backends/reactor.h"
#include "backends/sqlite/lane.h"

namespace based::sqlite {

enum class UnitState : std::uint8_t {
  none,
  waiting,     // in the lane's queue; deadline: the unit's
  running,     // on the lane; deadline: the statement's
  delivering,  // done on the lane, its rows not yet taken; deadline: none, the reader is the client
  refusing,    // its error is posted
};

class SqliteSession final : public BackendSession, private LaneClient, private WaitListener {
 public:
  // All references outlive it.
  SqliteSession(const SqliteOptions& database, Reactor& reactor, Lane& lane, WaitResource& waits,
                SessionOptions options, SessionListener& listener);
  ~SqliteSession() override;

  void submit(Unit unit) override;
  void cancel(std::string_view reason) override;
  void resume() override;
  bool is_joined() const override {
    return options_.group != 0 || database_.turns == TurnMode::join;
  }
  void rest(Resting how) override { lane_.rest(*this, how); }

 private:
  const SessionOptions& options() const override { return options_; }
  std::weak_ptr<LaneClient*> anchor() const override { return anchor_; }
  std::shared_ptr<Job> start(Job::Deliver deliver) override;
  void take(std::shared_ptr<Parcel> parcel) override;
  void refuse(Error error) override;
  void lose_lease(Error reason) override;
  void enter() override {
    if (state_ == UnitState::none && !lost_) listener_.on_enter_due();
  }
  std::optional<TimePoint> paused_since() const override { return paused_since_; }
  TimePoint queue_deadline() const override { return unit_.queue_deadline; }
  std::string_view first_statement() const override;
  bool is_one_shot() const override;
  void on_vain_wait(Error error) override;

  void transition(UnitState to);
  void post(void (SqliteSession::*step)());
  void pump();
  bool give_section(const Parcel& parcel);
  void pause();
  void complete(UnitOutcome outcome);
  void tell_loss();
  void end_refused();

  const SqliteOptions& database_;
  Reactor& reactor_;
  Lane& lane_;
  SessionOptions options_;
  SessionListener& listener_;
  std::shared_ptr<SessionMemory> memory_ = std::make_shared<SessionMemory>();

  UnitState state_ = UnitState::none;
  WaitMember part_;
  Unit unit_;  // while it waits
  TimePoint submitted_;
  Sink* sink_ = nullptr;
  std::shared_ptr<Job> job_;
  std::deque<std::shared_ptr<Parcel>> parcels_;
  std::size_t section_ = 0, row_ = 0;  // how far the first parcel is taken
  bool columns_given_ = false;
  bool dropping_ = false;  // rows that are left: the client has cancelled
  std::optional<TimePoint> paused_since_;
  bool pumping_ = false;
  std::optional<UnitOutcome> refusal_;
  std::optional<Error> lost_;  // the lease was taken; the listener does not know yet
  std::shared_ptr<LaneClient*> anchor_;
};

}  // namespace based::sqlite
