// PostgresSession: a session's half on PostgreSQL: the lease it may hold and the unit in flight.
//
//   idle -> waiting -> synchronising -> running -> [settling] -> [recovering] -> idle | resting
//   resting: a lease and no unit. failing: an error waits to be told from the loop.
//
// Nothing is held before the first unit; BEGIN travels with it. Settings that the link lacks go
// ahead in a group of their own. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "backends/database.h"
#include "backends/log.h"
#include "backends/postgres/lease_source.h"
#include "backends/postgres/pins.h"
#include "backends/postgres/sandbox_channels.h"
#include "backends/postgres/sandbox_session.h"
#include "backends/postgres/startup_settings.h"
#include "backends/postgres/unit_run.h"
#include "backends/postgres/waited_for.h"

namespace based::postgres {

// What the sessions of one database share. Outlives them.
struct SessionContext {
  LeaseSource& leases;
  Pins& pins;
  WaitResource& waits;
  TypeCatalogue& types;
  SeenTexts& seen;
  Reactor& reactor;
  Log& log;
  bool rooted = false;
  bool shared = false;                  // of sessions that share their transactions, in no sandbox
  bool joins = false;                   // rooted: who rests holds nobody up
  bool acts_as_user = false;            // rooted: the link is each client's user in turn
  SandboxLog* ran = nullptr;            // rooted: hears of every statement
  SandboxChannels* channels = nullptr;  // rooted: where NOTIFY is heard
  SandboxObjects* objects = nullptr;    // rooted: what clients have left
  Duration lease_timeout{};             // the longest wait for a lease
  Duration settings_timeout{};          // for the settings to be accepted
  Duration idle_in_transaction{};       // zero: no limit
  Duration transaction_timeout{};       // of a whole transaction; zero: no limit
  std::string pool;                     // for errors; of a rooted one nobody is told
  Settings base_settings;               // what every link is given when it is opened
  Siblings siblings;                    // the sandboxes of the same database
};

class PostgresSession : public BackendSession,
                        public LeaseWaiter,
                        public LinkHolder,
                        public UnitRun::Owner,
                        private WaitListener {
 public:
  enum class State : std::uint8_t {
    idle,
    waiting,
    synchronising,
    running,
    settling,
    recovering,
    resting,
    failing,
  };

  PostgresSession(SessionContext& context, SessionOptions options, SessionListener& listener);
  ~PostgresSession() override;

  void submit(Unit unit) override;
  void cancel(std::string_view reason) override;
  void resume() override;
  void rest(Resting how) override;

 private:
  // LeaseWaiter
  void on_lease(Link& link) override;
  void on_lease_refused(const Error& reason) override;
  std::optional<TimePoint> rests_since() const override;
  void on_lease_revoked(const Error& reason) override;
  bool in_transaction() const override { return run_ ? run_->unit().keep_lease : true; }
  void on_parked() override;
  void on_enter_due() override;
  LinkHolder& holder() override { return *this; }
  bool fits(const LinkSettings& settings) const override { return settings.has(settings_); }
  std::string describe() const override;
  std::uint64_t session_id() const override { return options_.session_id; }
  std::uint64_t group() const override { return options_.group; }
  OuterTransaction as_outer() const override { return sandbox_.as_outer(); }
  void take_over(LeftToOuter left) override;
  // LinkHolder
  void on_link_lost(const Error& reason) override;
  void on_cancel_over() override;
  // UnitRun::Owner
  void on_group_over() override;
  void on_step_over(std::size_t step, std::uint64_t rows) override;
  // Is its transaction a savepoint, and each unit without one guarded?
  bool rooted() const override { return context_.rooted || inside_; }
  std::span<const Error> warned() const override { return warned_; }
  const Error* refused(std::size_t step) const override;
  std::span<const StatementRef> settings_made(std::size_t step) const override {
    return sandbox_.settings_made(step);
  }
  // WaitListener
  void on_vain_wait(Error error) override;

  Duration step_limit(std::size_t step) const override;
  void transition(State to);
  std::string acting_user() const {
    return context_.acts_as_user && !options_.user.empty() ? quote_literal(options_.user) : "";
  }
  void adopt_settings();
  void acquire();
  void begin();
  void on_synchronised(const std::optional<Error>& error);
  void run();
  void continue_after_group();
  void finish(UnitOutcome outcome);
  void fail_soon(Error error);
  void lose(const Error& reason);
  void notify();
  void note_in_log(std::size_t step, std::uint64_t rows, const Error* error);
  void note_failure_in_log(const UnitOutcome& outcome);
  Error lost_error(const Error& reason) const;
  void on_timer();
  void on_rested_too_long();
  Duration time_left(Duration own) const;
  void let_go(Leaving leaving);
  Result<void> check_pin(const Unit& unit) const;
  void pin();
  void unpin();
  Duration rest_most() const;
  bool left_at_failure() const;
  void note_savepoints(bool failed) const;
  Result<void> check(const Unit& unit) const;
  void arm(Duration from_now);

  SessionContext& context_;
  SessionOptions options_;
  SessionListener& listener_;
  State state_ = State::idle;
  WaitMember part_;
  Link* link_ = nullptr;
  std::unique_ptr<UnitRun> run_;
  std::unique_ptr<Reactor::Timer> timer_;  // of the state
  ProfileRef profile_;                     // of settings_
  Settings settings_;
  SandboxSession sandbox_;  // rooted
  std::string fingerprint_;
  TimePoint queue_deadline_;
  char status_before_ = 'I';
  std::uint64_t losses_seen_ = 0;
  State group_ = State::running;  // what settling interrupted
  std::optional<Error> failure_;  // of failing
  bool pinned_ = false;
  bool inside_ = false;  // its lease is in another session's transaction
  bool parked_ = false;  // its transaction is there, and its link lent to others
  bool retried_ = false;
  TimePoint since_;            // when the statement that runs began
  TimePoint transaction_due_;  // of the transaction that holds the lease; the epoch: none
  bool held_before_ = false;   // the unit came while the session held a lease
  bool has_reset_ = false;     // a RESET has run on the link
  std::vector<Error> warned_;  // what UnitRun asks for
  std::optional<Error> refused_;
};

}  // namespace based::postgres
