// WireStack: what the transaction control of a PostgreSQL client means where its transactions are
// not the server's own: in a sandbox, whose root is never committed, and with nested transactions.
// Pure.
//
// In a sandbox a client's transaction is a savepoint in the root, and so is each unit outside of
// one: its guard, which a BEGIN in the same unit turns into the transaction. That is the turn's own
// savepoint, _based_turn (sandbox_root.h), where nothing was done since that is not committed; else
// _based_t1. A nested transaction is _based_t2 and so on, in a sandbox and outside. The client's
// own savepoints go by their own names; one of an outer level is not visible in an inner one. A
// savepoint that is read only stays so: where the client's transaction may be read write again,
// before its first query, it is read only by _based_only.
//
// In another session's transaction (join()) that is what a transaction block is: what cannot run
// in one is refused, its modes are those that there are, and a COMMIT is a RELEASE and no more.
//
// Outside of a sandbox the outermost transaction is the server's own: its control is not for plan()
// but for the server, and what became of it is noted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/postgres/own_row.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/savepoints.h"
#include "backends/postgres/transaction_modes.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based::postgres {

struct WireStackRules {
  bool rooted = false;  // in a sandbox
  bool inside = false;  // rooted: in another session's transaction, which is no sandbox's
  bool nested = false;  // BEGIN inside of a transaction begins another one
  std::uint32_t depth_max = 64;
};

class WireStack {
 public:
  // What to do for one statement of transaction control.
  struct Plan {
    std::vector<StatementRef> made;   // what is so already: nothing is sent for it
    std::vector<StatementRef> steps;  // for the server, one after the other
    StatementRef restoring;           // due if the last of them, a question, has a row
    std::string tag;                  // then the client is told so
    std::vector<Error> warnings;      // and these before
    std::optional<Error> error;       // or only this: the statement fails
    bool ends_transaction = false;    // an error, also in a step, ends it all the same
    bool committed = false;           // what fails behind it does not take it back
    std::optional<OwnRow> shows;      // and with this row, if it can be shown
    TransactionModes modes;           // where that is one of them
    // What is seldom due is asked for, and has a round trip of its own. REQUIRES that nothing of
    // the client's is sent behind the plan before it is answered.
    void ask_first();
    StatementRef setting;  // a setting that the session keeps and the server does not hear of
  };

  explicit WireStack(const WireStackRules& rules) : rules_(rules) {}

  // What it does is a part of another session's transaction: what that ends is not its to end.
  void join(std::optional<OuterTransaction> outer) { outer_ = outer; }
  const std::optional<OuterTransaction>& outer() const { return outer_; }
  // What others' transactions that are a part of its own begin with.
  OuterTransaction as_outer() const {
    const Level& level = levels_.empty() ? unit_ : levels_.back();
    return {.modes = level.modes, .queried = level.queried};
  }
  void note_snapshot();  // something needs one
  // Constraints were set where only the end of the outermost transaction brings them back.
  void note_constraints() { constraints_ = true; }
  bool has_constraints() const { return constraints_; }

  // Is it for plan()? In a sandbox whatever the state.
  bool is_control(const Statement& statement) const;
  // Which of these are, where each comes, if all before it succeed.
  std::vector<bool> controls_in(const Script& script) const;
  // Plans it, and goes to the state after it. `in_script`: one of several statements in a text,
  // which are a transaction without a BEGIN.
  // `ending`: what it runs beside what is due anyway.
  Plan plan(const StatementRef& statement, bool in_script = false,
            std::vector<StatementRef> ending = {});
  // An EXECUTE runs it, and with more behind it. False: it is to be planned all the same; where it
  // ends the transaction, that is left to the unit's end.
  bool note_executed(const StatementRef& statement);
  StatementRef executed_end() const;  // null: none
  void forget_executed() { executed_.reset(); }
  // Refuses what cannot run here although it is no transaction control.
  std::optional<Error> check(const Statement& statement, bool in_script = false) const;

  // What runs here without being transaction control: it decides over what may come behind it.
  void note(const Statement& statement);
  void note_text(std::string_view text);  // an ordinary one: backends/sql/ordinary.h
  void note_portal() { guard_used_ = true; }
  void note_read_only();  // its set_config has set that
  // Of the server's own transaction: it has done this; and so it says at the end of a request.
  void note_own(const Statement& statement);
  void follow(char status);
  // A sandbox's unit outside of a transaction has to have a guard: before its first statement.
  bool holds_guard() const { return guarded_ && levels_.empty(); }
  bool needs_guard() const { return rules_.rooted && levels_.empty() && !guarded_; }
  // `turn_begins`: nothing was done since the turn's own savepoint. `defaults`: the session's, for
  // what begins with it.
  Plan guard(bool turn_begins, const TransactionModes& defaults);
  // At the unit's end: what lets the guard go; none where there is no guard to let go.
  std::vector<StatementRef> let_guard_go(bool wrote, std::vector<StatementRef> ending = {});
  // Would that be nothing at all?
  bool goes_freely(bool wrote) const;
  // What is due when everything that was planned is done. Between two of these steps there is no
  // savepoint to go back to: nothing of them may be struck by a cancel.
  bool has_behind() const { return renews_turn_ || !behind_.empty(); }
  std::vector<StatementRef> take_behind();
  // What was SET LOCAL in the unit without a transaction: the guard's end does not undo it.
  bool has_local_names() const { return !local_names_.empty(); }
  std::vector<std::string> take_local_names() { return std::exchange(local_names_, {}); }
  // After an error: what brings back the state before the unit, or the transaction that could not
  // commit. Of a client's transaction in a sandbox that has no savepoint to go back to: what rolls
  // all of it back, and it is_freed(). None: it has failed, and its savepoints may be gone back to.
  std::vector<StatementRef> recover(bool ending);

  // What brings back the state before a text in parts, around which there is the check's savepoint
  // if no guard: none where nothing has to be. `over`: it will not be tried again.
  std::vector<StatementRef> undo_check(bool over) const;

  // What the server has yet to be told of: it will fail what is open.
  void fail() { failed_ = in_transaction(); }
  // Its transaction is gone, of which its levels are left, all failed, for its client to end; one,
  // if nothing is known of it.
  void lose();
  // Ends the innermost of those. False: it was the outermost.
  bool end_lost();

  // As the client is to see it: 'I', 'T' or 'E'.
  char status() const;
  bool in_transaction() const { return !levels_.empty(); }
  bool in_nested() const { return levels_.size() > 1; }
  // A failed transaction of which nothing is left in the root: its client has yet to end it.
  bool is_freed() const { return failed_ && rules_.rooted && !guarded_; }
  // A failed transaction without a savepoint to go back to.
  bool is_hopeless() const {
    return failed_ && rules_.rooted && levels_.size() == 1 && levels_.back().savepoints.empty();
  }
  // Such a one that is yet in the root.
  bool is_left_failed() const { return is_hopeless() && guarded_; }

 private:
  struct Level {
    Savepoints<TransactionModes> savepoints;  // the level's
    TransactionModes modes;
    TransactionModes initial;  // an error brings them back
    bool only_apart = false;   // read only by a savepoint of its own, whose release ends it
    bool queried = false;
  };
  Plan planned(const StatementRef& statement, bool in_script, std::vector<StatementRef> ending);
  std::vector<BeginOptions> modes_asked(const Statement& begin) const;
  void begin(const Statement& statement, Plan& plan);
  void begin_again(const Statement& statement, Plan& plan);
  void commit(const Statement& statement, Plan& plan);
  void roll_back(const Statement& statement, Plan& plan);
  void roll_back_lost(const Statement& statement);
  void chain(const Statement& statement, const Level& ended);
  void savepoint(const StatementRef& statement, Plan& plan);
  void named(const StatementRef& statement, Plan& plan);
  void set_transaction(const StatementRef& statement, bool in_script, Plan& plan);
  bool in_savepoint() const {
    return outer_ || (!levels_.empty() && !levels_.back().savepoints.empty());
  }
  Level& here() { return levels_.empty() ? unit_ : levels_.back(); }
  void take_modes(const Statement& statement, Plan& plan);
  void set_local_defaults(const BeginOptions& modes, Plan& plan);
  void reset_mode(const StatementRef& statement, Plan& plan);
  void close_all(Plan& plan);
  void reset_all(Plan& plan) const;
  void keep_setting(const StatementRef& statement, Plan& plan) const;
  void show(OwnRow row, Plan& plan);
  std::optional<Error> refuse_alone(const Statement& statement, bool in_script) const;
  void commit_alone(Plan& plan);
  void discard(const Statement& statement, bool in_script, Plan& plan);
  void run_alone(const Statement& statement, bool in_script, Plan& plan);
  void prepare_transaction(const StatementRef& statement, bool in_script, Plan& plan);
  std::string name_of(std::size_t level) const;
  StatementRef enter(std::size_t level);
  StatementRef go_back(std::size_t level) const;
  std::vector<StatementRef> release(std::size_t level);
  std::vector<StatementRef> undo(std::size_t level);
  void set_read_only_here(std::vector<StatementRef>& steps);
  bool end_read_only_here(std::vector<StatementRef>& steps);
  // A transaction's first savepoint is its guard, which only a root needs.
  void note_guard() { guarded_ = rules_.rooted && !levels_.empty(); }

  WireStackRules rules_;
  std::optional<OuterTransaction> outer_;
  std::vector<Level> levels_;
  std::vector<StatementRef> ending_;  // while a statement is planned
  std::vector<StatementRef> behind_;
  bool renews_turn_ = false;  // before that: LeaseSource::renew_turn()
  bool guarded_ = false;
  bool on_turn_ = false;         // the first level's savepoint is the turn's own
  bool turn_read_only_ = false;  // and what was set in it ends with it only
  bool failed_ = false;
  bool lost_ = false;  // of several levels, and failed
  bool constraints_ = false;
  std::vector<std::string> local_names_;
  StatementRef executed_;    // of transaction control: it takes effect at the unit's end
  Level unit_;               // without a BEGIN; `initial`: the session's defaults
  bool guard_used_ = false;  // by anything
  bool guard_ran_ = false;   // something that was executed
  bool cursors_ = false;     // a DECLARE has run
};

}  // namespace based::postgres
