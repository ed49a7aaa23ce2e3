#include "backends/transaction_stack.h"

#include <doctest/doctest.h>

#include <string>

using namespace based;

namespace {

constexpr LevelTarget top{};

LevelTarget at_depth(std::uint32_t depth) { return {.depth = depth, .id = std::nullopt}; }
LevelTarget with_id(std::uint64_t id) { return {.depth = std::nullopt, .id = id}; }

ProfileRef profile_of(std::string value) {
  auto profile = std::make_shared<Profile>();
  profile->settings["search_path"] = std::move(value);
  return profile;
}

struct Fixture {
  explicit Fixture(StackRules rules = {}) : stack(rules) {}

  std::uint64_t begin(BeginOptions options = {}, LevelKind kind = LevelKind::transaction) {
    const auto begun = stack.begin(std::move(options), kind, TimePoint{}, profile);
    REQUIRE(begun.ok());
    return begun->id;
  }
  std::uint64_t savepoint(std::string name) {
    BeginOptions options;
    options.name = std::move(name);
    return begin(options, LevelKind::savepoint);
  }
  // A statement has run in the top level.
  void run() {
    REQUIRE(stack.check_usable().ok());
    stack.entered();
  }
  Error refused(BeginOptions options) {
    const auto begun = stack.begin(std::move(options), LevelKind::transaction, TimePoint{}, {});
    REQUIRE(!begun.ok());
    return begun.error();
  }
  void finish(const Result<LevelsEnd>& end) {
    REQUIRE(end.ok());
    stack.finish(*end);
  }

  TransactionStack stack;
  ProfileRef profile;
};

std::string code_of(const Error& error) { return std::string(error.sqlstate.text()); }
template <typename T>
std::string code_of(const Result<T>& result) {
  return result.ok() ? "ok" : code_of(result.error());
}

}  // namespace

TEST_CASE("a level is pending until a unit has entered it, and ends for nothing before") {
  Fixture f;
  f.begin();
  f.begin();
  CHECK(f.stack.depth() == 2);
  CHECK(f.stack.entered_depth() == 0);
  const auto inner = f.stack.plan_commit(top);
  REQUIRE(inner.ok());
  CHECK(!f.stack.needs_database(*inner));
  f.stack.finish(*inner);
  f.run();
  f.begin();
  CHECK(f.stack.entered_depth() == 1);
  CHECK(!f.stack.needs_database(*f.stack.plan_rollback(top)));
  CHECK(f.stack.needs_database(*f.stack.plan_rollback(at_depth(1))));
}

TEST_CASE("ids are never used again, depths are") {
  Fixture f;
  const auto first = f.begin();
  f.finish(f.stack.plan_rollback(top));
  const auto second = f.begin();
  CHECK(second > first);
  CHECK(code_of(f.stack.plan_commit(with_id(first))) == "25000");
  CHECK(f.stack.plan_commit(with_id(second)).ok());
}

TEST_CASE("COMMIT names exactly the top, else the stack is untouched and the top is told") {
  Fixture f;
  const auto outer = f.begin();
  const auto inner = f.begin();
  f.run();
  for (const auto& wrong : {at_depth(1), at_depth(3), at_depth(0), with_id(outer), with_id(99)}) {
    const auto planned = f.stack.plan_commit(wrong);
    REQUIRE(!planned.ok());
    CHECK(code_of(planned) == "25000");
    CHECK(planned.error().detail.find("level " + std::to_string(inner) + " at depth 2") !=
          std::string::npos);
  }
  CHECK(f.stack.depth() == 2);
  CHECK(f.stack.state() == StackState::sound);
  CHECK(code_of(f.stack.plan_commit({.depth = 2, .id = outer})) == "25000");
  CHECK(f.stack.plan_commit({.depth = 2, .id = inner}).ok());
}

TEST_CASE("ROLLBACK may name an enclosing level and ends all inside of it") {
  Fixture f;
  f.begin();
  const auto second = f.begin();
  f.begin();
  f.run();
  const auto planned = f.stack.plan_rollback(with_id(second));
  REQUIRE(planned.ok());
  CHECK(planned->depth == 1);
  f.stack.finish(*planned);
  CHECK(f.stack.depth() == 1);
  CHECK(f.stack.entered_depth() == 1);
  CHECK(code_of(f.stack.plan_rollback(at_depth(2))) == "25000");
}

TEST_CASE("without a level COMMIT and ROLLBACK are errors and rollback_all is not") {
  Fixture f;
  CHECK(code_of(f.stack.plan_commit(top)) == "25P01");
  CHECK(code_of(f.stack.plan_rollback(top)) == "25P01");
  CHECK(code_of(f.stack.plan_commit_transaction()) == "25P01");
  CHECK(code_of(f.stack.plan_rollback_transaction()) == "25P01");
  CHECK(code_of(f.stack.plan_release("a")) == "25P01");
  CHECK(code_of(f.stack.plan_rollback_to("a")) == "25P01");
  const LevelsEnd nothing = f.stack.plan_rollback_all();
  CHECK(!f.stack.needs_database(nothing));
  CHECK(!nothing.restores_profile());
  f.stack.finish(nothing);
  CHECK(f.stack.empty());
}

TEST_CASE("a failed level takes only its end, and the mark ends with the level") {
  Fixture f;
  f.begin();
  f.begin();
  f.run();
  f.stack.fail();
  CHECK(code_of(f.stack.check_usable()) == "25P02");
  CHECK(code_of(f.stack.begin({}, LevelKind::transaction, {}, {})) == "25P02");
  f.finish(f.stack.plan_rollback(top));
  CHECK(f.stack.state() == StackState::sound);
  CHECK(f.stack.depth() == 1);
  CHECK(f.stack.check_usable().ok());
}

TEST_CASE("an entered level may fail below pending ones, and the mark stays until it ends") {
  Fixture f;
  f.begin();
  f.begin();
  f.run();
  f.savepoint("one");
  f.savepoint("two");
  f.stack.fail_entered();
  CHECK(f.stack.state() == StackState::failed);
  for (const std::uint32_t depth : {1u, 2u, 3u, 4u}) CHECK(f.stack.is_failed(depth) == (depth > 1));
  CHECK(f.stack.check_usable().error().message.find("level 2 has failed") != std::string::npos);
  const auto to_savepoint = f.stack.plan_rollback_to("one");
  REQUIRE(to_savepoint.ok());
  CHECK_FALSE(f.stack.needs_database(*to_savepoint));
  f.finish(to_savepoint);
  CHECK(f.stack.state() == StackState::failed);
  f.finish(f.stack.plan_rollback(top));
  CHECK(f.stack.state() == StackState::failed);
  CHECK(f.stack.depth() == 2);
  const auto last = f.stack.plan_rollback(top);
  REQUIRE(last.ok());
  CHECK(f.stack.needs_database(*last));
  f.finish(last);
  CHECK(f.stack.state() == StackState::sound);
  CHECK(f.stack.depth() == 1);
}

TEST_CASE("COMMIT of a failed level rolls it back and is told as an error") {
  Fixture f;
  f.begin();
  f.begin();
  f.run();
  f.stack.fail();
  const auto planned = f.stack.plan_commit(at_depth(2));
  REQUIRE(planned.ok());
  CHECK(planned->kind == LevelsEnd::Kind::rollback);
  CHECK(planned->commit_failed);
  CHECK(!planned->rolled_back);
  f.stack.finish(*planned);
  CHECK(f.stack.state() == StackState::sound);
  CHECK(f.stack.depth() == 1);
}

TEST_CASE("an aborted stack says why and takes only rollbacks, one for each level") {
  Fixture f;
  f.begin();
  f.begin();
  f.run();
  f.stack.abort(Error::make(sqlstate::idle_in_transaction_session_timeout, "rested too long"));
  f.stack.abort(Error::make(sqlstate::connection_failure, "and then the link was lost"));
  CHECK(f.stack.state() == StackState::aborted);
  CHECK(f.stack.depth() == 2);
  const auto usable = f.stack.check_usable();
  REQUIRE(!usable.ok());
  CHECK(code_of(usable) == "25P02");
  CHECK(usable.error().detail == "25P03: rested too long");
  CHECK(code_of(f.stack.plan_commit(top)) == "25P02");
  CHECK(code_of(f.stack.plan_commit_transaction()) == "25P02");
  CHECK(code_of(f.stack.plan_rollback_to("a")) == "25P02");
  const auto inner = f.stack.plan_rollback(at_depth(2));
  REQUIRE(inner.ok());
  CHECK(!f.stack.needs_database(*inner));
  f.stack.finish(*inner);
  CHECK(f.stack.state() == StackState::aborted);  // the client believes itself in level 1
  f.finish(f.stack.plan_rollback(top));
  CHECK(f.stack.state() == StackState::sound);
  CHECK(f.stack.empty());
}

TEST_CASE("nothing that comes late makes an aborted stack alive again") {
  Fixture f;
  f.begin();
  f.run();
  f.stack.abort(Error::make(sqlstate::connection_failure, "gone"));
  f.stack.entered();
  f.stack.fail();
  CHECK(f.stack.state() == StackState::aborted);
  CHECK(f.stack.entered_depth() == 0);
  CHECK(!f.stack.needs_database(f.stack.plan_rollback_all()));
}

TEST_CASE("an abort without levels leaves nothing to acknowledge") {
  Fixture f;
  f.stack.abort(Error::make(sqlstate::connection_failure, "gone"));
  CHECK(f.stack.state() == StackState::sound);
}

TEST_CASE("the commit of a force_rollback level is a rollback that says so") {
  Fixture f;
  BeginOptions forgets;
  forgets.force_rollback = true;
  f.begin();
  f.begin(forgets);
  f.run();
  const auto planned = f.stack.plan_commit(top);
  REQUIRE(planned.ok());
  CHECK(planned->kind == LevelsEnd::Kind::rollback);
  CHECK(planned->rolled_back);
  CHECK(!planned->commit_failed);
  f.stack.finish(*planned);
  CHECK(f.stack.depth() == 1);
}

TEST_CASE("COMMIT as SQL ends the innermost BEGIN with the savepoints on it") {
  Fixture f;
  f.begin();
  f.begin();
  f.savepoint("a");
  f.savepoint("b");
  f.run();
  const auto commit = f.stack.plan_commit_transaction();
  REQUIRE(commit.ok());
  CHECK(commit->depth == 1);
  CHECK(f.stack.plan_rollback_transaction()->depth == 1);
  CHECK(f.stack.plan_commit(top)->depth == 3);  // TX means exactly the top
  f.stack.finish(*commit);
  CHECK(f.stack.plan_commit_transaction()->depth == 0);
}

TEST_CASE("a savepoint may be shadowed; RELEASE ends the newest of its name and what is above") {
  Fixture f;
  f.begin();
  f.savepoint("a");
  f.savepoint("b");
  f.savepoint("a");
  f.savepoint("c");
  f.run();
  CHECK(code_of(f.stack.plan_release("x")) == "3B001");
  f.finish(f.stack.plan_release("a"));
  CHECK(f.stack.depth() == 3);
  f.finish(f.stack.plan_release("a"));
  CHECK(f.stack.depth() == 1);
  CHECK(code_of(f.stack.plan_release("a")) == "3B001");
}

TEST_CASE("ROLLBACK TO keeps the savepoint, heals a failure and loses what was above") {
  Fixture f;
  f.begin();
  f.savepoint("a");
  f.savepoint("b");
  f.run();
  f.stack.fail();
  CHECK(code_of(f.stack.plan_release("a")) == "25P02");
  const auto planned = f.stack.plan_rollback_to("a");
  REQUIRE(planned.ok());
  CHECK(f.stack.needs_database(*planned));
  f.stack.finish(*planned);
  CHECK(f.stack.depth() == 2);
  CHECK(f.stack.state() == StackState::sound);
  CHECK(f.stack.plan_rollback_to("a").ok());
  CHECK(code_of(f.stack.plan_rollback_to("b")) == "3B001");
}

TEST_CASE("ROLLBACK TO a savepoint that nothing has entered needs no database") {
  Fixture f;
  f.begin();
  f.run();
  f.savepoint("a");
  CHECK(!f.stack.needs_database(*f.stack.plan_rollback_to("a")));
  f.run();
  CHECK(f.stack.needs_database(*f.stack.plan_rollback_to("a")));
}

TEST_CASE("a level named by TX is no savepoint") {
  Fixture f;
  BeginOptions named;
  named.name = "a";
  f.begin(named);
  CHECK(code_of(f.stack.plan_rollback_to("a")) == "3B001");
}

TEST_CASE("what was SET in a level is undone with it, and kept by its commit") {
  Fixture f;
  f.profile = profile_of("one");
  f.begin();
  f.profile = profile_of("two");
  f.savepoint("a");
  f.profile = profile_of("three");
  const auto settings = [](const Result<LevelsEnd>& end) {
    return end->restores_profile() ? end->profile->settings.at("search_path") : "kept";
  };
  CHECK(settings(f.stack.plan_rollback(top)) == "two");
  CHECK(settings(f.stack.plan_rollback_to("a")) == "two");
  CHECK(settings(f.stack.plan_rollback(at_depth(1))) == "one");
  CHECK(settings(f.stack.plan_commit(top)) == "kept");
  f.stack.fail();
  CHECK(settings(f.stack.plan_commit_transaction()) == "one");
}

TEST_CASE("if_open says whether a level nests, joins or is refused") {
  Fixture f;
  BeginOptions join;
  join.if_open = BeginOptions::IfOpen::join;
  BeginOptions alone;
  alone.if_open = BeginOptions::IfOpen::error;
  const auto first = f.begin(join);
  CHECK(first == 1);
  CHECK(code_of(f.refused(alone)) == "25001");
  const auto joined = f.stack.begin(join, LevelKind::transaction, {}, {});
  REQUIRE(joined.ok());
  CHECK(joined->joined);
  CHECK(joined->id == first);
  CHECK(f.stack.depth() == 1);
}

TEST_CASE("who joins cannot ask for what the open level is not") {
  BeginOptions join;
  join.if_open = BeginOptions::IfOpen::join;
  BeginOptions reads = join, writes = join, forgets = join, serializable = join;
  reads.access = BeginOptions::Access::read_only;
  writes.access = BeginOptions::Access::read_write;
  forgets.force_rollback = true;
  serializable.isolation = BeginOptions::Isolation::serializable;
  Fixture f;
  f.begin(join);
  CHECK(code_of(f.refused(reads)) == "25001");
  CHECK(code_of(f.refused(forgets)) == "25001");
  CHECK(code_of(f.refused(serializable)) == "25001");
  CHECK(f.stack.begin(writes, LevelKind::transaction, {}, {}).ok());
  BeginOptions inner;
  inner.access = BeginOptions::Access::read_only;
  inner.force_rollback = true;
  f.begin(inner);
  CHECK(code_of(f.refused(writes)) == "25001");
  CHECK(f.stack.begin(reads, LevelKind::transaction, {}, {}).ok());
  CHECK(f.stack.begin(forgets, LevelKind::transaction, {}, {}).ok());
  CHECK(f.stack.depth() == 2);
}

TEST_CASE("a nested level cannot have another isolation than the outermost one said") {
  using Isolation = BeginOptions::Isolation;
  BeginOptions serializable;
  serializable.isolation = Isolation::serializable;
  BeginOptions committed;
  committed.isolation = Isolation::read_committed;
  SUBCASE("PostgreSQL refuses a difference, and what was never said is different") {
    for (const StackRules rules : {StackRules{}, StackRules{.rooted = true}}) {
      Fixture f(rules);
      f.begin(serializable);
      f.begin(serializable);
      CHECK(code_of(f.refused(committed)) == "25001");
      Fixture unsaid(rules);
      unsaid.begin();
      CHECK(code_of(unsaid.refused(committed)) == "25001");
    }
  }
  SUBCASE("SQLite has but one") {
    Fixture f(StackRules{.dialect = Dialect::sqlite});
    f.begin(committed);
    f.begin(serializable);
    CHECK(f.stack.depth() == 2);
  }
}

TEST_CASE("read only is inherited, and read-write inside of it is refused") {
  BeginOptions reads;
  reads.access = BeginOptions::Access::read_only;
  BeginOptions writes;
  writes.access = BeginOptions::Access::read_write;
  Fixture f;
  f.begin(writes);
  f.begin(reads);
  f.begin();
  CHECK(f.stack.levels().back().options.access == BeginOptions::Access::read_only);
  CHECK(code_of(f.refused(writes)) == "25001");

  Fixture session(StackRules{.read_only = true});
  CHECK(code_of(session.refused(writes)) == "25006");
  session.begin();
  CHECK(session.stack.levels().front().options.access == BeginOptions::Access::read_only);
}

TEST_CASE("the depth has a limit, and reaching it harms nothing") {
  Fixture f(StackRules{.depth_max = 3});
  for (int i = 0; i < 3; ++i) f.begin();
  CHECK(code_of(f.refused({})) == "54000");
  CHECK(f.stack.state() == StackState::sound);
  CHECK(f.stack.depth() == 3);
}
