// What becomes of a session's stack when the database does not do what it was asked.
#include "tests/daemon/native/native_fixture.h"

using namespace based;
using namespace based::native;

namespace {

constexpr Dialect both[] = {Dialect::postgres, Dialect::sqlite};

}  // namespace

TEST_CASE("a lost transaction aborts the stack, which each level acknowledges by its rollback") {
  for (const Dialect dialect : both) {
    for (const char* how : {"lose", "or rollback"}) {
      CAPTURE(how);
      OneSession f({.dialect = dialect});
      f.exec("begin; insert a");
      f.exec("begin; insert b");
      const std::string error = f.exec(how);
      CHECK(error.find(" aborted/2 transaction") != std::string::npos);
      CHECK(f.exec("insert c") == "ERROR 25P02 aborted/2");
      CHECK(f.exec("commit") == "ERROR 25P02 aborted/2");
      CHECK(f.tx(TxOp::begin) == "ERROR 25P02 aborted/2");
      CHECK(f.exec("rollback") == "END aborted/1 [ROLLBACK]");
      CHECK(f.exec("insert c") == "ERROR 25P02 aborted/1");
      CHECK(f.tx(TxOp::rollback_all) == "END idle");
      CHECK(f.exec("insert d") == "END idle [INSERT +1]");
      CHECK(f.db().committed == Lines{"d"});
    }
  }
}

TEST_CASE("a lease lost between requests is told at once, and then again") {
  OneSession f;
  f.exec("begin; insert a");
  f.db().lose_leases(Error::make(sqlstate::idle_in_transaction_session_timeout, "rested too long"));
  CHECK(f.c.run() == Lines{"NOTICE transaction_lost 25P03 aborted/1"});
  CHECK(f.exec("insert b") == "ERROR 25P02 aborted/1");
  CHECK(f.exec("rollback") == "END idle [ROLLBACK]");
  CHECK(f.exec("insert c") == "END idle [INSERT +1]");
  CHECK(f.db().committed == Lines{"c"});
}

TEST_CASE("settings made in a transaction that is lost are lost with it") {
  OneSession f;
  f.exec("set search_path to a");
  f.exec("begin; set search_path to b");
  f.exec("lose");
  f.exec("rollback");
  f.exec("select 1");
  CHECK(f.db().last_unit()->profile->settings.at("search_path") == "a");
}

TEST_CASE("a transaction that a text opened unseen is rolled back and told") {
  OneSession f;
  CHECK(f.exec("hidden begin") == "ERROR 25000 idle transaction");
  CHECK(f.db().transactions() == 0);
  CHECK(f.exec("insert a") == "END idle [INSERT +1]");
}

TEST_CASE("a transaction that a text ended unseen aborts the stack") {
  OneSession f;
  f.exec("begin; insert a");
  CHECK(f.exec("hidden commit") == "ERROR 25000 aborted/1 transaction executed");
  CHECK(f.exec("select 1") == "ERROR 25P02 aborted/1");
  CHECK(f.exec("rollback") == "END idle [ROLLBACK]");
}

TEST_CASE("a BEGIN that the database refuses leaves the levels to be tried again") {
  for (const Dialect dialect : both) {
    OneSession f({.dialect = dialect});
    f.tx(TxOp::begin);
    f.tx(TxOp::begin);
    bool refuse = true;
    f.db().fault = [&](UnitPhase phase, std::string_view) -> std::optional<Error> {
      if (!refuse || phase != UnitPhase::prologue) return std::nullopt;
      return Error::make(sqlstate::lock_not_available, "busy").as_retryable();
    };
    CHECK(f.exec("insert a") == "ERROR 55P03 open/2 retry");
    refuse = false;
    CHECK(f.exec("insert a") == "END open/2 [INSERT +1]");
    f.tx(TxOp::commit);
    f.tx(TxOp::commit);
    CHECK(f.db().committed == Lines{"a"});
  }
}

TEST_CASE("a wait that ends without a connection changes nothing") {
  OneSession f;
  f.tx(TxOp::begin);
  bool refuse = true;
  f.db().fault = [&](UnitPhase phase, std::string_view) -> std::optional<Error> {
    if (!refuse || phase != UnitPhase::queue) return std::nullopt;
    return Error::make(sqlstate::too_many_connections, "no link").as_retryable();
  };
  CHECK(f.exec("insert a") == "ERROR 53300 open/1 retry");
  refuse = false;
  CHECK(f.exec("insert a; commit") == "END idle [INSERT +1, COMMIT]");
}

// One statement of a prologue is cancelled.
auto cancelled_at(std::string text) {
  return [text](UnitPhase phase, std::string_view statement) -> std::optional<Error> {
    if (phase != UnitPhase::prologue || statement != text) return std::nullopt;
    return Error::make(sqlstate::query_canceled, "struck");
  };
}

TEST_CASE("a cancel that strikes a guard leaves the levels, failed where PostgreSQL fails them") {
  for (const Dialect dialect : both) {
    OneSession f({.dialect = dialect});
    f.exec("begin; insert a");
    f.exec("begin; insert b");
    f.db().fault = cancelled_at(R"(SAVEPOINT "based_guard")");
    f.c.batch(1, {{"insert c"}, {"insert d"}}, true, true);
    const std::string answer = f.c.run().back();
    f.db().fault = nullptr;
    if (dialect == Dialect::sqlite) {
      CHECK(answer == "#5 ERROR 57014 open/2 step=0");
      CHECK(f.exec("insert e; commit; commit") == "END idle [INSERT +1, COMMIT, COMMIT]");
      CHECK(f.db().committed == Lines{"a", "b", "e"});
    } else {
      CHECK(answer == "#5 ERROR 57014 failed/2 step=0");
      CHECK(f.exec("insert e") == "ERROR 25P02 failed/2");
      CHECK(f.exec("rollback") == "END open/1 [ROLLBACK]");
      CHECK(f.exec("insert e; commit") == "END idle [INSERT +1, COMMIT]");
      CHECK(f.db().committed == Lines{"a", "e"});
    }
    CHECK(f.db().violations.empty());
  }
}

TEST_CASE(
    "a level that cannot be entered fails the one around it on PostgreSQL, and none on SQLite") {
  OneSession f;
  f.exec("begin; insert a");
  f.exec("begin");
  f.exec("begin");
  f.db().fault = cancelled_at(R"(SAVEPOINT "based_2")");
  CHECK(f.exec("insert b") == "ERROR 57014 failed/3");
  f.db().fault = nullptr;
  CHECK(f.exec("insert b") == "ERROR 25P02 failed/3");
  CHECK(f.exec("commit") == "ERROR 40000 failed/2 transaction");
  CHECK(f.exec("rollback") == "END failed/1 [ROLLBACK]");
  CHECK(f.exec("insert b") == "ERROR 25P02 failed/1");
  CHECK(f.exec("rollback") == "END idle [ROLLBACK]");
  CHECK(f.db().transactions() == 0);
  CHECK(f.exec("insert c") == "END idle [INSERT +1]");
  CHECK(f.db().committed == Lines{"c"});

  OneSession g({.dialect = Dialect::sqlite});
  g.exec("begin; insert a");
  g.exec("begin");
  g.db().fault = cancelled_at(R"(SAVEPOINT "based_2")");
  CHECK(g.exec("insert b") == "ERROR 57014 open/2");
  g.db().fault = nullptr;
  CHECK(g.exec("insert b; commit; commit") == "END idle [INSERT +1, COMMIT, COMMIT]");
  CHECK(g.db().committed == Lines{"a", "b"});
}

TEST_CASE("what a prologue had opened when it failed is closed again: nothing has changed") {
  for (const Dialect dialect : both) {
    for (const bool rooted : {false, true}) {
      if (rooted && dialect == Dialect::sqlite) continue;
      OneSession f({.dialect = dialect, .rooted = rooted});
      f.exec("begin");
      f.exec("begin");
      f.db().fault = cancelled_at(R"(SAVEPOINT "based_2")");
      CHECK(f.exec("insert a") == "ERROR 57014 open/2");
      CHECK(f.db().transactions() == 0);
      f.db().fault = nullptr;
      f.exec("insert a; begin");
      f.db().fault = cancelled_at(R"(SAVEPOINT "based_guard")");
      f.c.batch(1, {{"insert b"}}, false);
      CHECK(f.c.run().back() == "#7 END open/3 [57014]");
      f.db().fault = nullptr;
      CHECK(f.exec("insert c; commit; commit; commit") ==
            "END idle [INSERT +1, COMMIT, COMMIT, COMMIT]");
      CHECK(f.db().committed == Lines{"a", "c"});
      CHECK(f.db().violations.empty());
    }
  }
}

TEST_CASE("in a sandbox a guard or level that cannot be opened costs its unit only") {
  OneSession f({.rooted = true});
  f.exec("insert a");
  f.db().fault = cancelled_at(R"(SAVEPOINT "based_guard")");
  CHECK(f.exec("insert b") == "ERROR 57014 idle");
  f.db().fault = cancelled_at(R"(SAVEPOINT "based_1")");
  f.exec("begin");
  CHECK(f.exec("insert b") == "ERROR 57014 open/1");
  f.db().fault = nullptr;
  CHECK(f.exec("insert c; commit") == "END idle [INSERT +1, COMMIT]");
  CHECK(f.db().committed == Lines{"a", "c"});
}

TEST_CASE("a COMMIT that fails has rolled back, on both backends") {
  for (const Dialect dialect : both) {
    OneSession f({.dialect = dialect});
    f.exec("begin; insert a");
    f.db().fault = [&](UnitPhase phase, std::string_view text) -> std::optional<Error> {
      if (phase != UnitPhase::epilogue || text != "COMMIT") return std::nullopt;
      return Error::make(sqlstate::foreign_key_violation, "deferred");
    };
    CHECK(f.exec("commit") == "ERROR 23503 idle transaction");
    f.db().fault = nullptr;
    CHECK(f.db().transactions() == 0);
    CHECK(f.exec("insert b") == "END idle [INSERT +1]");
    CHECK(f.db().committed == Lines{"b"});
  }
}

TEST_CASE("an inner commit that fails costs its level only") {
  for (const Dialect dialect : both) {
    OneSession f({.dialect = dialect});
    f.exec("begin; insert a");
    f.exec("begin; insert b");
    f.db().fault = [&](UnitPhase phase, std::string_view) -> std::optional<Error> {
      if (phase != UnitPhase::epilogue) return std::nullopt;
      return Error::make(sqlstate::foreign_key_violation, "at once");
    };
    CHECK(f.tx(TxOp::commit) == "ERROR 23503 open/1 transaction");
    f.db().fault = nullptr;
    CHECK(f.tx(TxOp::commit) == "END idle");
    CHECK(f.db().committed == Lines{"a"});
  }
}

TEST_CASE("a rollback of everything succeeds also when the database cannot do it") {
  OneSession f;
  f.exec("begin; insert a");
  f.db().fault = [&](UnitPhase phase, std::string_view) -> std::optional<Error> {
    if (phase != UnitPhase::epilogue) return std::nullopt;
    return Error::make(sqlstate::connection_failure, "gone");
  };
  CHECK(f.tx(TxOp::rollback_all) == "END idle");
  CHECK(f.db().transactions() == 0);
  f.db().fault = nullptr;
  CHECK(f.exec("insert b") == "END idle [INSERT +1]");
}

TEST_CASE("in a rooted database everything is a savepoint, and clients see nothing of it") {
  OneSession f({.rooted = true});
  CHECK(f.exec("insert a") == "END idle [INSERT +1]");
  CHECK(f.exec("fail") == "ERROR 23505 idle at=5");
  CHECK(f.exec("begin; insert b; begin; insert c; rollback; commit") ==
        "END idle [BEGIN, INSERT +1, BEGIN, INSERT +1, ROLLBACK, COMMIT]");
  CHECK(f.exec("vacuum") == "ERROR 25001 idle");
  CHECK(f.db().committed == Lines{"a", "b"});
  for (const std::string& text : f.db().log) CHECK(text.substr(0, 5) != "BEGIN");
}

TEST_CASE("one session's transaction and failure are no other's") {
  OneSession f;
  f.c.open(2);
  f.c.run();
  f.exec("begin; insert a");
  f.exec("fail");
  CHECK(f.last(f.c.exec(2, "insert b")) == "END idle [INSERT +1]");
  f.last(f.c.exec(2, "begin; insert c"));
  CHECK(f.exec("rollback") == "END idle [ROLLBACK]");
  CHECK(f.last(f.c.exec(2, "commit")) == "END idle [COMMIT]");
  CHECK(f.db().committed == Lines{"b", "c"});
}
