// Envelope: what goes around a unit's steps, as a pure function of the session's stack, the
// database's mode and the kind of unit.
//
// The control SQL is interned: the same depth gives the same StatementRef, so that backends prepare
// it once. In a rooted database everything is a savepoint inside the root; there the statements
// that stand for a client's BEGIN, COMMIT and ROLLBACK still have the kinds begin, commit and
// rollback. Loop thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "backends/statement.h"
#include "backends/transaction_stack.h"
#include "backends/unit.h"

namespace based {

// How the steps of a group belong together.
enum class GroupKind : std::uint8_t {
  single,      // one statement. Outside a transaction it commits by itself
  together,    // several. Outside a transaction they are one; inside, the level's
  guarded,     // together; and inside a transaction a savepoint of their own, so that it survives
  standalone,  // one that refuses to run in a transaction
};

// A group may be cut into several units.
struct GroupPart {
  GroupKind kind = GroupKind::single;
  bool first = true;
  bool last = true;
  bool reads = false;  // every statement of it is a plain read
};

class EnvelopeMaker {
 public:
  explicit EnvelopeMaker(const StackRules& rules) : rules_(rules) {}

  // Around steps: enters what is pending, then the group's own boundaries. In a sandbox the
  // recovery of an only level rolls it back: TransactionStack::left(). REQUIRES that the stack
  // is usable; and for `standalone` that it is empty and the database not rooted.
  Envelope around(const TransactionStack& stack, const GroupPart& part);
  // Of a unit without steps that ends levels. REQUIRES stack.needs_database(end).
  Envelope ending(const TransactionStack& stack, const LevelsEnd& end);

 private:
  Envelope boundaries(const TransactionStack& stack, const GroupPart& part);
  StatementRef control(StatementKind kind, std::string_view text, std::string_view name = {});
  StatementRef begin(const BeginOptions& options);
  StatementRef rooted_begin(const BeginOptions& options);
  void enter(const Level& level, std::uint32_t depth, std::vector<StatementRef>& out);
  void roll_back(std::uint32_t depth, std::vector<StatementRef>& out);
  void commit(std::uint32_t depth, std::vector<StatementRef>& out);
  void open_guard(StatementKind kind, std::vector<StatementRef>& out);
  void close_guard(StatementKind kind, std::vector<StatementRef>& out);
  void recover_guard(StatementKind kind, std::vector<StatementRef>& out);

  StackRules rules_;
  std::map<std::string, StatementRef, std::less<>> interned_;  // by text; bounded by the depth
};

// As they stand behind PostgreSQL's BEGIN: " ISOLATION LEVEL SERIALIZABLE READ ONLY".
std::string modes_of(const BeginOptions& options);

// Where the session has joined the transaction of another one: its own is a savepoint there, and so
// the envelope's BEGIN, COMMIT and ROLLBACK are that savepoint's, with their kinds. `read_only`
// goes behind the savepoint of one that only reads; null: its BeginOptions say it.
void nest(Envelope& envelope, const StatementRef& read_only);

}  // namespace based
