// Files as they are found: new, missing, damaged, read only, locked by another process.
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

using namespace based;
using namespace based::test;

namespace {

struct Files : Fixture {
  void start(const std::function<void(SqliteOptions&)>& change = [](SqliteOptions&) {}) {
    auto made = options();
    change(made);
    open(made);
    one = client();
  }
  static int outside(const std::string& path, const std::string& sql) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    const int code = sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr);
    sqlite3_close(db);
    return code;
  }
  std::unique_ptr<Client> one;
};

// A process of its own that holds the file's write lock until it is told to end.
class Locker {
 public:
  explicit Locker(const std::string& path, const std::string& begin = "BEGIN IMMEDIATE") {
    int up[2];
    int down[2];
    REQUIRE(::pipe(up) == 0);
    REQUIRE(::pipe(down) == 0);
    child_ = ::fork();
    if (child_ == 0) {
      sqlite3* db = nullptr;
      char byte = 'x';
      bool fine = sqlite3_open(path.c_str(), &db) == SQLITE_OK &&
                  sqlite3_exec(db, begin.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
      fine = fine && ::write(up[1], &byte, 1) == 1 && ::read(down[0], &byte, 1) == 1 &&
             sqlite3_exec(db, "COMMIT", nullptr, nullptr, nullptr) == SQLITE_OK;
      sqlite3_close(db);
      ::_exit(fine ? 0 : 1);
    }
    char byte = 0;
    REQUIRE(::read(up[0], &byte, 1) == 1);
    ::close(up[0]);
    ::close(up[1]);
    ::close(down[0]);
    go_ = down[1];
  }
  void release() {
    if (child_ <= 0) return;
    CHECK(::write(go_, "x", 1) == 1);
    ::close(go_);
    int status = 0;
    ::waitpid(child_, &status, 0);
    CHECK(status == 0);
    child_ = 0;
  }
  ~Locker() { release(); }

 private:
  pid_t child_ = 0;
  int go_ = -1;
};

}  // namespace

TEST_CASE_FIXTURE(Files,
                  "a file that we create uses the write-ahead log, a found one keeps its mode") {
  start();
  CHECK(one->sql("PRAGMA journal_mode").value() == "'wal'");
  CHECK(one->sql("PRAGMA synchronous").value() == "2");
  CHECK(one->sql("PRAGMA foreign_keys").value() == "1");
  one.reset();
  shut_down();
  REQUIRE(outside(dir.file("found.db"), "PRAGMA journal_mode=persist; CREATE TABLE t(v)") == 0);
  start([this](auto& made) { made.path = dir.file("found.db"); });
  CHECK(one->sql("PRAGMA journal_mode").value() == "'delete'");
  one.reset();
  shut_down();
  start([this](auto& made) {
    made.path = dir.file("found.db");
    made.journal_mode = SqliteJournalMode::wal;
  });
  CHECK(one->sql("PRAGMA journal_mode").value() == "'wal'");
}

TEST_CASE_FIXTURE(Files, "the daemon starts without its file, says why, and works once it can") {
  start([this](auto& made) { made.path = dir.file("none/main.db"); });
  auto& reply = one->sql("SELECT 1");
  CHECK(reply.code() == "58P01");
  CHECK(reply.message().find("cannot open the database ") == 0);
  CHECK(reply.detail() == "there is no directory " + dir.file("none"));
  CHECK(reply.outcome.phase == UnitPhase::queue);
  CHECK(log.text().find("cannot open the database") != std::string::npos);
  std::filesystem::create_directory(dir.file("none"));
  CHECK(one->sql("SELECT 1").ok());
}

TEST_CASE_FIXTURE(Files, "what is no database, or a damaged one, is XX001 and stays untouched") {
  {
    std::ofstream file{dir.file("main.db")};
    file << std::string(8192, 'x');
  }
  const auto before = bytes_of(dir.file("main.db"));
  start();
  auto& reply = one->sql("SELECT 1");
  CHECK(reply.code() == "XX001");
  CHECK(reply.outcome.error->native_name == "SQLITE_NOTADB");
  CHECK(bytes_of(dir.file("main.db")) == before);
  REQUIRE(
      outside(dir.file("damaged.db"),
              "CREATE TABLE t(v); WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n "
              "WHERE i<2000) INSERT INTO t SELECT 'row ' || i FROM n") == 0);
  {
    std::fstream file{dir.file("damaged.db"), std::ios::in | std::ios::out | std::ios::binary};
    file.seekp(4096);
    file << std::string(8192, '\x7f');
  }
  one.reset();
  database.reset();
  start([this](auto& made) { made.path = dir.file("damaged.db"); });
  auto& damaged = one->sql("SELECT count(*), max(v) FROM t");
  CHECK(damaged.code() == "XX001");
  CHECK(damaged.outcome.error->native_name.find("SQLITE_CORRUPT") == 0);
  CHECK(one->sql("SELECT 1").ok());
}

TEST_CASE_FIXTURE(Files, "a directory is no database") {
  std::filesystem::create_directory(dir.file("main.db"));
  start();
  CHECK(one->sql("SELECT 1").code() == "58P01");
}

TEST_CASE_FIXTURE(Files, "a database that is only read answers writes with 25006") {
  REQUIRE(outside(dir.file("main.db"), "CREATE TABLE t(v); INSERT INTO t VALUES(1)") == 0);
  start([](auto& made) { made.read_only = true; });
  CHECK(one->sql("SELECT count(*) FROM t").value() == "1");
  CHECK(one->sql("INSERT INTO t VALUES(2)").code() == "25006");
  CHECK(one->control("BEGIN IMMEDIATE").ok());
  CHECK(one->sql("SELECT count(*) FROM t").value() == "1");
  CHECK(one->sql("INSERT INTO t VALUES(2)").code() == "25006");
  CHECK(one->control("ROLLBACK").ok());
}

// The module of such a table asks for pragmas while the first statement of a handle is compiled.
TEST_CASE_FIXTURE(Files, "a read-only session does not write to a virtual table either") {
  outside(dir.file("main.db"), "CREATE VIRTUAL TABLE docs USING fts5(body)");
  start();
  SessionOptions read_only;
  read_only.read_only = true;
  const auto reader = client(read_only);
  for (int i = 0; i < 2; ++i) {
    CHECK(reader->sql("INSERT INTO docs VALUES('mine')").code() == "25006");
  }
  CHECK(one->sql("SELECT count(*) FROM docs").value() == "0");
}

TEST_CASE_FIXTURE(Files, "a pragma is allowed also where another process has changed the schema") {
  start();
  for (const char* pragma :
       {"PRAGMA optimize", "PRAGMA incremental_vacuum", "PRAGMA user_version = 7"}) {
    CAPTURE(pragma);
    REQUIRE(one->sql("CREATE TABLE x(a)").ok());
    CHECK(outside(dir.file("main.db"), "DROP TABLE x") == SQLITE_OK);
    CHECK(one->sql(pragma).ok());
  }
  CHECK(one->sql("PRAGMA user_version").value() == "7");
}

TEST_CASE_FIXTURE(Files, "init SQL runs at each opening, and its error is every unit's") {
  start([](auto& made) {
    made.init_sql = {"CREATE TABLE IF NOT EXISTS t(v)", "PRAGMA cache_size=7"};
  });
  CHECK(one->sql("SELECT count(*) FROM t").value() == "0");
  CHECK(one->sql("PRAGMA cache_size").value() == "7");
  one.reset();
  shut_down();
  start([](auto& made) { made.init_sql = {"CREATE NONSENSE"}; });
  auto& reply = one->sql("SELECT 1");
  CHECK(reply.code() == "42601");
  CHECK(reply.detail() == "in the configured init SQL");
}

TEST_CASE_FIXTURE(Files,
                  "another process's lock is waited for, then 55P03 that may be tried again") {
  start([](auto& made) { made.busy_timeout = std::chrono::milliseconds(100); });
  REQUIRE(one->sql("CREATE TABLE t(v)").ok());
  Locker locker{dir.file("main.db")};
  auto& reply = one->sql("INSERT INTO t VALUES(1)");
  CHECK(reply.code() == "55P03");
  CHECK(reply.outcome.error->retryable);
  CHECK(reply.detail() == "another process holds a lock on the database file");
  CHECK(one->sql("SELECT count(*) FROM t").ok());
  CHECK(one->control("BEGIN IMMEDIATE").code() == "55P03");
  CHECK_FALSE(one->reply.outcome.lease_held);
  locker.release();
  CHECK(one->sql("INSERT INTO t VALUES(1)").ok());
}

TEST_CASE_FIXTURE(Files,
                  "a lock that is given up in time is nobody's error; cancel ends the wait") {
  start([](auto& made) { made.busy_timeout = std::chrono::seconds(15); });
  REQUIRE(one->sql("CREATE TABLE t(v)").ok());
  Locker locker{dir.file("main.db")};
  one->begin_unit(Client::unit_of("INSERT INTO t VALUES(1)"));
  reactor.run_for(std::chrono::milliseconds(50));
  CHECK_FALSE(one->done);
  one->session().cancel("enough");
  CHECK(one->finish().code() == "57014");
  one->begin_unit(Client::unit_of("INSERT INTO t VALUES(2)"));
  reactor.run_for(std::chrono::milliseconds(30));
  locker.release();
  CHECK(one->finish().ok());
  auto unit = Client::unit_of("INSERT INTO t VALUES(3)");
  Locker again{dir.file("main.db")};
  unit.queue_deadline = Clock::now() + std::chrono::milliseconds(80);
  CHECK(one->run(std::move(unit)).code() == "55P03");
}

TEST_CASE_FIXTURE(Files, "the log is written back when it has grown, and emptied when idle") {
  start([](auto& made) {
    made.checkpoint_pages = 50;
    made.truncate_log_after = std::chrono::milliseconds(50);
  });
  REQUIRE(one->sql("CREATE TABLE t(v)").ok());
  for (int i = 0; i < 200; ++i) {
    REQUIRE(one->sql("INSERT INTO t VALUES(randomblob(4000))").ok());
  }
  // 400 pages were written; the log never holds many more than the limit.
  CHECK(std::filesystem::file_size(dir.file("main.db-wal")) < 80 * 4200);
  CHECK(std::filesystem::file_size(dir.file("main.db")) > 100 * 4096);
  CHECK(
      reactor.run_until([this] { return std::filesystem::file_size(dir.file("main.db-wal")) == 0; },
                        std::chrono::seconds(5)));
}

TEST_CASE_FIXTURE(Files, "a database in memory lives as long as the Database") {
  start([](auto& made) {
    made.path.clear();
    made.force_rollback = false;
  });
  CHECK(one->sql("CREATE TABLE t(v)").ok());
  one = client();
  CHECK(one->sql("SELECT count(*) FROM t").ok());
  CHECK(dir.names().empty());
  CHECK(database->status().lanes.front().path == ":memory:");
}

TEST_CASE_FIXTURE(Files, "impossible options are refused before anything is opened") {
  const auto refused = [this](const std::function<void(SqliteOptions&)>& change) {
    auto made = options();
    change(made);
    auto opened = open_sqlite(made, reactor, log);
    return !opened.ok() && opened.error().sqlstate.text() == "22023";
  };
  CHECK(refused([](auto& made) { made.name.clear(); }));
  CHECK(refused([](auto& made) { made.path += std::string(1, '\0'); }));
  CHECK(refused([](auto& made) { made.read_only = made.force_rollback = true; }));
  CHECK(refused([](auto& made) { made.waiting_max = 0; }));
  CHECK(refused([](auto& made) { made.idle_in_transaction = Duration{}; }));
  CHECK(dir.names().empty());
}

TEST_CASE_FIXTURE(
    Files, "after an I/O error the handle is opened afresh, and what was committed is there") {
  std::string kind;
  SUBCASE("in autocommit") { kind = "autocommit"; }
  SUBCASE("in a transaction") { kind = "transaction"; }
  SUBCASE("in a sandbox") { kind = "sandbox"; }
  SUBCASE("in a sandbox in memory") { kind = "memory"; }
  CAPTURE(kind);
  start([&](auto& made) {
    made.force_rollback = kind == "sandbox" || kind == "memory";
    made.overlay_memory_bytes = 0;
    if (kind == "memory") made.path.clear();
  });
  REQUIRE(one->sql("CREATE TABLE t(v)").ok());
  REQUIRE(one->sql("INSERT INTO t VALUES('kept')").ok());
  for (int i = 0; i < 10; ++i) one->sql("SELECT " + std::to_string(i));
  const auto cached = [this] { return database->status().lanes.front().statements_cached; };
  CHECK(cached() > 10);
  // No file of this process grows beyond 300 kB: writes fail with EFBIG.
  struct rlimit before {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  struct rlimit small = before;
  small.rlim_cur = 300'000;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  if (kind == "transaction") one->control("BEGIN IMMEDIATE");
  Reply reply;
  for (int i = 0; i < 100; ++i) {
    reply = one->sql("INSERT INTO t VALUES(hex(zeroblob(20000)))");
    if (!reply.ok()) break;
  }
  if (kind == "transaction" && reply.ok()) reply = one->control("COMMIT");
  CHECK(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  CHECK(reply.code() == "58030");
  CHECK(reply.outcome.error->native_name.find("SQLITE_IOERR") == 0);
  CHECK(reply.outcome.transaction ==
        (kind == "transaction" ? TransactionStatus::lost : TransactionStatus::idle));
  CHECK_FALSE(reply.outcome.lease_held);
  CHECK(one->sql("SELECT count(*) FROM t WHERE v = 'kept'").value() == "1");
  CHECK(cached() == 1);  // of a new handle
  CHECK(one->sql("INSERT INTO t VALUES('after')").ok());
  CHECK(one->sql("PRAGMA integrity_check").value() == "'ok'");
}
