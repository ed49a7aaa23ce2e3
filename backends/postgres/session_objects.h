// SessionObjects: what a native session has made in a sandbox, and what ends with its transaction
// or with itself. Pure.
#pragma once

#include <utility>
#include <vector>

#include "backends/postgres/client_objects.h"
#include "backends/statement.h"

namespace based::postgres {

class SessionObjects {
 public:
  // `shared` outlives it; null outside of a sandbox.
  explicit SessionObjects(SandboxObjects* shared) : shared_(shared) {}

  // Behind the savepoint of what is outside of a transaction: what others have left.
  std::vector<StatementRef> left_by_others();
  // A statement is sent; it has succeeded, or not; its transaction's end.
  void sent(const Statement& statement) { objects_.sent(statement); }
  void failed() { objects_.failed(); }
  void done(const Statement& statement);
  void committed();
  void rolled_back();
  void note_savepoint(const Statement& step) { objects_.note_savepoint(step); }
  // Of a transaction that was a part of another's.
  ClientObjects::OfTransaction leave_to_outer();
  void take_over(ClientObjects::OfTransaction left) { objects_.take_over(std::move(left)); }
  // Before a transaction that may have written ends well: what PostgreSQL would do by itself.
  std::vector<StatementRef> ending() const;
  // Drops the session's temporary tables; null: it has none.
  StatementRef drop_temporary();
  // CLOSE ALL; `inside` a transaction: those that end with it, too.
  StatementRef close_cursors(bool inside) const {
    return postgres::close_cursors(objects_.owned_cursors(), inside || objects_.declares());
  }
  // DISCARD ALL, or the session's end: what it has made goes in front of the next unit.
  void leave();

 private:
  SandboxObjects* const shared_;
  ClientObjects objects_;
};

}  // namespace based::postgres
