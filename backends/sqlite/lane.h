// Lane: who may use a database's one handle, and when. The queue in front of the thread.
//
// Units wait here in order of arrival, up to a limit and each until its own deadline. A session
// whose unit left a transaction open holds the lane (its lease): its units go first, everybody else
// waits, and a lease that rests too long is taken away. Sessions that have joined it run inside of
// its transaction while it rests (lane_joins.cpp). Loop thread; the executor behind it runs on the
// lane's own thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/database.h"
#include "backends/log.h"
#include "backends/reactor.h"
#include "backends/sandbox_log.h"
#include "backends/sqlite/executor.h"
#include "backends/sqlite/lane_thread.h"
#include "backends/sqlite/sqlite_database.h"

namespace based::sqlite {

// What the lane asks of a session. Loop thread.
class LaneClient {
 public:
  virtual ~LaneClient() = default;
  virtual const SessionOptions& options() const = 0;
  // The unit that was submitted begins: hands its job over.
  virtual std::shared_ptr<Job> start(Job::Deliver deliver) = 0;
  // A parcel of the running unit, the last one with its outcome.
  virtual void take(std::shared_ptr<Parcel> parcel) = 0;
  // What is posted finds the client through this: null once the client has gone.
  virtual std::weak_ptr<LaneClient*> anchor() const = 0;
  // The unit that was submitted will not run.
  virtual void refuse(Error error) = 0;
  virtual void lose_lease(Error reason) = 0;
  // As SessionListener::on_enter_due.
  virtual void enter() {}
  // Since when its sink has taken no rows; none while it takes them.
  virtual std::optional<TimePoint> paused_since() const = 0;
  // The waiting unit's deadline (the epoch: none), and its first statement.
  virtual TimePoint queue_deadline() const = 0;
  // It is one autocommit unit and cannot leave a transaction behind.
  virtual bool is_one_shot() const = 0;
  // May it run inside of another's transaction? Of which group it is; 0: none.
  virtual bool joins() const { return true; }
  virtual std::string_view first_statement() const = 0;
};

enum class LaneState : std::uint8_t {
  idle,      // nobody's
  running,   // a unit is on the thread
  leased,    // its holder rests between units; deadline: the idle rules
  cleaning,  // a lease that was lost is rolled back, or a sandbox reset, on the thread
  closed,    // final
};

class Lane {
 public:
  // A sandbox goes back to what it was. Before everybody who waits; what runs is cancelled, and an
  // open transaction is lost with 40001.
  struct Reset {
    std::optional<std::string> mark;
    bool drop = false;                                      // and gives back what it occupies
    std::function<void(const std::optional<Error>&)> done;  // once, on the loop, never inside
  };

  // All references outlive it, and so does `sandbox_log`, which may be null: what ran goes there.
  Lane(const SqliteOptions& options, Reactor& reactor, Log& log, SandboxLog* sandbox_log = nullptr);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Starts the unit, queues it, or refuses it (later, never inside this call).
  void submit(LaneClient& client);
  // The client's waiting unit leaves the queue. False: it was not waiting.
  bool withdraw(LaneClient& client);
  // The client is going: its lease and what it runs are ended. REQUIRES that it does not wait.
  void abandon(LaneClient& client);
  // BackendSession::rest.
  void rest(LaneClient& client, Resting how);
  // The client's sink paused or resumed: the slow reader's clock.
  void reader_changed() { arm(); }

  // The executor says what may be wrong; besides 53300 for too many, 57P01.
  void reset(Reset reset);

  bool holds_lease(const LaneClient& client) const;
  // For a sandbox's log: that unit, submitted then, is not run.
  void log_refused(const SessionOptions& session, const Unit& unit, TimePoint since,
                   const Error& error);
  // The transactions of others that the running unit is inside of.
  std::size_t around() const { return parked_.size(); }
  // Where a client that gave up had been waiting: names the holder.
  std::string describe_holder() const;
  LaneStatus status() const;
  const Executor& executor() const { return *executor_; }
  std::uint64_t units() const { return counters_.units; }
  // Turns that went with a transaction that they had joined.
  std::uint64_t joins_lost() const { return joins_lost_; }

  // `done` runs on the loop when the handle is closed and the thread has ended.
  void close(std::function<void(std::vector<std::string>)> done);

 private:
  struct Waiter {
    LaneClient* client = nullptr;  // null: gone, while its job was running
    TimePoint since{};
    TimePoint deadline{};
    std::shared_ptr<Job> job;  // posted to the thread before its turn; none: it waits here
  };
  // Where turns are joined, those that have joined a transaction, and how many they were when each
  // savepoint that is open in it began.
  struct Joined {
    std::uint64_t count = 0;
    std::vector<std::pair<std::string, std::uint64_t>> savepoints;
  };
  // Who has the lane: while a unit of his runs, and while he rests with a lease.
  struct Holder {
    LaneClient* client = nullptr;  // null: gone
    bool one_shot = false;         // its unit
    std::uint64_t session_id = 0;
    std::uint64_t group = 0;
    std::string label, client_name, last_statement;
    Duration idle_limit{};
    bool leased = false;
    bool open = false;            // a transaction, behind its last unit
    bool rests = false;           // and may be joined
    std::optional<Error> ending;  // its lease is to be taken away for this
    Joined joined;
    TimePoint lease_began{}, idle_since{}, unit_began{};
    std::shared_ptr<Job> job;  // while running
  };
  struct Counters {
    std::uint64_t units = 0, errors = 0, cancelled = 0, leases_expired = 0;
  };

  void transition(LaneState to, std::string_view reason);
  void begin(LaneClient& client);
  void hold(LaneClient* client);
  void post(const std::shared_ptr<Job>& job);
  void run_ahead();
  Job::Deliver deliverer(const LaneClient& client);
  void finished(LaneClient* client, Parcel& last);
  void keep_log(const UnitOutcome& outcome, const std::vector<Trace>& traces);
  void start_reset();
  void refuse_resets();
  void next();
  void clean(std::string_view reason);
  void cleaned(bool others_stand);
  void take_lease(Holder& holder, std::string_view why, std::string detail);
  std::map<std::uint64_t, Waiter>::iterator find_waiter(const LaneClient& client);
  void erase_waiter(std::map<std::uint64_t, Waiter>::iterator waiter);

  bool is_parked(const LaneClient& client) const;
  bool may_join(const LaneClient& client, const Holder& holder) const;
  bool is_stranger(const LaneClient& client, const Holder& holder) const;
  bool joins(const LaneClient& client, const LaneClient& other) const;
  void enter_before(const LaneClient& client);
  bool serve();
  void park();
  void unpark(std::string_view reason);
  void go_on();
  void finished_inside(const UnitOutcome& outcome);
  bool abandon_parked(const LaneClient& client);
  void end_from(std::size_t index, std::string_view reason);
  std::vector<Holder> take_from(std::size_t index);
  void lose_all(std::vector<Holder> holders, const Error& reason);
  static Error outer_ended_error();
  Error held_error() const;
  void refuse_strangers();
  void note_joined(const UnitOutcome& outcome);
  void note_savepoint(const Statement& control);
  static std::uint64_t joined_in(const std::vector<Holder>& holders);
  void note_lost(std::uint64_t count, const std::string& whose);
  std::optional<std::size_t> first_ended() const;
  TimePoint parked_due() const;
  TimePoint parked_due(const Holder& holder) const;
  void end_overdue_parked(TimePoint now);

  void arm();
  void on_timer();
  TimePoint next_due() const;
  TimePoint lease_due() const;
  TimePoint slow_reader_due() const;
  std::string others_wait() const;
  void refuse_overdue(TimePoint now);

  const SqliteOptions& options_;
  Reactor& reactor_;
  Log& log_;
  LaneState state_ = LaneState::idle;
  Holder holder_;
  std::vector<Holder> parked_;  // whose transactions are around the holder's, the outermost first
  std::vector<LaneClient*> begun_;  // who has levels to be entered, the first of them first
  std::map<std::uint64_t, Waiter> waiters_;  // by arrival
  std::set<std::pair<TimePoint, std::uint64_t>> deadlines_;
  std::uint64_t arrivals_ = 0;
  std::size_t posted_ = 0;    // the first of waiters_, whose jobs are on the thread already
  std::deque<Reset> resets_;  // to be started
  SandboxLog* sandbox_log_;
  Counters counters_;
  std::uint64_t joins_lost_ = 0;
  std::unique_ptr<Reactor::Timer> timer_;
  std::unique_ptr<Executor> executor_;
  std::shared_ptr<Lane*> anchor_;       // what is posted finds the lane through it, or null
  std::unique_ptr<LaneThread> thread_;  // last: joined first
};

}  // namespace based::sqlite
