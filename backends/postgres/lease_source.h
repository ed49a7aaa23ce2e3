// LeaseSource: where a session gets the exclusive use of a link: a pool, or a sandbox's root.
//
// Loop thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/client_objects.h"
#include "backends/postgres/link.h"
#include "backends/postgres/listen_journal.h"
#include "backends/postgres/transaction_modes.h"
#include "backends/reactor.h"
#include "protocol/result.h"

namespace based::postgres {

// What is left to the transaction that one was a part of.
struct LeftToOuter {
  std::vector<ListenJournal::Action> said = {};  // NOTIFYs
  ClientObjects::OfTransaction objects = {};
  bool queried = false;
  bool constraints = false;  // were set
  bool tainted = false;      // what was set in it is not all known
};

// Somebody who waits for a lease. It holds at most one.
class LeaseWaiter {
 public:
  // `logins_changed`: the source's, when the session began. It gets no link of before that.
  explicit LeaseWaiter(std::uint64_t logins_changed = 0) : logins_changed_(logins_changed) {}
  virtual ~LeaseWaiter() = default;
  std::uint64_t logins_changed() const { return logins_changed_; }
  // The link is leased to holder(). May run inside acquire(), and must not tell a client anything.
  virtual void on_lease(Link& link) = 0;
  // The wait is over without one. Never inside acquire().
  virtual void on_lease_refused(const Error& reason) = 0;
  // Since when only its client can go on with the lease that it holds, in the middle of a unit,
  // too. None: it is at work.
  virtual std::optional<TimePoint> rests_since() const = 0;
  // The lease is taken away, by a reset of what it is for or as it rests while others wait: the
  // link has to be released, as abandoned, inside this call. Comes from the loop; whoever has a
  // client tells it.
  virtual void on_lease_revoked(const Error& reason) = 0;
  // Is it inside of a transaction, as its client sees it? Only asked of who holds the lease.
  virtual bool in_transaction() const { return false; }
  // It rests in its transaction, and others join it: the link has to be released, as finished,
  // inside this call. Before it goes on it acquires again, and finds its transaction there.
  virtual void on_parked() {}
  // Others of its group are to run: what note_begun() has told of is entered first, in a turn of
  // its own. It may be that it does something else by then.
  virtual void on_enter_due() {}
  // May it run inside of another's transaction?
  virtual bool joins() const { return true; }
  // Whose transactions it joins wherever it is (JoinTokens); 0: nobody's.
  virtual std::uint64_t group() const { return 0; }
  // In a sandbox, where another's transaction is a part of its own: what that begins with, and what
  // that leaves behind.
  virtual OuterTransaction as_outer() const { return {}; }
  virtual void take_over(LeftToOuter /*left*/) {}
  virtual LinkHolder& holder() = 0;
  // A link that has these settings already is preferred.
  virtual bool fits(const LinkSettings& settings) const = 0;
  // Who it is, for the errors of those who wait behind it: "session 7 (label) of 127.0.0.1:4711";
  // through PostgreSQL's protocol its application_name, and "of ann at 127.0.0.1:4711".
  virtual std::string describe() const = 0;
  virtual std::uint64_t session_id() const = 0;

 private:
  const std::uint64_t logins_changed_;
};

class LeaseSource {
 public:
  virtual ~LeaseSource() = default;
  // Leases a link now, or remembers the waiter, FIFO, until the deadline. An error: refused at
  // once, with nothing remembered.
  virtual std::optional<Error> acquire(LeaseWaiter& waiter, TimePoint deadline) = 0;
  // The waiter gives up waiting. No effect where it does not wait.
  virtual void withdraw(LeaseWaiter& waiter) = 0;
  // The link keeps state of its session that cannot be moved: it is reset after its release.
  // `reason` is whose it is and what it is; empty: it is about to be released.
  virtual void pin(Link& link, std::string reason) = 0;
  // It was found that nothing is left: no reset is needed.
  virtual void unpin(Link&) {}
  // The reasons of the links that their sessions keep.
  virtual std::vector<std::string> pin_reasons() const { return {}; }
  // What the holder runs, for those who wait behind it; a text of the client's.
  virtual void note_statement(Link& link, const StatementRef& statement) = 0;
  // The same of a text that was not read. Only a sandbox's root shows it.
  virtual void note_text(std::string_view /*text*/) {}
  // The same of what else is in its unit.
  virtual void note_effects(const Statement&) {}
  // How often everything that the sessions share was lost (a sandbox's root). A session that has
  // seen fewer losses must hear of it before it goes on.
  virtual std::uint64_t losses() const = 0;
  // A pool's: how often what a link is given when it is opened has changed (LoginWatch).
  virtual std::uint64_t logins_changed() const { return 0; }
  virtual Error loss() const = 0;
  // The holder has come to rest in its transaction.
  virtual void note_rest() {}
  // Has the session levels of which its link, if it has one, has not heard? Nobody of its group
  // runs, who begins later, before they are entered.
  virtual void note_begun(LeaseWaiter&, bool /*has*/) {}
  // One that was parked is gone, and its transaction with it.
  virtual void abandon(LeaseWaiter&) {}
  // A savepoint was made, released or gone back to on the holder's link.
  virtual void note_savepoint(const Statement& /*step*/) {}
  // A sandbox's root: what the holder has done in its turn is committed. Nothing takes it back that
  // becomes of the rest of the turn.
  virtual void note_committed() {}
  // Before the holder does more behind that, with nothing of its own under way on the link. True:
  // the link owes what a turn begins with (Link::owe).
  virtual bool renew_turn() { return false; }
  // A sandbox's root: does nobody have or want it, so that it can be had at once?
  virtual bool is_free() const { return false; }
  // Is the holder's turn inside of another session's transaction?
  virtual bool is_inside() const { return false; }
  // Whose transaction is the holder's a part of, so that it ends well with that only? Who is of its
  // group; null: nobody, or one who is gone, and all of it with it.
  virtual LeaseWaiter* outer() const { return nullptr; }
  // Is the link, now that it is leased, in another session's transaction, which is no sandbox's?
  virtual bool lends() const { return false; }
  // A sandbox's root: for whose locks the holder's statement has been seen to wait; may be empty.
  virtual std::string_view blocker() const { return {}; }
  // A sandbox's root: what its server's transactions begin with, which are never read only.
  virtual TransactionModes server_modes() const { return {}; }
  // A sandbox's root: a limit that the server has for its sessions, and that the root is without,
  // as SET takes it; null: the server has no such setting.
  virtual const std::string* server_limit(std::string_view /*setting*/) const { return nullptr; }
};

}  // namespace based::postgres
