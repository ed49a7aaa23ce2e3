// TX, transaction control as SQL, implicit transactions, CLOSE.
#include "tests/daemon/native/native_fixture.h"

using namespace based;
using namespace based::native;

namespace {

Tx begin_with(LevelOptions options) {
  Tx tx;
  tx.op = TxOp::begin;
  tx.options = options;
  return tx;
}

Tx ending(TxOp op, std::optional<std::uint32_t> depth, std::optional<std::uint64_t> level = {}) {
  Tx tx;
  tx.op = op;
  tx.depth = depth;
  tx.level = level;
  return tx;
}

constexpr Dialect both[] = {Dialect::postgres, Dialect::sqlite};

}  // namespace

TEST_CASE("levels nest, commit and roll back alike on both backends") {
  for (const Dialect dialect : both) {
    OneSession f({.dialect = dialect});
    CHECK(f.tx(TxOp::begin) == "END open/1 level=1");
    CHECK(f.exec("insert a") == "END open/1 [INSERT +1]");
    CHECK(f.tx(TxOp::begin) == "END open/2 level=2");
    CHECK(f.exec("insert b") == "END open/2 [INSERT +1]");
    CHECK(f.tx(ending(TxOp::rollback, 2)) == "END open/1");
    CHECK(f.tx(TxOp::begin) == "END open/2 level=3");
    CHECK(f.exec("insert c") == "END open/2 [INSERT +1]");
    CHECK(f.tx(ending(TxOp::commit, 2, 3)) == "END open/1");
    CHECK(f.tx(ending(TxOp::commit, 1)) == "END idle");
    CHECK(f.db().committed == Lines{"a", "c"});
  }
}

TEST_CASE("a level without a statement asks the database for nothing") {
  OneSession f;
  f.tx(TxOp::begin);
  f.tx(TxOp::begin);
  CHECK(f.tx(TxOp::commit) == "END open/1");
  CHECK(f.tx(TxOp::rollback) == "END idle");
  CHECK(f.db().units == 0);
}

TEST_CASE("BEGIN travels with the first statement") {
  OneSession f({.dialect = Dialect::sqlite});
  f.tx(TxOp::begin);
  f.tx(TxOp::begin);
  f.exec("insert a");
  CHECK(f.db().units == 1);
  CHECK(f.db().take_log() == Lines{"BEGIN IMMEDIATE", R"(SAVEPOINT "based_2")", "insert a"});
}

TEST_CASE("a level that is not the top is not committed, and nothing happens") {
  OneSession f;
  f.tx(TxOp::begin);
  f.tx(TxOp::begin);
  f.exec("insert a");
  CHECK(f.tx(ending(TxOp::commit, 1)) == "ERROR 25000 open/2");
  CHECK(f.tx(ending(TxOp::rollback, 3)) == "ERROR 25000 open/2");
  CHECK(f.tx(ending(TxOp::rollback, {}, 1)) == "END idle");
  CHECK(f.tx(TxOp::commit) == "ERROR 25P01 idle");
  CHECK(f.tx(TxOp::rollback) == "ERROR 25P01 idle");
  CHECK(f.tx(TxOp::rollback_all) == "END idle");
}

TEST_CASE("an error fails the level on both backends until its rollback") {
  for (const Dialect dialect : both) {
    OneSession f({.dialect = dialect});
    f.exec("begin; insert a");
    f.tx(TxOp::begin);
    CHECK(f.exec("fail") == "ERROR 23505 failed/2 at=5");
    CHECK(f.exec("select 1") == "ERROR 25P02 failed/2");
    CHECK(f.exec("begin") == "ERROR 25P02 failed/2");
    CHECK(f.tx(TxOp::begin) == "ERROR 25P02 failed/2");
    CHECK(f.tx(ending(TxOp::rollback, 2)) == "END open/1");
    CHECK(f.exec("insert b; commit") == "END idle [INSERT +1, COMMIT]");
    CHECK(f.db().committed == Lines{"a", "b"});
  }
}

TEST_CASE("the commit of a failed level is a rollback and an error") {
  for (const Dialect dialect : both) {
    OneSession f({.dialect = dialect});
    f.exec("begin; insert a");
    f.exec("fail");
    CHECK(f.tx(TxOp::commit) == "ERROR 40000 idle transaction");
    f.exec("begin; insert b");
    f.exec("fail");
    CHECK(f.exec("commit") == "ERROR 40000 idle transaction");
    CHECK(f.db().committed.empty());
    CHECK(f.exec("insert c") == "END idle [INSERT +1]");
  }
}

TEST_CASE("errors that the database never saw leave the level as it is") {
  OneSession f;
  f.exec("begin; insert a");
  CHECK(f.exec("insert $1") == "ERROR 42P02 open/1");
  CHECK(f.exec("select 'x") == "ERROR 42601 open/1 at=7");
  CHECK(f.exec("release x") == "ERROR 3B001 open/1");
  CHECK(f.exec("copy t from stdin") == "ERROR 0A000 open/1");
  CHECK(f.tx(ending(TxOp::commit, 7)) == "ERROR 25000 open/1");
  CHECK(f.exec("commit") == "END idle [COMMIT]");
  CHECK(f.db().committed == Lines{"a"});
}

TEST_CASE("transaction control as SQL acts on the same stack, in any spelling") {
  for (const Dialect dialect : both) {
    OneSession f({.dialect = dialect});
    CHECK(f.exec("StArT /* x */ transaction") == "END open/1 [BEGIN]");
    CHECK(f.exec("insert a") == "END open/1 [INSERT +1]");
    CHECK(f.exec("savepoint s") == "END open/2 [SAVEPOINT]");
    CHECK(f.exec("insert b; rollback to s; insert c") ==
          "END open/2 [INSERT +1, ROLLBACK, INSERT +1]");
    CHECK(f.exec("release savepoint s") == "END open/1 [RELEASE]");
    CHECK(f.exec("begin") == "END open/2 [BEGIN]");
    CHECK(f.exec("insert d; abort") == "END open/1 [INSERT +1, ROLLBACK]");
    CHECK(f.exec("end work") == "END idle [COMMIT]");
    CHECK(f.db().committed == Lines{"a", "c"});
    CHECK(f.exec("commit") == "ERROR 25P01 idle");
    CHECK(f.exec("savepoint s") == "ERROR 25P01 idle");
  }
}

TEST_CASE("COMMIT as SQL takes the savepoints on its transaction along") {
  OneSession f;
  f.exec("begin; insert a; savepoint s; insert b; savepoint s; insert c; commit");
  CHECK(f.db().committed == Lines{"a", "b", "c"});
  f.exec("begin; savepoint s; insert d; rollback");
  CHECK(f.tx(TxOp::status) == "END idle levels");
  CHECK(f.db().committed.size() == 3);
}

TEST_CASE("AND CHAIN begins again with the same modes") {
  OneSession f;
  f.exec("begin isolation level serializable; insert a; commit and chain; insert b");
  CHECK(f.db().take_log() == Lines{"BEGIN ISOLATION LEVEL SERIALIZABLE", "insert a", "COMMIT",
                                   "BEGIN ISOLATION LEVEL SERIALIZABLE", "insert b"});
  CHECK(f.exec("rollback and chain") == "END open/1 [ROLLBACK]");
  CHECK(f.exec("insert c; commit") == "END idle [INSERT +1, COMMIT]");
  CHECK(f.db().committed == Lines{"a", "c"});
}

TEST_CASE("a force_rollback level forgets when it is committed, and says so") {
  for (const Dialect dialect : both) {
    OneSession f({.dialect = dialect});
    LevelOptions forgets;
    forgets.force_rollback = true;
    f.tx(TxOp::begin);
    f.exec("insert a");
    CHECK(f.tx(begin_with(forgets)) == "END open/2 level=2");
    f.exec("insert b");
    CHECK(f.tx(TxOp::commit) == "END open/1 rolled_back");
    CHECK(f.tx(TxOp::commit) == "END idle");
    CHECK(f.tx(begin_with(forgets)) == "END open/1 level=3");
    CHECK(f.tx(TxOp::commit) == "END idle rolled_back");
    CHECK(f.db().committed == Lines{"a"});
  }
}

TEST_CASE("if_open joins, nests or refuses") {
  OneSession f;
  LevelOptions join;
  join.if_open = LevelOptions::IfOpen::join;
  LevelOptions alone;
  alone.if_open = LevelOptions::IfOpen::error;
  CHECK(f.tx(begin_with(join)) == "END open/1 level=1");
  CHECK(f.tx(begin_with(join)) == "END open/1 level=1 joined");
  CHECK(f.tx(begin_with(alone)) == "ERROR 25001 open/1");
  CHECK(f.tx(TxOp::commit) == "END idle");
}

TEST_CASE("TX status shows the levels from the outermost") {
  OneSession f;
  LevelOptions named;
  named.name = "outer";
  f.tx(begin_with(named));
  f.exec("savepoint s");
  f.exec("fail");
  CHECK(f.tx(TxOp::status) == "END failed/2 levels 1:outer:open 2:s:failed");
}

TEST_CASE("a nested read-only level takes no writes on either backend") {
  LevelOptions reads;
  reads.read_only = true;
  OneSession f({.dialect = Dialect::sqlite});
  f.tx(TxOp::begin);
  f.exec("insert a");
  f.tx(begin_with(reads));
  CHECK(f.exec("select 1") == "END open/2 [SELECT 1]");
  CHECK(f.exec("insert b") == "ERROR 25006 failed/2");
  CHECK(f.tx(TxOp::rollback) == "END open/1");
  OneSession p;
  p.tx(TxOp::begin);
  p.tx(begin_with(reads));
  p.exec("select 1");
  CHECK(p.db().log.at(2) == "SET TRANSACTION READ ONLY");
}

TEST_CASE("the depth is limited") {
  NativeLimits limits;
  limits.depth = 2;
  Daemon daemon({}, limits);
  Client c(daemon);
  c.open(1);
  c.tx(1, TxOp::begin);
  c.tx(1, TxOp::begin);
  c.tx(1, TxOp::begin);
  CHECK(c.run().back() == "#5 ERROR 54000 open/2");
}

TEST_CASE("an implicit transaction begins with the first statement and ends with CLOSE") {
  Open open;
  open.transaction.emplace();
  for (const bool commit : {true, false}) {
    OneSession f({}, open);
    CHECK(f.exec("insert a") == "END open/1 [INSERT +1]");
    CHECK(f.tx(TxOp::begin) == "END open/2 level=2");
    f.exec("insert b");
    f.tx(TxOp::rollback);
    CHECK(f.last(f.c.close(1, commit)) == "END idle");
    CHECK(f.db().committed == (commit ? Lines{"a"} : Lines{}));
    CHECK(f.db().sessions() == 0);
  }
}

TEST_CASE("an implicit transaction that was ended begins again") {
  Open open;
  open.transaction.emplace();
  OneSession f({}, open);
  f.exec("insert a");
  CHECK(f.exec("commit") == "END idle [COMMIT]");
  CHECK(f.exec("insert b") == "END open/1 [INSERT +1]");
  CHECK(f.exec("vacuum") == "ERROR 25001 open/1");
  CHECK(f.exec("rollback") == "END idle [ROLLBACK]");
  CHECK(f.db().committed == Lines{"a"});
}

TEST_CASE("CLOSE with commit refuses what it cannot commit, rolls back, and closes") {
  Open open;
  open.transaction.emplace();
  SUBCASE("a failed transaction") {
    OneSession f({}, open);
    f.exec("insert a");
    f.exec("fail");
    CHECK(f.last(f.c.close(1, true)) == "ERROR 40000 idle transaction");
    CHECK(f.db().committed.empty());
    CHECK(f.exec("select 1") == "ERROR 08003 idle session");
  }
  SUBCASE("a level inside") {
    OneSession f({}, open);
    f.exec("insert a");
    f.tx(TxOp::begin);
    CHECK(f.last(f.c.close(1, true)) == "ERROR 25001 idle transaction");
    CHECK(f.db().committed.empty());
    CHECK(f.db().sessions() == 0);
  }
  SUBCASE("an explicit transaction") {
    OneSession f;
    f.exec("begin; insert a");
    CHECK(f.last(f.c.close(1, true)) == "ERROR 25001 idle transaction");
    CHECK(f.db().committed.empty());
  }
  SUBCASE("nothing open is nothing to refuse") {
    OneSession f;
    f.exec("insert a");
    CHECK(f.last(f.c.close(1, true)) == "END idle");
    CHECK(f.db().committed == Lines{"a"});
  }
}

TEST_CASE("what comes behind CLOSE finds no session, and its number may be used again") {
  OneSession f;
  f.c.close(1);
  f.c.exec(1, "select 1");
  CHECK(f.c.run() == Lines{"#3 END idle", "#4 ERROR 08003 idle session"});
  f.c.open(1);
  f.c.exec(1, "insert a");
  CHECK(f.c.run() == Lines{"#5 END idle opened app", "#6 END idle [INSERT +1]"});
}
