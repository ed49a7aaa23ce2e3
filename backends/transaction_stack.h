// TransactionStack: the levels of one session's transaction. Pure: it knows no database and sends
// nothing.
//
// Level 1 is a real transaction of the database (in a rooted one a savepoint), deeper ones are
// savepoints. A level is *pending* until a unit's prologue enters it (backends/envelope.h), so one
// that ends before costs nothing; the entered ones are always the outermost. Operations that need
// the database come in two steps: plan_*() says what an end means and changes nothing; finish()
// applies it when the database has done it, at once where nothing was entered.
// Any thread, by one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/profile.h"
#include "backends/reactor.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based {

// Does a statement of this kind act on a stack?
constexpr bool is_transaction_control(StatementKind kind) {
  switch (kind) {
    case StatementKind::begin:
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::savepoint:
    case StatementKind::release:
    case StatementKind::rollback_to:
      return true;
    default:
      return false;
  }
}

enum class LevelKind : std::uint8_t {
  implicit,     // began by itself, with the first statement of a session that asked for it
  transaction,  // TX begin, BEGIN
  savepoint,    // SAVEPOINT name: ended too by the COMMIT or ROLLBACK of what is around it
};

struct Level {
  std::uint64_t id = 0;  // never used again in its session
  LevelKind kind = LevelKind::transaction;
  BeginOptions options;  // its access is completed: read only inside of read only
  TimePoint began;
  ProfileRef profile;  // the session's settings when it began: its rollback gives them back
};

enum class StackState : std::uint8_t {
  sound,    // takes statements
  failed,   // a level, the top one as a rule, takes only its end, with all above it
  aborted,  // the database has ended everything; each level still waits for the client's rollback
};

// What a commit or a rollback names. Neither: the top.
struct LevelTarget {
  std::optional<std::uint32_t> depth;  // from 1
  std::optional<std::uint64_t> id;
};

// What is true for a whole session.
struct StackRules {
  Dialect dialect = Dialect::postgres;
  bool rooted = false;     // Database::rooted()
  bool read_only = false;  // the session is
  // An only level that has failed is rolled back at once, so that nobody waits for it: in a
  // sandbox.
  bool frees_failed = false;
  std::uint32_t depth_max = 64;
};

// A planned end of the top levels.
struct LevelsEnd {
  enum class Kind : std::uint8_t { commit, rollback, rollback_to };
  Kind kind = Kind::rollback;
  std::uint32_t depth = 0;  // levels that remain; for rollback_to the last of them is the named one
  // commit: the levels from here (0-based) are rolled back first, since one of them forgets.
  std::optional<std::uint32_t> forgets_from;
  bool rolled_back = false;    // asked to commit, but a force_rollback level: not an error
  bool commit_failed = false;  // asked to commit what had failed: it is rolled back, an error
  // The settings to go back to; meaningful when restores_profile().
  ProfileRef profile;
  bool restores_profile() const { return kind != Kind::commit || forgets_from.has_value(); }
};

class TransactionStack {
 public:
  explicit TransactionStack(const StackRules& rules) : rules_(rules) {}

  struct Begun {
    std::uint64_t id = 0;
    bool joined = false;  // no level was made: the top's id
  };
  // A new pending level on top. 25P02 in a failed or aborted stack; 25001 where if_open says so, or
  // for modes that a level inside of another cannot have; 25006 for read-write in a read-only
  // session; 54000 over the depth limit.
  Result<Begun> begin(BeginOptions options, LevelKind kind, TimePoint now, ProfileRef profile);

  // Exactly the top: 25000 if another one is named, 25P01 without a level, 25P02 if aborted.
  Result<LevelsEnd> plan_commit(LevelTarget target) const;
  // The named level and all above it: 25000 if there is none such, 25P01 without a level.
  Result<LevelsEnd> plan_rollback(LevelTarget target) const;
  LevelsEnd plan_rollback_all() const;
  // COMMIT and ROLLBACK as SQL: the innermost level that is no savepoint, with the savepoints on
  // it.
  Result<LevelsEnd> plan_commit_transaction() const;
  Result<LevelsEnd> plan_rollback_transaction() const;
  // RELEASE name, ROLLBACK TO name: the newest savepoint of that name. 3B001, 25P01, 25P02.
  Result<LevelsEnd> plan_release(std::string_view name) const;
  Result<LevelsEnd> plan_rollback_to(std::string_view name) const;

  // Has this end to be sent to the database, or is all of it pending?
  bool needs_database(const LevelsEnd& end) const;
  void finish(const LevelsEnd& end);

  // The prologue of a unit has entered every pending level. In an aborted stack: no effect.
  void entered();
  // A statement failed in the top level. REQUIRES a level; an aborted stack stays so.
  void fail();
  // The database refused to enter the first pending level, or to open a guard, and the innermost
  // entered level has failed with that. REQUIRES one that was entered.
  void fail_entered();
  // What was entered is rolled back already, at its failure. REQUIRES a failed stack of one level.
  void left();
  // The database has ended the transaction without having been asked. Without levels: no effect.
  void abort(Error reason);

  // May a statement run? 25P02 with the reason.
  Result<void> check_usable() const;

  StackState state() const { return state_; }
  // Does the level at this depth, from 1, take only its end? In an aborted stack: the top.
  bool is_failed(std::uint32_t depth) const;
  bool empty() const { return levels_.empty(); }
  std::uint32_t depth() const { return static_cast<std::uint32_t>(levels_.size()); }
  std::uint32_t entered_depth() const { return entered_; }
  const std::vector<Level>& levels() const { return levels_; }
  const StackRules& rules() const { return rules_; }

 private:
  std::optional<Error> check_modes(BeginOptions& options) const;
  std::optional<Error> check_nested_modes(BeginOptions& options) const;
  std::optional<Error> check_joined_modes(BeginOptions options) const;
  Result<std::uint32_t> find(LevelTarget target) const;
  Result<std::uint32_t> find_savepoint(std::string_view name) const;
  std::uint32_t innermost_transaction() const;
  Error no_level(std::string_view what) const;
  Error unusable() const;
  LevelsEnd commit_from(std::uint32_t index) const;
  LevelsEnd rollback_from(std::uint32_t index) const;

  StackRules rules_;
  std::vector<Level> levels_;
  std::uint32_t entered_ = 0;  // of levels_, from the outermost
  std::uint64_t last_id_ = 0;
  StackState state_ = StackState::sound;
  std::uint32_t failed_depth_ = 0;  // failed: the level at this depth has, from 1
  std::optional<Error> reason_;     // of the abort
};

}  // namespace based
