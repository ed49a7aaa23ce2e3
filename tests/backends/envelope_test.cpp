#include "backends/envelope.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace based;

namespace {

using Texts = std::vector<std::string>;

Texts texts_of(const std::vector<StatementRef>& statements) {
  Texts texts;
  for (const auto& statement : statements) texts.push_back(statement->text);
  return texts;
}

std::vector<StatementKind> kinds_of(const std::vector<StatementRef>& statements) {
  std::vector<StatementKind> kinds;
  for (const auto& statement : statements) kinds.push_back(statement->kind);
  return kinds;
}

constexpr StackRules postgres{.dialect = Dialect::postgres};
constexpr StackRules rooted{.dialect = Dialect::postgres, .rooted = true, .frees_failed = true};
constexpr StackRules sqlite{.dialect = Dialect::sqlite};

struct Session {
  explicit Session(const StackRules& rules) : stack(rules), maker(rules) {}

  void begin(BeginOptions options = {}, LevelKind kind = LevelKind::transaction) {
    REQUIRE(stack.begin(std::move(options), kind, TimePoint{}, {}).ok());
  }
  void savepoint(std::string name) {
    BeginOptions options;
    options.name = std::move(name);
    begin(options, LevelKind::savepoint);
  }
  // A statement runs in the top level: what had to go before it.
  Texts run(GroupKind kind = GroupKind::single) {
    const Envelope envelope = maker.around(stack, {.kind = kind});
    stack.entered();
    return texts_of(envelope.prologue);
  }
  // The levels end: the SQL that it takes.
  Texts end(const Result<LevelsEnd>& planned) {
    REQUIRE(planned.ok());
    Texts texts;
    if (stack.needs_database(*planned)) {
      const Envelope envelope = maker.ending(stack, *planned);
      CHECK(envelope.prologue.empty());
      texts = texts_of(envelope.epilogue);
    }
    stack.finish(*planned);
    return texts;
  }

  TransactionStack stack;
  EnvelopeMaker maker;
};

}  // namespace

TEST_CASE("the outermost level is a real transaction with its modes") {
  BeginOptions options;
  options.isolation = BeginOptions::Isolation::serializable;
  options.access = BeginOptions::Access::read_only;
  options.deferrable = BeginOptions::Deferrable::deferrable;
  Session session(postgres);
  session.begin(options);
  CHECK(session.run() == Texts{"BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE"});
  CHECK(session.run() == Texts{});
  CHECK(session.end(session.stack.plan_commit({})) == Texts{"COMMIT"});

  Session plain(postgres);
  plain.begin();
  CHECK(plain.run() == Texts{"BEGIN"});
  CHECK(plain.end(plain.stack.plan_rollback({})) == Texts{"ROLLBACK"});
}

TEST_CASE("SQLite takes the write lock at once unless nothing will be written") {
  using Locking = BeginOptions::Locking;
  const auto begin = [](Locking locking, BeginOptions::Access access) {
    BeginOptions options;
    options.locking = locking;
    options.access = access;
    options.isolation = BeginOptions::Isolation::repeatable_read;  // true anyway
    Session session(sqlite);
    session.begin(options);
    return session.run().at(0);
  };
  using Access = BeginOptions::Access;
  CHECK(begin(Locking::unset, Access::unset) == "BEGIN IMMEDIATE");
  CHECK(begin(Locking::unset, Access::read_only) == "BEGIN DEFERRED");
  CHECK(begin(Locking::deferred, Access::unset) == "BEGIN DEFERRED");
  CHECK(begin(Locking::exclusive, Access::unset) == "BEGIN EXCLUSIVE");
  CHECK(begin(Locking::immediate, Access::read_only) == "BEGIN IMMEDIATE");
}

TEST_CASE("deeper levels are savepoints, entered together with the first statement inside") {
  for (const StackRules& rules : {postgres, sqlite}) {
    const std::string begin = rules.dialect == Dialect::sqlite ? "BEGIN IMMEDIATE" : "BEGIN";
    Session session(rules);
    session.begin();
    session.begin();
    session.begin();
    CHECK(session.run() == Texts{begin, R"(SAVEPOINT "based_2")", R"(SAVEPOINT "based_3")"});
    CHECK(session.end(session.stack.plan_commit({})) == Texts{R"(RELEASE SAVEPOINT "based_3")"});
    session.begin();
    CHECK(session.run() == Texts{R"(SAVEPOINT "based_3")"});
    CHECK(session.end(session.stack.plan_rollback({})) ==
          Texts{R"(ROLLBACK TO SAVEPOINT "based_3")", R"(RELEASE SAVEPOINT "based_3")"});
    session.begin();
    CHECK(session.end(session.stack.plan_commit({})) == Texts{});
    CHECK(session.end(session.stack.plan_rollback({.depth = 1, .id = {}})) == Texts{"ROLLBACK"});
  }
}

TEST_CASE("an enclosing level's rollback is one pair of statements whatever is inside") {
  Session session(postgres);
  for (int i = 0; i < 4; ++i) session.begin();
  session.run();
  session.begin();
  CHECK(session.end(session.stack.plan_rollback({.depth = 2, .id = {}})) ==
        Texts{R"(ROLLBACK TO SAVEPOINT "based_2")", R"(RELEASE SAVEPOINT "based_2")"});
}

TEST_CASE("a client's savepoint has a name of ours, never the client's text") {
  Session session(postgres);
  session.begin();
  session.savepoint("\"; DROP TABLE t; --");
  CHECK(session.run() == Texts{"BEGIN", R"(SAVEPOINT "based_2")"});
  CHECK(session.end(session.stack.plan_rollback_to("\"; DROP TABLE t; --")) ==
        Texts{R"(ROLLBACK TO SAVEPOINT "based_2")"});
  CHECK(session.end(session.stack.plan_commit_transaction()) == Texts{"COMMIT"});
}

TEST_CASE("a read-only level inside of a read-write one is told to PostgreSQL") {
  BeginOptions reads;
  reads.access = BeginOptions::Access::read_only;
  Session session(postgres);
  session.begin();
  session.begin(reads);
  CHECK(session.run() == Texts{"BEGIN", R"(SAVEPOINT "based_2")", "SET TRANSACTION READ ONLY"});
}

TEST_CASE("what forgets is rolled back before what is around it commits") {
  BeginOptions forgets;
  forgets.force_rollback = true;
  Session session(postgres);
  session.begin();
  session.savepoint("a");
  session.begin(forgets);
  session.begin();
  session.run();
  CHECK(session.end(session.stack.plan_release("a")) == Texts{R"(ROLLBACK TO SAVEPOINT "based_3")",
                                                              R"(RELEASE SAVEPOINT "based_3")",
                                                              R"(RELEASE SAVEPOINT "based_2")"});
  CHECK(session.end(session.stack.plan_commit({})) == Texts{"COMMIT"});

  session.begin(forgets);
  session.run();
  CHECK(session.end(session.stack.plan_commit({})) == Texts{"ROLLBACK"});
}

TEST_CASE("a commit that fails is rolled back on both backends") {
  for (const StackRules& rules : {postgres, sqlite}) {
    Session session(rules);
    session.begin();
    session.begin();
    session.run();
    const auto inner = session.maker.ending(session.stack, *session.stack.plan_commit({}));
    CHECK(texts_of(inner.recovery) ==
          Texts{R"(ROLLBACK TO SAVEPOINT "based_2")", R"(RELEASE SAVEPOINT "based_2")"});
    session.end(session.stack.plan_commit({}));
    const auto outer = session.maker.ending(session.stack, *session.stack.plan_commit({}));
    CHECK(texts_of(outer.recovery) == Texts{"ROLLBACK"});
  }
}

TEST_CASE("outside a transaction one statement has no envelope, several have one") {
  for (const StackRules& rules : {postgres, sqlite}) {
    const std::string begin = rules.dialect == Dialect::sqlite ? "BEGIN IMMEDIATE" : "BEGIN";
    Session session(rules);
    const Envelope single = session.maker.around(session.stack, {});
    CHECK(single.prologue.empty());
    CHECK(single.epilogue.empty());
    CHECK(single.recovery.empty());
    for (const GroupKind kind : {GroupKind::together, GroupKind::guarded}) {
      const Envelope whole = session.maker.around(session.stack, {.kind = kind});
      CHECK(texts_of(whole.prologue) == Texts{begin});
      CHECK(texts_of(whole.epilogue) == Texts{"COMMIT"});
      CHECK(texts_of(whole.recovery) == Texts{"ROLLBACK"});
    }
  }
}

TEST_CASE("a group of reads does not take SQLite's write lock") {
  Session session(sqlite);
  const Envelope reads =
      session.maker.around(session.stack, {.kind = GroupKind::together, .reads = true});
  CHECK(texts_of(reads.prologue) == Texts{"BEGIN DEFERRED"});
}

TEST_CASE("a read-only session's groups are read only by their BEGIN") {
  Session session(StackRules{.dialect = Dialect::postgres, .read_only = true});
  const Envelope group = session.maker.around(session.stack, {.kind = GroupKind::together});
  CHECK(texts_of(group.prologue) == Texts{"BEGIN READ ONLY"});
}

TEST_CASE("inside a transaction only what must survive its own error is guarded") {
  Session session(postgres);
  session.begin();
  CHECK(session.run(GroupKind::together) == Texts{"BEGIN"});
  const Envelope level = session.maker.around(session.stack, {.kind = GroupKind::together});
  CHECK(level.prologue.empty());
  CHECK(level.recovery.empty());
  const Envelope guarded = session.maker.around(session.stack, {.kind = GroupKind::guarded});
  CHECK(texts_of(guarded.prologue) == Texts{R"(SAVEPOINT "based_guard")"});
  CHECK(texts_of(guarded.epilogue) == Texts{R"(RELEASE SAVEPOINT "based_guard")"});
  CHECK(texts_of(guarded.recovery) ==
        Texts{R"(ROLLBACK TO SAVEPOINT "based_guard")", R"(RELEASE SAVEPOINT "based_guard")"});
}

TEST_CASE("a group cut into units opens in the first, closes in the last, recovers in each") {
  Session session(postgres);
  const auto part = [&](bool first, bool last) {
    return session.maker.around(session.stack,
                                {.kind = GroupKind::together, .first = first, .last = last});
  };
  CHECK(texts_of(part(true, false).prologue) == Texts{"BEGIN"});
  CHECK(part(true, false).epilogue.empty());
  CHECK(part(false, false).prologue.empty());
  CHECK(texts_of(part(false, false).recovery) == Texts{"ROLLBACK"});
  CHECK(texts_of(part(false, true).epilogue) == Texts{"COMMIT"});
}

TEST_CASE("the retreat undoes what the prologue's first statement has opened, and so all of it") {
  using enum UnitPhase;
  Session session(postgres);
  const auto retreat = [&](GroupKind kind) {
    const Envelope envelope = session.maker.around(session.stack, {.kind = kind});
    CHECK(envelope.after_error(prologue, 0).empty());
    CHECK(texts_of(envelope.after_error(step, 0)) == texts_of(envelope.recovery));
    CHECK(texts_of(envelope.after_error(epilogue, 1)) == texts_of(envelope.recovery));
    return texts_of(envelope.after_error(prologue, 1));
  };
  CHECK(retreat(GroupKind::single).empty());
  CHECK(retreat(GroupKind::together) == Texts{"ROLLBACK"});
  session.begin();
  session.begin();
  CHECK(retreat(GroupKind::single) == Texts{"ROLLBACK"});
  session.run();
  CHECK(retreat(GroupKind::single).empty());
  CHECK(retreat(GroupKind::guarded) ==
        Texts{R"(ROLLBACK TO SAVEPOINT "based_guard")", R"(RELEASE SAVEPOINT "based_guard")"});
  session.begin();
  session.begin();
  CHECK(retreat(GroupKind::guarded) ==
        Texts{R"(ROLLBACK TO SAVEPOINT "based_3")", R"(RELEASE SAVEPOINT "based_3")"});
}

TEST_CASE("in a rooted database every transaction is a savepoint inside the root") {
  Session session(rooted);
  const Envelope alone = session.maker.around(session.stack, {});
  CHECK(texts_of(alone.prologue) == Texts{R"(SAVEPOINT "based_guard")"});
  CHECK(texts_of(alone.epilogue) == Texts{R"(RELEASE SAVEPOINT "based_guard")"});
  CHECK(texts_of(alone.recovery) ==
        Texts{R"(ROLLBACK TO SAVEPOINT "based_guard")", R"(RELEASE SAVEPOINT "based_guard")"});
  BeginOptions reads;
  reads.access = BeginOptions::Access::read_only;
  reads.isolation = BeginOptions::Isolation::serializable;
  session.begin(reads);
  session.begin();
  CHECK(session.run() == Texts{R"(SAVEPOINT "based_1")", "SET TRANSACTION READ ONLY",
                               R"(SAVEPOINT "based_2")", "SET TRANSACTION READ ONLY"});
  session.end(session.stack.plan_commit({}));
  CHECK(session.end(session.stack.plan_commit({})) == Texts{R"(RELEASE SAVEPOINT "based_1")"});
  session.begin();
  CHECK(session.run() == Texts{R"(SAVEPOINT "based_1")"});
  CHECK(session.end(session.stack.plan_rollback_all()) ==
        Texts{R"(ROLLBACK TO SAVEPOINT "based_1")", R"(RELEASE SAVEPOINT "based_1")"});
}

TEST_CASE("the only level of a rooted database is rolled back when something fails in it") {
  Session session(rooted);
  const auto recovery = [&session](GroupKind kind) {
    return texts_of(session.maker.around(session.stack, {.kind = kind}).recovery);
  };
  session.begin();
  const Texts all{R"(ROLLBACK TO SAVEPOINT "based_1")", R"(RELEASE SAVEPOINT "based_1")"};
  CHECK(recovery(GroupKind::single) == all);  // which is pending yet
  session.run();
  CHECK(recovery(GroupKind::together) == all);
  CHECK(recovery(GroupKind::guarded) ==
        Texts{R"(ROLLBACK TO SAVEPOINT "based_guard")", R"(RELEASE SAVEPOINT "based_guard")"});
  session.stack.fail();
  session.stack.left();
  CHECK_FALSE(session.stack.needs_database(session.stack.plan_rollback_all()));
  CHECK(session.stack.is_failed(1));
  session.end(session.stack.plan_rollback_all());
  session.begin();
  session.begin();
  CHECK(recovery(GroupKind::single).empty());
}

TEST_CASE("nothing that ends the root is ever said in a rooted database") {
  Session session(rooted);
  for (int round = 0; round < 4; ++round) {
    for (int depth = 0; depth < 3; ++depth) session.begin();
    Texts all = session.run();
    const auto planned =
        round % 2 == 0 ? session.stack.plan_commit({}) : session.stack.plan_rollback({});
    for (const auto& text : session.end(planned)) all.push_back(text);
    for (const auto& text : session.end(session.stack.plan_commit_transaction())) {
      all.push_back(text);
    }
    for (const auto& text : session.end(session.stack.plan_rollback_all())) all.push_back(text);
    for (const auto& text : all) {
      CAPTURE(text);
      CHECK(text.find("SAVEPOINT") != std::string::npos);
    }
  }
}

TEST_CASE("what stands for a client's BEGIN, COMMIT and ROLLBACK has their kinds") {
  using enum StatementKind;
  using Kinds = std::vector<StatementKind>;
  Session session(rooted);
  const Envelope guard = session.maker.around(session.stack, {});
  CHECK(kinds_of(guard.prologue) == Kinds{begin});
  CHECK(kinds_of(guard.epilogue) == Kinds{commit});
  CHECK(kinds_of(guard.recovery) == Kinds{rollback_to, rollback});
  session.begin();
  session.begin();
  CHECK(kinds_of(session.maker.around(session.stack, {}).prologue) == Kinds{begin, savepoint});
  session.run();
  const auto inner = session.maker.ending(session.stack, *session.stack.plan_commit({}));
  CHECK(kinds_of(inner.epilogue) == Kinds{release});
  session.end(session.stack.plan_commit({}));
  const auto outer = session.maker.ending(session.stack, *session.stack.plan_commit({}));
  CHECK(kinds_of(outer.epilogue) == Kinds{commit});
}

TEST_CASE("the same control statement is the same object, so that it is prepared once") {
  Session session(postgres);
  session.begin();
  const auto first = session.maker.around(session.stack, {}).prologue;
  session.run();
  session.end(session.stack.plan_commit({}));
  session.begin();
  const auto second = session.maker.around(session.stack, {}).prologue;
  CHECK(first.at(0) == second.at(0));
}

TEST_CASE("what must stand alone gets no envelope") {
  Session session(sqlite);
  const Envelope envelope = session.maker.around(session.stack, {.kind = GroupKind::standalone});
  CHECK(envelope.prologue.empty());
  CHECK(envelope.epilogue.empty());
}
