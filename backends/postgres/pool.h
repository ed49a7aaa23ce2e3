// Pool: the links of one database and user, and those who wait for one.
//
// FIFO waiters with deadlines; the newest used link is taken first, so that the surplus can go;
// growth one at a time. A server that is away or full is asked again with growing pauses while
// waiters wait until their own deadlines; a wrong password or an unknown database fails them at
// once with the server's own words. The links that it owns never outlive it. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "backends/log.h"
#include "backends/postgres/channel.h"
#include "backends/postgres/lease_source.h"
#include "backends/postgres/link.h"
#include "backends/postgres/link_budget.h"
#include "backends/postgres/postgres_database.h"
#include "backends/postgres/type_catalogue.h"
#include "backends/reactor.h"
#include "backends/status.h"

namespace based::postgres {

struct PoolSettings {
  std::string name;  // "app/alice": for logs and errors
  std::size_t min_size = 0;
  std::size_t max_size = 1;
  std::size_t max_waiting = 0;
  Duration max_lifetime{}, max_idle{}, reconnect_timeout{}, check_interval{};
  LinkLimits link;
  std::vector<std::string> init_texts;  // one statement each
  Settings base_settings;               // what the init texts set: where RESET goes back to
  std::uint64_t seed = 0;               // of the jitter
  LinkBudget* budget = nullptr;         // null: max_size alone
  // As LinkHost::on_database_to_leave; may be empty.
  std::function<void(const std::string& database)> leave_database;
};

class Pool final : public LeaseSource, public LinkHost, public LinkBudget::Member {
 public:
  Pool(PoolSettings settings, Opener& opener, TypeCatalogue& types, Reactor& reactor, Log& log);
  // Closes every link. REQUIRES that nobody waits and nobody holds a lease.
  ~Pool() override;

  // Opens min_size links in the background.
  void start() { grow(); }
  const std::string& name() const { return settings_.name; }
  // Nobody gets a link any more; idle links are closed, the others when they come back.
  void stop();
  // Idle links are closed: their database is to have nobody.
  void leave();
  bool empty() const { return slots_.empty() && !attempt_; }

  std::optional<Error> acquire(LeaseWaiter& waiter, TimePoint deadline) override;
  void withdraw(LeaseWaiter& waiter) override;
  void pin(Link& link, std::string reason) override;
  void unpin(Link& link) override;
  std::vector<std::string> pin_reasons() const override;
  void note_statement(Link&, const StatementRef&) override {}
  std::uint64_t losses() const override { return 0; }
  std::uint64_t logins_changed() const override {
    return settings_.link.logins_changed != nullptr ? *settings_.link.logins_changed : 0;
  }
  Error loss() const override { return {}; }

  PoolStatus status() const;

 private:
  struct Slot {
    std::unique_ptr<Link> link;
    TimePoint expires;
    TimePoint leased_at;
    bool pinned = false;  // reset before its next use
    std::string pin_reason;
    bool retired = false;              // closed on purpose
    std::uint64_t logins_changed = 0;  // before it was opened
  };
  struct Waiter {
    LeaseWaiter* waiter = nullptr;
    std::uint64_t number = 0;
    TimePoint since;
    TimePoint deadline;
  };

  void on_link_idle(Link& link) override;
  void on_link_closed(Link& link, const Error& reason, bool was_started) override;
  std::vector<Chore> cleaning_chores(Link& link) override;
  void on_database_to_leave(const std::string& database) override {
    if (settings_.leave_database) settings_.leave_database(database);
  }
  char rest_status() const override { return 'I'; }

  // LinkBudget::Member
  std::size_t links() const override { return slots_.size() + (attempt_ ? 1 : 0); }
  bool wants_link() const override { return !waiters_.empty() && links() < settings_.max_size; }
  TimePoint idle_since() const override;
  void close_idle() override;
  void on_room() override { grow(); }

  void give_place_back();
  Slot& slot_of(const Link& link);
  bool serve(LeaseWaiter& waiter);
  void hand_out();
  void grow();
  bool has_given_up() const;  // failing for longer than reconnect_timeout
  void on_opened(Result<std::unique_ptr<Channel>> opened);
  void on_open_failed(const Error& error);
  void refuse_all(const Error& reason);
  void refuse(const Waiter& waiter, const Error& reason);
  Error away_error() const;
  Error timeout_error(const Waiter& waiter) const;
  void on_waiters_due();
  void arm_waiters();
  void on_rest_due();
  void arm_rest();
  void retire(Slot& slot, std::string_view why);
  bool is_up() const;  // has it a link that is not just being opened?
  Duration jittered(Duration duration, double least, double most);

  PoolSettings settings_;
  Opener& opener_;
  TypeCatalogue& types_;
  Reactor& reactor_;
  Log& log_;
  std::mt19937_64 random_;

  std::vector<Slot> slots_;
  std::vector<Link*> idle_;  // the newest used last
  std::list<Waiter> waiters_;
  std::unique_ptr<OpenAttempt> attempt_;
  std::vector<std::unique_ptr<Link>> graveyard_;  // freed from the loop
  std::unique_ptr<Reactor::Timer> waiters_due_, retry_, rest_, burial_;
  TimePoint waiters_due_at_ = TimePoint::max();
  bool rest_armed_ = false;
  bool stopped_ = false;

  TimePoint attempt_since_;
  std::uint64_t attempt_logins_ = 0;  // Slot::logins_changed
  TimePoint retry_at_;
  unsigned failures_ = 0;  // in a row
  std::optional<TimePoint> failing_since_;
  std::optional<Error> last_failure_;  // until a link has been opened
  std::uint64_t links_made_ = 0;
  std::uint64_t waits_ = 0;
  PoolStatus counters_;
};

}  // namespace based::postgres
