// EXEC, BATCH and CHAIN.
#include "tests/daemon/native/native_fixture.h"

using namespace based;
using namespace based::native;

namespace {

struct Fixture {
  explicit Fixture(FakeDatabase::Options options = {}) : daemon(std::move(options)), c(daemon) {
    c.open(1);
    REQUIRE(c.run() == Lines{"#2 END idle opened app"});
  }
  Lines exec(std::string_view sql) {
    const std::uint32_t request = c.exec(1, sql);
    return c.answers_to(request, c.run());
  }
  FakeDatabase& db() { return *daemon.database; }

  Daemon daemon;
  Client c;
};

}  // namespace

TEST_CASE("a request has its columns, its rows and one final frame") {
  Fixture f;
  CHECK(f.exec("select 3") == Lines{"COLS n", "ROWS 1 2 3", "END idle [SELECT 3]"});
  CHECK(f.exec("select 0") == Lines{"COLS n", "END idle [SELECT]"});
  CHECK(f.exec("insert a") == Lines{"END idle [INSERT +1]"});
  CHECK(f.exec("  ; -- nothing") == Lines{"END idle"});
  CHECK(f.exec("warn") == Lines{"NOTICE database 01000", "END idle [OTHER]"});
  CHECK(f.db().committed == Lines{"a"});
}

TEST_CASE("a script outside a transaction commits each of its steps and stops at an error") {
  Fixture f;
  CHECK(f.exec("insert a; select 1; fail; insert b") ==
        Lines{"COLS.1 n", "ROWS.1 1", "ERROR 23505 idle at=25 step=2 [INSERT +1, SELECT 1]"});
  CHECK(f.db().committed == Lines{"a"});
}

TEST_CASE("an error's position is in the text that the client wrote") {
  Fixture f;
  CHECK(f.exec("   fail now") == Lines{"ERROR 23505 idle at=8"});
}

TEST_CASE("an atomic script is one transaction") {
  for (const Dialect dialect : {Dialect::postgres, Dialect::sqlite}) {
    Fixture f({.dialect = dialect});
    RunOptions atomic;
    atomic.atomic = true;
    f.c.exec(1, "insert a; fail", 0, atomic);
    CHECK(f.c.run() == Lines{"#3 ERROR 23505 idle at=15 step=1 [INSERT +1]"});
    CHECK(f.db().committed.empty());
    f.c.exec(1, "insert a; insert b", 0, atomic);
    CHECK(f.c.run() == Lines{"#4 END idle [INSERT +1, INSERT +1]"});
    CHECK(f.db().committed == Lines{"a", "b"});
  }
}

TEST_CASE("an atomic script inside a transaction is a savepoint, and its error spares the level") {
  for (const Dialect dialect : {Dialect::postgres, Dialect::sqlite}) {
    Fixture f({.dialect = dialect});
    RunOptions atomic;
    atomic.atomic = true;
    f.c.exec(1, "begin; insert a");
    f.c.exec(1, "insert b; fail", 0, atomic);
    f.c.exec(1, "commit");
    CHECK(f.c.run() == Lines{"#3 END open/1 [BEGIN, INSERT +1]",
                             "#4 ERROR 23505 open/1 at=15 step=1 [INSERT +1]",
                             "#5 END idle [COMMIT]"});
    CHECK(f.db().committed == Lines{"a"});
  }
}

TEST_CASE("an atomic request takes neither transaction control nor what must stand alone") {
  Fixture f;
  RunOptions atomic;
  atomic.atomic = true;
  for (const char* sql :
       {"insert a; commit", "begin; insert a", "insert a; vacuum", "insert a; listen x"}) {
    CAPTURE(sql);
    const std::uint32_t request = f.c.exec(1, sql, 0, atomic);
    const Lines lines = f.c.answers_to(request, f.c.run());
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].substr(0, 6) == "ERROR ");
  }
  CHECK(f.db().committed.empty());
  CHECK(f.db().log.empty());
}

TEST_CASE("settings are allowed in an atomic script, and undone with it") {
  Fixture f;
  RunOptions atomic;
  atomic.atomic = true;
  f.c.exec(1, "set search_path to a; fail", 0, atomic);
  f.c.exec(1, "set local work_mem to '1MB'; insert a", 0, atomic);
  f.c.run();
  CHECK(f.db().committed == Lines{"a"});
  f.exec("select 1");
  CHECK(f.db().last_unit()->profile == nullptr);
}

TEST_CASE("parameters are given by position or by name, each exactly where it is wanted") {
  Fixture f;
  const auto answer = [&](std::uint32_t request) {
    return f.c.answers_to(request, f.c.run()).at(0);
  };
  CHECK(answer(f.c.exec_with(1, "insert $1 $2", {7, 8})) == "END idle [INSERT +1]");
  CHECK(answer(f.c.exec_with(1, "insert ? ?", {7, 8})) == "END idle [INSERT +1]");
  CHECK(answer(f.c.exec_named(1, "insert :a :b :a", {{"b", 2}, {"a", 1}})) ==
        "END idle [INSERT +1]");
  CHECK(answer(f.c.exec_with(1, "insert $1", {})) == "ERROR 42P02 idle");
  CHECK(answer(f.c.exec_with(1, "insert $1", {1, 2})) == "ERROR 42P02 idle");
  CHECK(answer(f.c.exec_named(1, "insert :a", {{"b", 1}})) == "ERROR 42P02 idle");
  CHECK(answer(f.c.exec_named(1, "insert :a", {{"a", 1}, {"b", 1}})) == "ERROR 42P02 idle");
  CHECK(answer(f.c.exec_named(1, "insert $1", {{"a", 1}})) == "ERROR 42P02 idle at=0");
  CHECK(answer(f.c.exec_with(1, "insert :a", {1})) == "ERROR 42P02 idle at=7");
  CHECK(answer(f.c.exec_with(1, "insert $1; insert $1", {1})) == "ERROR 42P02 idle");
  CHECK(answer(f.c.exec_named(1, "insert :a; insert :b", {{"a", 1}, {"b", 2}})) ==
        "END idle [INSERT +1, INSERT +1]");
  CHECK(f.db().committed.size() == 5);
  CHECK(f.db().committed[2] == "$1 $2 $1 1 2");
}

TEST_CASE("a text that cannot be cut is refused before anything of it runs") {
  Fixture f;
  CHECK(f.exec("insert a; select 'x") == Lines{"ERROR 42601 idle at=17"});
  CHECK(f.db().log.empty());
}

TEST_CASE("sixty thousand named parameters do not stop the loop") {
  Fixture f({.dialect = Dialect::postgres});
  std::string sql = "insert ";
  std::vector<std::pair<std::string, std::int64_t>> values;
  for (int i = 0; i < 60'000; ++i) {
    const std::string name = "p" + std::to_string(i);
    sql += ':' + name + ' ';
    values.emplace_back(name, i);
  }
  const auto before = std::chrono::steady_clock::now();
  f.c.exec_named(1, sql, values);
  CHECK(f.c.run() == Lines{"#3 END idle [INSERT +1]"});
  CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(5));
}

TEST_CASE("what Based does not carry is refused with 0A000, and costs nothing") {
  Fixture f;
  for (const char* sql : {"copy t from stdin", "listen x", "unlisten x", "prepare a as select 1",
                          "execute a", "deallocate a", "prepare transaction 'x'",
                          "commit prepared 'x'", "rollback prepared 'x'"}) {
    CAPTURE(sql);
    CHECK(f.exec(sql) == Lines{"ERROR 0A000 idle"});
  }
  f.exec("begin; insert a");
  CHECK(f.exec("prepare transaction 'x'") == Lines{"ERROR 0A000 open/1"});
  CHECK(f.exec("copy t to stdout") == Lines{"ERROR 0A000 open/1"});
  CHECK(f.exec("commit") == Lines{"END idle [COMMIT]"});
}

TEST_CASE("what refuses a transaction stands alone outside, and is refused inside") {
  Fixture f;
  CHECK(f.exec("vacuum") == Lines{"END idle [OTHER]"});
  CHECK(f.db().take_log() == Lines{"vacuum"});
  f.exec("begin");
  CHECK(f.exec("vacuum") == Lines{"ERROR 25001 open/1"});
  CHECK(f.exec("insert a; commit") == Lines{"END idle [INSERT +1, COMMIT]"});
}

TEST_CASE("a batch runs its items and reports each") {
  Fixture f;
  const std::vector<std::vector<std::int64_t>> none;
  f.c.batch(1, {{"insert a"}, {"select 2"}, {"insert $1", {{{1}, {2}, {3}}}}, {"insert $1", none}});
  CHECK(f.c.run() == Lines{"#3 COLS.1 n", "#3 ROWS.1 1 2",
                           "#3 END idle [INSERT +1, SELECT 2, INSERT +3, INSERT +0]"});
  CHECK(f.db().committed == Lines{"a", "$1 1", "$1 2", "$1 3"});
}

TEST_CASE("a batch stops at its first error, or with stop false goes on behind it") {
  Fixture f;
  f.c.batch(1, {{"insert a"}, {"fail"}, {"insert b"}});
  CHECK(f.c.run() == Lines{"#3 ERROR 23505 idle at=5 step=1 [INSERT +1]"});
  f.c.batch(1, {{"fail"}, {"insert b"}, {"insert $1", {{{1, 2}}}}, {"a; b"}, {"insert c"}}, false);
  CHECK(f.c.run() == Lines{"#4 END idle [23505, INSERT +1, 42P02, 42601, INSERT +1]"});
  CHECK(f.db().committed == Lines{"a", "b", "c"});
}

TEST_CASE("inside a transaction stop false puts each item in a savepoint") {
  for (const Dialect dialect : {Dialect::postgres, Dialect::sqlite}) {
    Fixture f({.dialect = dialect});
    f.c.tx(1, TxOp::begin);
    f.c.batch(1, {{"insert a"}, {"fail"}, {"insert b"}}, false);
    f.c.tx(1, TxOp::commit);
    CHECK(f.c.run() == Lines{"#3 END open/1 level=1", "#4 END open/1 [INSERT +1, 23505, INSERT +1]",
                             "#5 END idle"});
    CHECK(f.db().committed == Lines{"a", "b"});
  }
}

TEST_CASE("an execute-many is one step: all of its runs stay or none") {
  for (const Dialect dialect : {Dialect::postgres, Dialect::sqlite}) {
    Fixture f({.dialect = dialect});
    int runs = 0;
    f.db().fault = [&](UnitPhase phase, std::string_view) -> std::optional<Error> {
      if (phase != UnitPhase::step || ++runs != 3) return std::nullopt;
      return Error::make(sqlstate::unique_violation, "the third");
    };
    f.c.batch(1, {{"insert x"}, {"insert $1", {{{1}, {2}, {3}}}}});
    CHECK(f.c.run().at(0).substr(0, 21) == "#3 ERROR 23505 idle s");
    CHECK(f.db().committed == Lines{"x"});
  }
}

TEST_CASE("an execute-many without a set is described, and nothing of it runs") {
  const std::vector<std::vector<std::int64_t>> none;
  Fixture f;
  f.c.batch(1, {{"insert $1", none}, {"insert ?", none}, {"insert :n", none}, {"begin", none}});
  CHECK(f.c.run() == Lines{"#3 END idle [INSERT +0, INSERT +0, INSERT +0, BEGIN]"});
  CHECK(f.db().take_log() == Lines{"? insert $1", "? insert $1", "? insert $1"});
  f.c.batch(1, {{"insert a"}, {"fail $1", none}, {"insert b"}});
  CHECK(f.c.run() == Lines{"#4 ERROR 42P01 idle step=1 [INSERT +1]"});
  f.c.batch(1, {{"select $1 from (", none}, {"set a = 1", none}, {"select 1"}}, false);
  CHECK(f.c.run().back() == "#5 END idle [OTHER, OTHER, SELECT 1]");
  CHECK(f.db().last_unit()->profile == nullptr);
  CHECK(f.db().committed == Lines{"a"});
}

TEST_CASE("an execute-many without a set pins nothing, and fails the level that it is in") {
  const std::vector<std::vector<std::int64_t>> none;
  Fixture f;
  f.c.batch(1, {{"create temp table t (n int)", none}});
  CHECK(f.c.run() == Lines{"#3 END idle [OTHER]"});
  CHECK_FALSE(f.db().last_unit()->pin);
  f.c.tx(1, TxOp::begin);
  f.c.batch(1, {{"begin", none}, {"rollback", none}, {"insert $1", none}});
  f.c.batch(1, {{"fail", none}});
  CHECK(f.c.run() == Lines{"#4 END open/1 level=1", "#5 END open/1 [BEGIN, ROLLBACK, INSERT +0]",
                           "#6 ERROR 42P01 failed/1 step=0"});
}

TEST_CASE("more runs than the limit are refused before the first") {
  Fixture f;
  std::vector<std::vector<std::int64_t>> sets(100'001);
  f.c.batch(1, {{"insert x", std::move(sets)}});
  CHECK(f.c.run() == Lines{"#3 ERROR 54000 idle step=0"});
  CHECK(f.db().log.empty());
}

TEST_CASE("a chain is skipped behind its first error, and a request without the flag begins anew") {
  Fixture f;
  f.c.exec(1, "insert a", flags::chain);  // the first: the flag means nothing
  f.c.exec(1, "fail", flags::chain);
  f.c.exec(1, "insert b", flags::chain);
  f.c.tx(1, TxOp::commit, flags::chain);
  f.c.exec(1, "insert c");
  f.c.exec(1, "insert d", flags::chain);
  CHECK(f.c.run() == Lines{"#3 END idle [INSERT +1]", "#4 ERROR 23505 idle at=5",
                           "#5 ERROR 25S01 idle", "#6 ERROR 25S01 idle", "#7 END idle [INSERT +1]",
                           "#8 END idle [INSERT +1]"});
  CHECK(f.db().committed == Lines{"a", "c", "d"});
}

TEST_CASE("a whole transaction is one write, whether it succeeds or not") {
  for (const bool fails : {false, true}) {
    Fixture f;
    f.c.tx(1, TxOp::begin);
    f.c.exec(1, "insert a", flags::chain);
    f.c.exec(1, fails ? "fail" : "insert b", flags::chain);
    f.c.tx(1, {.op = TxOp::commit, .depth = 1}, flags::chain);
    f.c.tx(1, TxOp::rollback_all);
    const Lines lines = f.c.run();
    CHECK(lines.back() == "#7 END idle");
    CHECK(f.db().committed == (fails ? Lines{} : Lines{"a", "b"}));
  }
}

TEST_CASE("a request that was refused at the door fails the chain behind it") {
  NativeLimits limits;
  limits.requests = 2;
  Daemon daemon({}, limits);
  Client c(daemon);
  c.open(1);
  c.exec(1, "insert a");
  c.exec(1, "insert b");
  c.exec(1, "insert c");  // over the limit
  daemon.database->queue_closed = false;
  CHECK(c.run() == Lines{"#2 END idle opened app", "#5 ERROR 53300 idle retry",
                         "#3 END idle [INSERT +1]", "#4 END idle [INSERT +1]"});
  c.exec(1, "insert d", flags::chain);
  c.exec(1, "insert e");
  CHECK(c.run() == Lines{"#6 ERROR 25S01 idle", "#7 END idle [INSERT +1]"});
  CHECK(daemon.database->committed == Lines{"a", "b", "e"});
}

TEST_CASE("a malformed payload costs its request only") {
  Fixture f;
  f.c.raw(MessageType::exec, 1, "\x90");
  f.c.raw(MessageType::exec, 1, "\xc1");
  f.c.raw(MessageType::batch, 1, "\x91\x05");
  f.c.raw(MessageType::tx, 1, "\x91\xa4what");
  f.c.exec(1, "insert a");
  const Lines lines = f.c.run();
  REQUIRE(lines.size() == 5);
  for (int i = 0; i < 4; ++i)
    CHECK(lines[static_cast<std::size_t>(i)].find(" ERROR ") != std::string::npos);
  CHECK(lines[4] == "#7 END idle [INSERT +1]");
}

TEST_CASE("settings become the session's, and RESET forgets them") {
  Fixture f;
  const auto profile = [&]() -> std::string {
    f.exec("select 1");
    const ProfileRef ref = f.db().last_unit()->profile;
    std::string text;
    if (ref) {
      for (const auto& [name, value] : ref->settings) text += name + "=" + value + ";";
    }
    return text;
  };
  f.exec("set search_path to a, b");
  f.exec("set work_mem = '64MB'");
  CHECK(profile() == "search_path=a, b;work_mem='64MB';");
  f.exec("begin; set search_path to c");
  CHECK(profile() == "search_path=c;work_mem='64MB';");
  f.exec("rollback");
  CHECK(profile() == "search_path=a, b;work_mem='64MB';");
  f.c.tx(1, TxOp::rollback_all);  // nothing is open: nothing is undone
  CHECK(profile() == "search_path=a, b;work_mem='64MB';");
  f.exec("reset work_mem");
  CHECK(profile() == "search_path=a, b;");
  f.exec("begin; set search_path to c; commit");
  CHECK(profile() == "search_path=c;");
  f.exec("reset all");
  CHECK(profile() == "");
}

TEST_CASE("what leaves state on its connection pins the session") {
  Fixture f;
  f.exec("insert a");
  CHECK(!f.db().last_unit()->pin);
  f.exec("create temp table t (a int)");
  CHECK(f.db().last_unit()->pin);
  f.exec("select 1");
  CHECK(f.db().last_unit()->pin);
}

TEST_CASE("only reads outside a transaction may go to a read handle") {
  Fixture f;
  f.exec("select 1");
  CHECK(f.db().last_unit()->read_only);
  f.exec("insert a");
  CHECK(!f.db().last_unit()->read_only);
  f.exec("begin");
  f.exec("select 1");
  CHECK(f.db().last_unit()->keep_lease);
  CHECK(!f.db().last_unit()->read_only);
  f.exec("commit");
}

TEST_CASE("a read-only session cannot talk itself out of it") {
  Daemon daemon;
  Client c(daemon);
  Open open;
  open.read_only = true;
  c.open(1, open);
  c.run();
  for (const char* sql :
       {"begin read write", "begin; set transaction read write", "set transaction_read_only to off",
        "set default_transaction_read_only = off", "set local transaction_read_only to off",
        "set session characteristics as transaction read write", "vacuum"}) {
    CAPTURE(sql);
    const std::uint32_t request = c.exec(1, sql);
    const Lines lines = c.answers_to(request, c.run());
    CHECK(lines.back().substr(0, 11) == "ERROR 25006");
    c.tx(1, TxOp::rollback_all);
    c.run();
  }
  c.exec(1, "select 1");
  CHECK(c.run().back() == "#" + std::to_string(c.last_request()) + " END idle [SELECT 1]");
  CHECK(daemon.database->log.at(0) == "BEGIN READ ONLY");
}
