// force_rollback: everything works in the overlay, and the file stays byte for byte as it was.
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/sqlite/overlay_body.h"
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

TEST_CASE_FIXTURE(Sandbox, "an overlay body reads as a file would, whatever is written and cut") {
  // Random writes, truncations and reads against a plain string, over a base of odd length.
  std::uint64_t seed = 42;
  const auto next = [&seed](std::uint64_t below) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    return (seed >> 33) % below;
  };
  std::string model(50'123, '\0');
  for (auto& c : model) c = static_cast<char>(next(256));
  {
    std::ofstream file{dir.file("base"), std::ios::binary};
    file << model;
  }
  const auto base = model;
  const int fd = ::open(dir.file("base").c_str(), O_RDONLY);
  auto opened = sqlite::OverlayBody::make(dir.path());
  REQUIRE(opened.ok());
  const auto body = std::move(opened).value();
  body->put_over(fd, static_cast<std::int64_t>(model.size()));
  std::string buffer;
  for (int i = 0; i < 4000; ++i) {
    const auto offset = next(80'000);
    const auto length = next(i % 3 == 0 ? 20'000 : 600) + 1;
    const auto action = next(20);
    if (action == 0) {
      body->truncate(static_cast<std::int64_t>(offset));
      if (offset < model.size()) model.resize(offset);
    } else if (action < 10) {
      std::string data(length, static_cast<char>(next(256)));
      REQUIRE(body->write(data.data(), static_cast<std::int64_t>(length),
                          static_cast<std::int64_t>(offset)) == SQLITE_OK);
      if (model.size() < offset + length) model.resize(offset + length, '\0');
      model.replace(offset, length, data);
    } else {
      buffer.assign(length, '?');
      const int code = body->read(buffer.data(), static_cast<std::int64_t>(length),
                                  static_cast<std::int64_t>(offset));
      auto expected = offset < model.size() ? model.substr(offset, length) : std::string{};
      CHECK(code == (expected.size() == length ? SQLITE_OK : SQLITE_IOERR_SHORT_READ));
      expected.resize(length, '\0');
      REQUIRE(buffer == expected);
    }
    REQUIRE(body->size() == static_cast<std::int64_t>(model.size()));
  }
  ::close(fd);
  CHECK(bytes_of(dir.file("base")) == base);
}
