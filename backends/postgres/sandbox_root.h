// SandboxRoot: the one link of a sandbox, in a root transaction that is never committed, and the
// turns that sessions take on it.
//
// Nets that hold although the classification of a text may be wrong: right after BEGIN a WITH HOLD
// cursor is declared that fails when it is materialised, so every COMMIT fails and PREPARE
// TRANSACTION too; the link starts with default_transaction_read_only=on, so that what runs after a
// lost root cannot write; and every ready status must be in a transaction, else the sandbox is
// lost, loudly: each session hears one error before it goes on in a fresh root.
//
// A root is begun by the first turn, in front of what the turn sends. When it is 100 ms old and the
// server says that it has written nothing, and no text has left anything else in it, it is rolled
// back: the next turn begins another, whose now() is its own, and in between the link holds back no
// VACUUM. From the first write on the root stays. Init SQL that does more than SET is a part of
// every root, which is then begun at once.
//
// Marks are savepoints below the turn's. A reset takes the turn away from who has it, rolls back to
// a mark, or all of the root and begins another on the same link, where what was prepared stays.
//
// Where sessions join, all of them or those of a group (sandbox_root_joins.cpp), the holder that
// rests in its transaction is parked while another has its turn inside of it, above the savepoint
// _based_jN; several may be parked, one inside the other, and only the innermost one goes on. What
// one of them has begun, and the link has not heard of, is entered before others that it may have
// inside of it have their turn.
//
// With `shared` it is no sandbox's, but the one link of sessions that share their transactions
// (shared_links.h). There is no root then: the outermost transaction is a real one, and between two
// turns outside of it there is nothing.
//
// A turn is one autocommit unit or one client transaction, FIFO. It begins with the savepoint
// _based_turn: what an abandoned session left is rolled back to it, and nobody else's work. That is
// set in front of what the turn sends first (Link::owe); one that sends nothing has nothing to
// undo. Where a turn goes on behind a COMMIT, its savepoint is made anew in front of what comes
// next: what was committed stays, whatever becomes of the rest. Loop thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backends/log.h"
#include "backends/postgres/channel.h"
#include "backends/postgres/lease_source.h"
#include "backends/postgres/link.h"
#include "backends/postgres/sandbox_sequences.h"
#include "backends/postgres/savepoints.h"
#include "backends/postgres/subtransactions.h"
#include "backends/postgres/type_catalogue.h"
#include "backends/reactor.h"
#include "backends/sandbox.h"
#include "backends/status.h"

namespace based::postgres {

struct SandboxSettings {
  std::string name;
  std::size_t max_waiting = 0;  // 0: no limit
  LinkLimits link;
  std::vector<std::string> session_texts;  // outside of the root, when the link is opened
  std::vector<std::string> init_texts;     // inside the root: they go with it
  Settings base_settings;
  bool restores_sequences = false;
  std::size_t vacuum_every = 0;                       // resets; 0: never
  std::function<void(std::string_view oids)> vacuum;  // the tables that were written to
  Duration idle_while_waited{};  // who rests so long in its turn while others wait loses it; zero:
                                 // never
  // While the holder rests in its transaction: others join it, or are refused at once. Neither:
  // they wait.
  bool joins = false;
  bool refuses = false;
  bool acts_as_user = false;          // it is each client's user in turn
  bool shared = false;                // outside of a sandbox
  SandboxObjects* objects = nullptr;  // what its sessions share of it; null: nothing
  // Asks by whom the server's process is blocked, for note_blocker(); 0: nothing more for now.
  std::function<void(std::int32_t process)> ask_blocker;
  // Asks which of everybody's tables the server's process has locked, for note_locked().
  std::function<void(std::int32_t process)> ask_locked;
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
  void pin(Link&, std::string) override {}  // its state is the sandbox's, as everything in the root
  void note_statement(Link& link, const StatementRef& statement) override;
  void note_text(std::string_view text) override;
  void note_rest() override;
  void note_begun(LeaseWaiter& waiter, bool has) override;
  void note_committed() override;
  bool renew_turn() override;
  void abandon(LeaseWaiter& waiter) override;
  void note_savepoint(const Statement& step) override;
  void note_effects(const Statement& statement) override;
  std::uint64_t losses() const override { return losses_; }
  TransactionModes server_modes() const override { return server_modes_; }
  const std::string* server_limit(std::string_view setting) const override;
  bool is_free() const override;
  bool is_inside() const override { return !parked_.empty(); }
  LeaseWaiter* outer() const override;
  bool lends() const override { return settings_.shared && !parked_.empty(); }
  Error loss() const override;

  // Is it due to give back every session-level advisory lock? It is done between two turns.
  void unlock(bool due);

  // For whom the statement that runs waits, as a text; empty: for nobody.
  void note_blocker(std::string blocker);
  std::string_view blocker() const override { return blocker_; }
  // What others cannot use until the root ends: so many tables, and the first of their names.
  void note_locked(std::uint64_t count, std::string names);

  // As Sandbox (backends/sandbox.h) has them; mark() waits until the deadline for its turn.
  void mark(const std::string& name, TimePoint deadline, Sandbox::Done done);
  void reset(Sandbox::Done done) { operate(OperationKind::reset, {}, std::move(done)); }
  void reset_to(std::string mark, Sandbox::Done done) {
    operate(OperationKind::reset_to, std::move(mark), std::move(done));
  }
  void drop(Sandbox::Done done) { operate(OperationKind::drop, {}, std::move(done)); }

  // Has it no link, and does nobody wait for one?
  bool is_closed() const { return !link_ && !attempt_ && waiters_.empty(); }

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

  // What others have done inside of a turn, and since which of its savepoints.
  struct Joined {
    std::uint64_t count = 0;
    Savepoints<std::uint64_t> savepoints;  // and the count at that time
  };
  struct Parked {
    LeaseWaiter* waiter = nullptr;  // null: it is gone
    TimePoint held_since, since;
    LinkSettings settings;
    Joined joined;
  };

  class MarkTurn;
  struct Mark {
    std::string name;
    std::uint64_t number = 0;  // its savepoint's
    bool moved = false;        // the name belongs to a newer one
    LinkSettings settings;     // the link's at that time
    std::uint64_t subtransactions = 0;
    std::string sequences;   // where they were; empty: they stay
    bool immediate = false;  // there were constraints that a COMMIT has to restore
    DefinitionWatch::Point definitions;
    std::size_t objects = 0;
  };
  enum class OperationKind : std::uint8_t { reset, reset_to, drop };
  struct Operation {
    OperationKind kind = OperationKind::reset;
    std::string mark;
    Sandbox::Done done;
  };
  // Holds the link for an operation, for no time.
  struct Operator final : LinkHolder {
    void on_link_lost(const Error&) override {}
    void on_cancel_over() override {}
  };

  void on_link_idle(Link& link) override;
  void on_link_closed(Link& link, const Error& reason, bool was_started) override;
  std::vector<Chore> cleaning_chores(Link& link) override;
  char rest_status() const override { return root_open_ || lends() ? 'T' : 'I'; }
  bool rooted() const override { return !settings_.shared; }
  void note_tag(std::string_view tag) override;

  bool serve(LeaseWaiter& waiter);
  void serve_waiters();
  void open();
  void on_opened(Result<std::unique_ptr<Channel>> opened);
  void on_open_failed(const Error& error);
  void refuse_all(const Error& reason);
  std::string what() const;
  std::string name_in_log() const;
  Error timeout_error(const Waiter& waiter) const;
  Error away_error() const;
  LeaseWaiter* holder() const;
  std::string holder_text() const;
  void on_waiters_due();
  void on_rest_due();
  void arm_rest();
  TimePoint rest_due() const;
  void arm_waiters();
  void continue_ending();
  void report();

  // sandbox_root_life.cpp
  bool begins_at_once() const { return !settings_.init_texts.empty(); }
  bool is_kept() const { return kept_ || !marks_.empty(); }
  bool may_operate() const;
  void on_renew();
  std::vector<Chore> turn_chores(Link& link);
  Chore ending(Link& link);
  void take_row(const std::vector<Cell>& row);
  bool looks_closer();
  void add_restoring(Chore& chore, const std::string& remembered, SequencePlace place);
  Chore beginning();
  Chore renewal(Link& link);
  void forget_figures();
  void take_figures(const std::vector<Cell>& row);
  Chore next_turn() const;
  Chore question(Link& link);

  // sandbox_root_watch.cpp
  std::vector<std::string> warnings() const;
  void watch_statement();
  void on_watch();

  // sandbox_root_joins.cpp
  bool is_parked(const LeaseWaiter& waiter) const;
  bool waits(const LeaseWaiter& waiter) const;
  bool may_go_on(const LeaseWaiter& waiter) const;
  bool may_join(const LeaseWaiter& waiter, const LeaseWaiter& other) const;
  LeaseWaiter* begun_before(const LeaseWaiter& waiter) const;
  void enter_begun();
  void on_lend();
  bool may_park() const;
  void run_between(std::vector<std::string> texts);
  std::vector<std::string> joining() const;
  std::string since(bool joined) const;
  void open_join();
  void close_join();
  void roll_back_parked();
  void revoke_parked(const Error& reason);
  void unpark();
  Chore next_join(bool abandoned) const;
  void end_turn(bool abandoned);
  void note_lost(std::uint64_t count, const std::string& whose);
  std::string base_name() const;
  std::string back_to_base() const;
  Error held_error() const;
  bool is_held_against(const LeaseWaiter& waiter) const;
  void refuse_strangers();

  // sandbox_root_operations.cpp
  void operate(OperationKind kind, std::string mark, Sandbox::Done done);
  void on_operate();
  void revoke(OperationKind kind);
  std::optional<std::size_t> find_mark(const std::string& name) const;
  void begin_operation();
  Chore operation_chore(Link& link);
  Chore mark_chore(Link& link);
  void finish_mark(MarkTurn& turn, const std::optional<Error>& error);
  void finish_operation(const std::optional<Error>& error);
  void begin_anew();
  void tell_operations(const std::optional<Error>& lost);
  void drop_operations();

  SandboxSettings settings_;
  Opener& opener_;
  TypeCatalogue& types_;
  Reactor& reactor_;
  Log& log_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<Link> buried_;  // freed from the loop
  std::unique_ptr<OpenAttempt> attempt_;
  std::unique_ptr<Reactor::Timer> waiters_due_, rest_due_, retry_, burial_, ending_, operate_,
      renew_, lend_, watch_, unlock_;
  std::list<Waiter> waiters_;
  LeaseWaiter* holder_ = nullptr;
  TimePoint held_since_;
  TimePoint statement_at_;  // the holder's newest
  bool watching_ = false;   // watch_ is armed
  bool unlock_due_ = false;
  std::string blocker_;
  bool unblocked_ = false;  // the last answer named nobody
  std::string last_text_;   // of the holder's newest statement, cut; empty: it has run none
  std::string last_loss_;
  std::optional<Error> last_failure_;
  unsigned failures_ = 0;
  TimePoint retry_at_;
  std::uint64_t waits_ = 0;
  std::uint64_t losses_ = 0;
  TransactionModes server_modes_;
  Settings server_limits_;
  std::uint64_t roots_ = 0;
  std::uint64_t turns_ = 0;         // of this root
  std::uint64_t transactions_ = 0;  // turns of more than one unit
  std::uint64_t units_of_turn_ = 0;
  std::uint64_t turns_total_ = 0;  // of all roots
  std::uint64_t transactions_total_ = 0;
  TimePoint root_began_;
  DefinitionWatch::Point definitions_at_begin_;
  TimePoint renew_at_;
  bool root_told_ = false;  // the log has it
  bool root_open_ = false;  // BEGIN was sent
  bool kept_ = false;       // something was done in it that is not done again
  bool keeps_ = false;      // so was, maybe, in the turn that runs
  bool committed_ = false;  // what the turn has done so far is, and it has done nothing since
  std::string sequences_;   // where they were when it began; empty: they stay
  TimePoint figures_due_;   // when the server is asked for them again
  bool figures_old_ = false;
  std::uint64_t locks_ = 0;
  std::uint64_t exclusive_locks_ = 0;  // of relations, its own among them
  std::uint64_t locked_ = 0;           // tables of everybody's
  std::string locked_tables_;
  Subtransactions subtransactions_;
  bool overflow_told_ = false;
  std::string user_;
  std::string xid_;  // of the root; empty: it has written nothing yet
  std::uint64_t resets_ = 0;

  std::vector<Mark> marks_;  // the oldest first
  std::uint64_t marks_made_ = 0;
  std::list<std::unique_ptr<MarkTurn>> mark_turns_;
  MarkTurn* marking_ = nullptr;                        // the link's cleaning makes its mark
  std::vector<std::pair<MarkTurn*, Error>> refusals_;  // to be told from the loop
  std::deque<Operation> operations_;
  bool operating_ = false;  // the front one has begun
  Operator operator_;

  std::vector<Parked> parked_;        // the outermost first
  std::vector<LeaseWaiter*> begun_;   // who has levels to be entered, the first of them first
  Joined joined_;                     // of the holder's turn
  bool join_open_ = false;            // the savepoint of who joins parked_.back() is there
  std::vector<std::string> between_;  // what the link's cleaning runs, for none of the sessions
  std::uint64_t joins_lost_ = 0;
  std::function<void(std::vector<std::string>)> done_;
};

}  // namespace based::postgres
