// ClientObjects: what a client of a sandbox has made on the link that all its clients share, and
// that PostgreSQL would end with the client's transaction or session. Pure.
//
// Temporary tables, views and sequences, cursors, and session-level advisory locks, as far as a
// text shows them; what a function makes is not seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/postgres/savepoints.h"
#include "backends/statement.h"

namespace based::postgres {

struct ClientObject {
  enum class Kind : std::uint8_t { cursor, holdable, table, view, sequence };
  enum class OnCommit : std::uint8_t { keep, drop, delete_rows };
  Kind kind = Kind::table;
  OnCommit on_commit = OnCommit::keep;
  std::string name;           // as the server folds it
  bool may_be_there = false;  // IF NOT EXISTS

  bool operator==(const ClientObject&) const = default;
};

// What the statement makes; nullopt: nothing of the kind.
std::optional<ClientObject> object_made_by(const Statement& statement);
// DROP TABLE: of which temporary ones, as far as the text shows it.
std::vector<std::string> tables_dropped_by(const Statement& statement);
// ALTER TABLE ... RENAME TO, and that of a view or sequence, which may be temporary.
struct Renaming {
  std::string from, to;

  bool operator==(const Renaming&) const = default;
};
std::optional<Renaming> renaming_by(const Statement& statement);
// CLOSE; empty: ALL.
std::string cursor_closed_by(const Statement& close);
struct SaidNotify {
  std::string channel, payload;
};
// NOTIFY; nullopt: what only the server can read.
std::optional<SaidNotify> read_notify(std::string_view text);
// Does it take a session-level advisory lock?
bool locks_for_session(const Statement& statement);
// Gives back every session-level advisory lock.
StatementRef unlock_session();
// Closes the cursors that end with their transaction.
StatementRef close_transaction_cursors();
// CLOSE ALL of one client: those of these that are cursors, and with `of_transaction` those that
// end with it.
StatementRef close_cursors(const std::vector<ClientObject>& objects, bool of_transaction);
// One statement that drops and closes what there is of these, and fails for none; null for none.
StatementRef drop_objects(const std::vector<ClientObject>& objects);
// Empties those of these temporary tables that there are and the session may empty; null for none.
StatementRef delete_rows_of(const std::set<std::string, std::less<>>& tables);

// What the clients of a sandbox share of it.
struct SandboxObjects {
  // Of clients that have gone, for the next unit to clear away. Bounded.
  std::vector<ClientObject> left;
  // What was cleared away, since the oldest mark: a reset to one brings it back. Bounded.
  std::vector<ClientObject> cleared;
  std::vector<ClientObject> cleared_in_turn;          // there again, when that is rolled back
  std::set<std::string, std::less<>> emptied_tables;  // temporary; their rows go at each commit
  std::size_t lock_holders = 0;                       // clients that have session-level locks
  // Others of the server may wait for the locks: true asks to give all of them back between two
  // turns, false takes that back.
  std::function<void(bool due)> unlock;

  void leave(ClientObject object);
  void forget(std::string_view name);  // there is a new one
  std::vector<ClientObject> clear();   // what is left is cleared away now
  void clearing_stays();
  void clearing_undone();
  // A mark is made: where `cleared` is by then, for go_back().
  std::size_t mark(bool is_oldest);
  void go_back(std::size_t marked);
  // Nobody's locks are known apart: they go with those of the last who has any.
  void add_lock_holder();
  void drop_lock_holder();
  void empty_at_commit(const std::string& table);
  void begin_anew();  // the root: nothing of it is there
};

class ClientObjects {
 public:
  // What ends with a transaction.
  struct OfTransaction {
    std::vector<ClientObject> made, dropped;
    std::vector<std::string> gone;
    bool declares = false;
  };
  // A statement is sent: what it will have made by the transaction's end.
  void sent(const Statement& statement);
  void failed();  // what was sent, and is not done
  // It has succeeded.
  void done(const Statement& statement, std::string_view tag, SandboxObjects& shared);
  void closed_cursors();  // CLOSE ALL has succeeded
  // What ended in it is dropped once more: where it was read only, nothing could be.
  void committed(SandboxObjects& shared);
  void rolled_back();
  // The transaction was a part of another's, with which ends what it has made for itself.
  OfTransaction leave();
  void take_over(OfTransaction left);
  // A savepoint was made, released or gone back to, in the client's transaction or around it.
  void note_savepoint(const Statement& step);
  // DISCARD TEMP in a transaction has dropped them, as far as it could.
  void dropped(std::vector<ClientObject> objects) { dropped_ = std::move(objects); }

  // Of the transaction: tables that end with it, and those whose rows do. Cleared by committed()
  // and rolled_back().
  std::vector<ClientObject> ending() const;
  std::set<std::string, std::less<>> emptied(const SandboxObjects& shared) const;
  bool declares() const { return declares_; }  // a cursor that ends with it

  const std::vector<ClientObject>& owned() const { return owned_; }
  std::vector<ClientObject> owned_cursors() const;
  std::vector<ClientObject> owned_temporary() const;
  bool holds_locks() const { return holds_locks_; }
  void forget() { *this = {}; }

 private:
  // What was known of a name.
  struct Known {
    std::string name;
    std::optional<ClientObject> made;
    bool gone = false;
  };
  void note_made(const ClientObject& table, const SandboxObjects& shared);
  void note_renamed(const Renaming& renaming, SandboxObjects& shared);
  Known known(std::string_view name) const;
  void learn(Known now);
  void set(Known now);
  bool has(std::string_view name) const;
  void end_transaction();

  // Temporary tables, the newest of each name: of statements that are sent, and that are done.
  std::vector<ClientObject> making_, made_;
  std::vector<Renaming> renaming_;  // of what is sent
  std::vector<Known> before_;       // of each name that was learnt of since the oldest savepoint
  Savepoints<std::size_t> savepoints_;  // and the size of that at the time
  std::vector<ClientObject> dropped_;
  std::vector<std::string> gone_;  // tables, by DROP TABLE; and what has another name now
  bool declares_ = false;
  std::vector<ClientObject> owned_;
  std::size_t committed_ = 0;  // of owned_
  bool holds_locks_ = false;
};

}  // namespace based::postgres
