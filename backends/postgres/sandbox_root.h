// SandboxRoot: the one link of a sandbox, in a root transaction that is never committed, and the
// turns that sessions take on it.
//
// Nets that hold although the classification of a text may be wrong: right after BEGIN a WITH HOLD
// cursor is declared that fails when it is materialised, so every COMMIT fails and PREPARE
// TRANSACTION too; the link starts with default_transaction_read_only=on, so that what runs after a
// lost root cannot write; and every ready status must be in a transaction, else the sandbox is
// lost, loudly: each session hears one error before it goes on in a fresh root.
//
// A turn is one autocommit unit or one client transaction, FIFO. Between two turns there is always
// the savepoint _based_turn: what an abandoned session left is rolled back to it, and nobody
// else's work. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/log.h"
#include "backends/postgres/channel.h"
#include "backends/postgres/lease_source.h"
#include "backends/postgres/link.h"
#include "backends/postgres/type_catalogue.h"
#include "backends/reactor.h"
#include "backends/status.h"

namespace based::postgres {

struct SandboxSettings {
  std::string name;
  std::size_t max_waiting = 0;  // 0: no limit
  LinkLimits link;
  std::vector<std::string> init_texts;  // inside the root: they go with it
  Settings base_settings;
};

// What a link of a sandbox is opened with, beside what the conninfo says. Roots of one database
// wait for one another's rows and keys, and a root does not end by itself: hence the lock_timeout.
inline constexpr const char* sandbox_startup_options =
    "-c default_transaction_read_only=on -c lock_timeout=5s";

class SandboxRoot final : public LeaseSource, public LinkHost {
 public:
  SandboxRoot(SandboxSettings settings, Opener& opener, TypeCatalogue& types, Reactor& reactor,
              Log& log);
  ~SandboxRoot() override;

  std::optional<Error> acquire(LeaseWaiter& waiter, TimePoint deadline) override;
  void withdraw(LeaseWaiter& waiter) override;
  void pin(Link&) override {}  // its state is the sandbox's, as everything in the root
  void note_statement(Link& link, const StatementRef& statement) override;
  std::uint64_t losses() const override { return losses_; }
  Error loss() const override;

  // Rolls the root back and closes the link; `done` runs from the loop, with a line about what was
  // discarded. REQUIRES that no session is left.
  void end(std::function<void(std::vector<std::string>)> done);

  SandboxStatus status() const;

 private:
  struct Waiter {
    LeaseWaiter* waiter = nullptr;
    std::uint64_t number = 0;
    TimePoint since;
    TimePoint deadline;
  };

  void on_link_idle(Link& link) override;
  void on_link_closed(Link& link, const Error& reason, bool was_started) override;
  std::vector<Chore> cleaning_chores(Link& link) override;
  char rest_status() const override { return 'T'; }

  bool serve(LeaseWaiter& waiter);
  void open();
  void on_opened(Result<std::unique_ptr<Channel>> opened);
  void on_open_failed(const Error& error);
  void refuse_all(const Error& reason);
  Error timeout_error(const Waiter& waiter) const;
  Error away_error() const;
  std::string holder_text() const;
  void on_waiters_due();
  void arm_waiters();
  void continue_ending();
  void report();

  SandboxSettings settings_;
  Opener& opener_;
  TypeCatalogue& types_;
  Reactor& reactor_;
  Log& log_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<Link> buried_;  // freed from the loop
  std::unique_ptr<OpenAttempt> attempt_;
  std::unique_ptr<Reactor::Timer> waiters_due_, retry_, burial_, ending_;
  std::list<Waiter> waiters_;
  LeaseWaiter* holder_ = nullptr;
  TimePoint held_since_;
  StatementRef last_statement_;
  std::string last_loss_;
  std::optional<Error> last_failure_;
  unsigned failures_ = 0;
  TimePoint retry_at_;
  std::uint64_t waits_ = 0;
  std::uint64_t losses_ = 0;
  std::uint64_t roots_ = 0;
  std::uint64_t turns_ = 0;         // of this root
  std::uint64_t transactions_ = 0;  // turns of more than one unit
  std::uint64_t units_of_turn_ = 0;
  std::function<void(std::vector<std::string>)> done_;
};

}  // namespace based::postgres
