// force_rollback: everything works in the overlay, and the file stays byte for byte as it was.
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <set>
#include <string>

#include "fixture.h"

using namespace based;
using namespace based::test;

namespace {

// Another program's handle on the file.
class Outside {
 public:
  explicit Outside(const std::string& path) {
    REQUIRE(sqlite3_open(path.c_str(), &db_) == SQLITE_OK);
  }
  ~Outside() { sqlite3_close(db_); }
  int run(const std::string& sql) {
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  }
  sqlite3* db() { return db_; }

 private:
  sqlite3* db_ = nullptr;
};

struct Sandbox : Fixture {
  void make_base(const std::string& mode) {
    Outside outside{dir.file("main.db")};
    REQUIRE(outside.run("PRAGMA journal_mode=" + mode) == SQLITE_OK);
    REQUIRE(outside.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE);"
                        "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE "
                        "i<5000) INSERT INTO t(v) SELECT 'row ' || i FROM n") == SQLITE_OK);
  }
  void start() {
    auto made = options();
    made.force_rollback = true;
    open(made);
    one = client();
  }
  std::string count() { return one->sql("SELECT count(*) FROM t").value(); }
  std::unique_ptr<Client> one;
};

constexpr auto endless_write =
    "INSERT INTO t(v) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) "
    "SELECT 'n' || i FROM n";

}  // namespace

TEST_CASE_FIXTURE(Sandbox, "whatever a client does, the base file stays as it was") {
  std::string mode;
  SUBCASE("a base with a rollback journal") { mode = "delete"; }
  SUBCASE("a base with a write-ahead log") { mode = "wal"; }
  CAPTURE(mode);
  make_base(mode);
  const auto before = bytes_of(dir.file("main.db"));
  const auto names = dir.names();
  start();
  CHECK(count() == "5000");
  CHECK(one->sql("INSERT INTO t(v) VALUES('new')").ok());
  one->control("BEGIN IMMEDIATE");
  CHECK(one->sql("UPDATE t SET v = v || '!' WHERE id > 100").ok());
  CHECK(one->control("COMMIT").ok());
  one->control("BEGIN IMMEDIATE");
  CHECK(one->sql("DELETE FROM t").ok());
  CHECK(one->control("ROLLBACK").ok());
  one->control("BEGIN IMMEDIATE");
  one->sql("INSERT INTO t(v) VALUES('gone')");
  CHECK(one->sql("INSERT OR ROLLBACK INTO t(v) VALUES('x'),('x')").outcome.transaction ==
        TransactionStatus::lost);
  auto unit = Client::unit_of(endless_write);
  one->begin_unit(std::move(unit));
  reactor.run_for(std::chrono::milliseconds(30));
  one->session().cancel("");
  CHECK(one->finish().code() == "57014");
  CHECK(count() == "5001");
  CHECK(one->sql("DELETE FROM t WHERE id % 2").ok());
  CHECK(one->sql("VACUUM").ok());
  CHECK(one->sql("PRAGMA integrity_check").value() == "'ok'");
  CHECK(one->sql("CREATE TABLE more(a); ").ok());
  CHECK(one->sql("INSERT INTO more SELECT hex(randomblob(2000)) FROM t").ok());
  CHECK(one->sql("PRAGMA wal_checkpoint(TRUNCATE)").ok());
  CHECK(one->sql("SELECT count(*) FROM more").value() == "2500");
  CHECK(one->sql("PRAGMA integrity_check").value() == "'ok'");
  CHECK(bytes_of(dir.file("main.db")) == before);
  CHECK(dir.names() == names);
  CHECK(database->status().sandboxes.front().transactions == 5);
  one->close();
  const auto report = shut_down();
  REQUIRE(report.size() == 1);
  CHECK(report[0].find("sandbox main: ") == 0);
  CHECK(report[0].find(" transactions discarded, ") != std::string::npos);
  CHECK(report[0].find(", 0 pages") == std::string::npos);
  CHECK(bytes_of(dir.file("main.db")) == before);
  CHECK(dir.names() == names);
}

TEST_CASE_FIXTURE(Sandbox, "the file's own format may be changed in a sandbox") {
  make_base("delete");
  const auto before = bytes_of(dir.file("main.db"));
  start();
  CHECK(one->sql("PRAGMA journal_mode").value() == "'delete'");
  CHECK(one->sql("PRAGMA page_size = 1024").ok());
  CHECK(one->sql("PRAGMA auto_vacuum = 1").ok());
  CHECK(one->sql("VACUUM").ok());
  CHECK(one->sql("PRAGMA page_size").value() == "1024");
  CHECK(one->sql("PRAGMA journal_mode = wal").value() == "'wal'");
  CHECK(one->sql("INSERT INTO t(v) VALUES('in wal')").ok());
  CHECK(one->sql("PRAGMA journal_mode = truncate").value() == "'truncate'");
  CHECK(one->sql("DELETE FROM t WHERE id < 4000").ok());
  CHECK(one->sql("PRAGMA incremental_vacuum").ok());
  CHECK(one->sql("VACUUM").ok());
  CHECK(count() == "1002");
  CHECK(one->sql("PRAGMA integrity_check").value() == "'ok'");
  CHECK(one->sql("PRAGMA foreign_keys = off").code() == "42501");
  CHECK(one->sql("ATTACH 'x.db' AS x").code() == "42501");
  CHECK(bytes_of(dir.file("main.db")) == before);
  CHECK(dir.names() == std::vector<std::string>{"main.db"});
}

TEST_CASE_FIXTURE(Sandbox, "a missing file starts empty and is not made") {
  auto made = options();
  made.force_rollback = true;
  SUBCASE("in a directory that is there") {}
  SUBCASE("in a directory that is not") { made.path = dir.file("none/main.db"); }
  open(made);
  one = client();
  CHECK(one->sql("CREATE TABLE t(v)").ok());
  CHECK(one->sql("INSERT INTO t VALUES(1)").ok());
  CHECK(count() == "1");
  one->close();
  shut_down();
  CHECK(dir.names().empty());
}

TEST_CASE_FIXTURE(Sandbox, "what is only in the base's write-ahead log is seen, and stays there") {
  make_base("wal");
  Outside writer{dir.file("main.db")};
  REQUIRE(writer.run("PRAGMA wal_autocheckpoint=0; INSERT INTO t(v) VALUES('in the log')") ==
          SQLITE_OK);
  const auto main_before = bytes_of(dir.file("main.db"));
  const auto log_before = bytes_of(dir.file("main.db-wal"));
  REQUIRE_FALSE(log_before.empty());
  start();
  CHECK(count() == "5001");
  CHECK(one->sql("DELETE FROM t").ok());
  // Another program may go on writing; its checkpoints wait for the sandbox's end.
  CHECK(writer.run("INSERT INTO t(v) VALUES('outside')") == SQLITE_OK);
  writer.run("PRAGMA wal_checkpoint(TRUNCATE)");
  CHECK(bytes_of(dir.file("main.db")) == main_before);
  CHECK(bytes_of(dir.file("main.db-wal")).starts_with(log_before));
  CHECK(count() == "0");
  one->close();
  shut_down();
  CHECK(writer.run("PRAGMA wal_checkpoint(TRUNCATE)") == SQLITE_OK);
}

TEST_CASE_FIXTURE(Sandbox, "another program's commit waits while a sandbox reads the base") {
  make_base("delete");
  start();
  CHECK(count() == "5000");
  const auto before = bytes_of(dir.file("main.db"));
  Outside writer{dir.file("main.db")};
  CHECK(writer.run("INSERT INTO t(v) VALUES('outside')") == SQLITE_BUSY);
  CHECK(bytes_of(dir.file("main.db")) == before);
  CHECK(count() == "5000");
}

TEST_CASE_FIXTURE(Sandbox, "a base that changes underneath is noticed, never mixed") {
  make_base("delete");
  start();
  CHECK(count() == "5000");
  {
    // A program that knows no locks.
    std::fstream file{dir.file("main.db"), std::ios::in | std::ios::out | std::ios::binary};
    file.seekp(60);
    file.put('x');
  }
  auto& reply = one->sql("SELECT count(*) FROM t");
  CHECK(reply.code() == "55000");
  CHECK(reply.message().find("was changed by another program") != std::string::npos);
}

TEST_CASE_FIXTURE(Sandbox, "an unfinished write of a dead program is undone in the overlay only") {
  make_base("delete");
  // A copy taken in the middle of a big transaction: main file half written, journal hot.
  {
    Outside writer{dir.file("main.db")};
    REQUIRE(writer.run("PRAGMA cache_size=5; PRAGMA cache_spill=1; BEGIN; "
                       "UPDATE t SET v = v || ' changed and made longer'") == SQLITE_OK);
    std::filesystem::copy(dir.file("main.db"), dir.file("crashed.db"));
    std::filesystem::copy(dir.file("main.db-journal"), dir.file("crashed.db-journal"));
    writer.run("ROLLBACK");
  }
  const auto before = bytes_of(dir.file("crashed.db"));
  const auto journal = bytes_of(dir.file("crashed.db-journal"));
  REQUIRE(before != bytes_of(dir.file("main.db")));
  auto made = options();
  made.path = dir.file("crashed.db");
  made.force_rollback = true;
  open(made);
  one = client();
  CHECK(one->sql("SELECT count(*) FROM t WHERE v LIKE '%longer'").value() == "0");
  CHECK(one->sql("PRAGMA integrity_check").value() == "'ok'");
  CHECK(one->sql("INSERT INTO t(v) VALUES('x')").ok());
  CHECK(bytes_of(dir.file("crashed.db")) == before);
  CHECK(bytes_of(dir.file("crashed.db-journal")) == journal);
}

TEST_CASE_FIXTURE(Sandbox,
                  "kill -9 in the middle of writing leaves the base and no file beside it") {
  make_base("wal");
  const auto before = bytes_of(dir.file("main.db"));
  const auto names = dir.names();
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    MemoryLog quiet;
    ThreadedReactor loop;
    auto made = options();
    made.force_rollback = true;
    auto opened = open_sqlite(made, loop, quiet);
    auto base = std::move(opened).value();
    Client writer{*base, loop, {}};
    for (int i = 0;; ++i) {
      writer.sql("INSERT INTO t(v) VALUES(?1)", {ValueView::of(std::int64_t{i} * 7)});
      writer.sql("UPDATE t SET v = v || 'x' WHERE id = ?1", {ValueView::of(std::int64_t{i})});
      if (i == 200 && ::write(ready[1], "x", 1) != 1) ::_exit(1);
    }
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  CHECK(WIFSIGNALED(status));
  CHECK(bytes_of(dir.file("main.db")) == before);
  CHECK(dir.names() == names);
}

TEST_CASE_FIXTURE(Sandbox, "a sandbox in memory answers what a database in memory does") {
  std::vector<std::string> answers[2];
  for (const bool sandboxed : {false, true}) {
    auto made = options();
    made.path.clear();
    made.force_rollback = sandboxed;
    open(made);
    one = client();
    for (const auto* sql :
         {"PRAGMA journal_mode", "PRAGMA journal_mode = wal", "PRAGMA page_size = 1024",
          "PRAGMA auto_vacuum = 1", "CREATE TABLE t(v UNIQUE)", "INSERT INTO t VALUES(1),(2)",
          "INSERT INTO t VALUES(3),(3)", "INSERT OR ROLLBACK INTO t VALUES(4),(4)", "VACUUM",
          "SELECT group_concat(v) FROM t", "PRAGMA page_size", "PRAGMA integrity_check"}) {
      CAPTURE(sql);
      const auto& reply = one->sql(sql);
      const bool has_value = reply.ok() && !reply.steps.empty() && !reply.steps[0].rows.empty();
      answers[sandboxed ? 1 : 0].push_back(reply.code() + (has_value ? reply.value() : ""));
    }
    one->close();
    CHECK(shut_down().size() == (sandboxed ? 1 : 0));
  }
  CHECK(answers[0] == answers[1]);
  CHECK(dir.names().empty());
}

TEST_CASE_FIXTURE(Sandbox, "a sandbox that outgrows its limit is full, and works on") {
  make_base("delete");
  auto made = options();
  made.force_rollback = true;
  made.overlay_memory_bytes = 100'000;
  made.overlay_bytes_max = 1'000'000;
  open(made);
  one = client();
  auto& reply = one->sql("INSERT INTO t(v) SELECT hex(randomblob(1000)) || id FROM t");
  CHECK(reply.code() == "53100");
  CHECK(reply.outcome.error->native_name == "SQLITE_FULL");
  CHECK(count() == "5000");
  CHECK(one->sql("INSERT INTO t(v) VALUES(hex(zeroblob(100000)))").ok());
  CHECK(count() == "5001");
}

// SQLite does not change it inside a transaction, and some changes not at all (a handle that is
// defensive has no "off"): then it answers what stays.
TEST_CASE_FIXTURE(Sandbox, "a change of the journal mode answers the mode that is in force") {
  std::string base;
  SUBCASE("a base with a rollback journal") { base = "delete"; }
  SUBCASE("a base with a write-ahead log") { base = "wal"; }
  SUBCASE("a file that is not there yet") { base = "new"; }
  CAPTURE(base);
  if (base != "new") make_base(base);
  start();
  auto two = client();
  REQUIRE(one->sql("CREATE TABLE tried(v)").ok());
  const auto change_to = [&](const char* mode) {  // what is then in force for everybody
    const std::string answer = one->sql(std::string("PRAGMA journal_mode = ") + mode).value();
    const std::string in_force = two->sql("PRAGMA journal_mode").value();
    CHECK(answer == in_force);
    return in_force;
  };
  const std::array modes = {"wal", "delete", "truncate", "persist", "memory", "off", "nonsense"};
  std::set<std::string> reached;
  for (const std::string from : modes) {
    for (const std::string to : modes) {
      CAPTURE(from);
      CAPTURE(to);
      const std::string before = change_to(from.c_str());
      one->control("BEGIN IMMEDIATE");
      CHECK(one->sql("INSERT INTO tried VALUES(1)").ok());
      CHECK(one->sql("PRAGMA journal_mode = " + to).value() == before);
      CHECK(one->sql("PRAGMA journal_mode").value() == before);
      CHECK(one->control("ROLLBACK").ok());
      const std::string after = change_to(to.c_str());
      const bool possible = to != "off" && to != "nonsense";
      CHECK(after == (possible ? "'" + to + "'" : before));
      reached.insert(after);
      CHECK(one->sql("SELECT count(*) FROM tried").value() == "0");
    }
  }
  CHECK(reached ==
        std::set<std::string>{"'wal'", "'delete'", "'truncate'", "'persist'", "'memory'"});
  CHECK(one->sql("PRAGMA integrity_check").value() == "'ok'");
}

TEST_CASE_FIXTURE(Sandbox, "a sandbox in memory refuses to change its journal, and keeps it") {
  auto made = options();
  made.path.clear();
  made.force_rollback = true;
  open(made);
  one = client();
  for (const auto* mode : {"wal", "delete", "off", "memory"}) {
    CHECK(one->sql(std::string("PRAGMA journal_mode = ") + mode).code() == "42501");
    CHECK(one->sql("PRAGMA journal_mode").value() == "'memory'");
  }
}
