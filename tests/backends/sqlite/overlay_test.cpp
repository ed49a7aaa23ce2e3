// The overlay as a database: everything works in it, and the files stay as they were.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <thread>
#include <vector>

#include "overlay_fixture.h"

using namespace based;
using namespace based::test;
using sqlite::Overlay;
using sqlite::OverlayBase;

namespace {

constexpr auto look = "PRAGMA integrity_check; SELECT count(*), sum(id), min(v), max(v) FROM t";

// One statement, or a few, that the same dice make the same.
std::string statement_of(Dice& dice) {
  const auto n = std::to_string(dice.below(6000));
  const auto m = std::to_string(dice.below(400));
  switch (dice.below(24)) {
    case 0:
      return "BEGIN";
    case 1:
      return "COMMIT";
    case 2:
      return "ROLLBACK";
    case 3:
      return "SAVEPOINT s" + std::to_string(dice.below(3));
    case 4:
      return "ROLLBACK TO s" + std::to_string(dice.below(3));
    case 5:
      return "RELEASE s" + std::to_string(dice.below(3));
    case 6:
      return "CREATE TABLE IF NOT EXISTS x" + std::to_string(dice.below(4)) + "(a, b)";
    case 7:
      return "DROP TABLE IF EXISTS x" + std::to_string(dice.below(4));
    case 8:
      return "CREATE INDEX IF NOT EXISTS i ON t(length(v), v)";
    case 9:
      return "DROP INDEX IF EXISTS i";
    case 10:
      return "VACUUM";
    case 11:
      return "PRAGMA user_version=" + n + "; PRAGMA user_version";
    case 12:
      return "INSERT OR ROLLBACK INTO t(id, v) VALUES(" + n + ", 'x" + m + "')";
    case 13:
      return "DELETE FROM t WHERE id BETWEEN " + n + " AND " + n + " + " + m;
    case 14:
      return "INSERT INTO x" + std::to_string(dice.below(4)) + " VALUES(" + n +
             ", zeroblob(100000 + " + n + "))";
    case 15:
      return "PRAGMA incremental_vacuum(20)";
    case 16:
      return "PRAGMA wal_checkpoint(TRUNCATE)";
    case 17: {
      static constexpr std::array modes = {"delete", "wal", "truncate", "persist", "memory"};
      return std::string{"PRAGMA journal_mode="} + modes[dice.below(modes.size())];
    }
    case 18:
      return "PRAGMA page_size=" + std::to_string(512U << dice.below(8)) +
             "; PRAGMA auto_vacuum=" + std::to_string(dice.below(3));
    default:
      return "INSERT OR REPLACE INTO t(id, v) SELECT id + " + m + ", v || 'y' FROM t WHERE id > " +
             n + " LIMIT " + m + "; UPDATE t SET v = v || '" + n + "' WHERE id = " + n +
             "; SELECT count(*), sum(length(v)) FROM t";
  }
}

// The same program in the overlay and in a plain file, marks and resets as copies of the file.
struct Twins : Layers {
  void start_both(sqlite::OverlayStore::Limits limits) {
    std::filesystem::copy(base(), dir.file("origin.copy"));
    std::filesystem::copy(base(), plain_path());
    start(limits);
    open_plain();
  }
  void open_plain() {
    plain = std::make_unique<Db>(plain_path());
    plain->run("PRAGMA synchronous=OFF");  // the disk is not what is compared
  }
  std::string plain_path() const { return dir.file("plain.db"); }
  bool step(const std::string& sql) {
    const auto ours = run(sql);
    const auto theirs = plain->run(sql);
    CAPTURE(sql);
    CHECK(ours == theirs);
    CHECK(db->code() == plain->code());
    return ours == theirs;
  }
  void end_transactions() {
    run("ROLLBACK");
    plain->run("ROLLBACK");
  }
  void mark_both(const std::string& name) {
    end_transactions();
    mark(name);
    plain.reset();
    std::filesystem::copy(plain_path(), dir.file(name + ".copy"),
                          std::filesystem::copy_options::overwrite_existing);
    open_plain();
    // A handle that is opened anew forgets what was set for the next VACUUM.
    close();
    reopen();
  }
  void reset_both(const std::string& name) {
    end_transactions();
    name == "origin" ? reset() : reset_to(name);
    plain.reset();
    std::filesystem::copy(dir.file(name + ".copy"), plain_path(),
                          std::filesystem::copy_options::overwrite_existing);
    open_plain();
  }
  std::unique_ptr<Db> plain;
};

void random_program(Twins& twins, std::uint64_t seed) {
  Dice dice{seed};
  std::vector<std::string> marks;
  for (int i = 0; i < 260; ++i) {
    if (!twins.step(statement_of(dice))) return;
    const auto luck = dice.below(60);
    if (luck < 3) {
      marks.push_back("m" + std::to_string(i));
      twins.mark_both(marks.back());
    } else if (luck < 5 && !marks.empty()) {
      marks.resize(dice.below(marks.size()) + 1);
      twins.reset_both(marks.back());
    } else if (luck == 5) {
      marks.clear();
      twins.reset_both("origin");
    }
    if (luck < 8 && !twins.step(look)) return;
  }
}

}  // namespace

TEST_CASE_FIXTURE(Twins, "random programs answer in an overlay what they answer in a plain file") {
  std::string mode;
  std::string before;
  sqlite::OverlayStore::Limits limits;
  std::uint64_t seed = 0;
  SUBCASE("a rollback journal") { mode = "delete"; }
  SUBCASE("a write-ahead log") { mode = "wal"; }
  SUBCASE("small pages, all of them spilled") {
    mode = "delete";
    before = "PRAGMA page_size=512; PRAGMA auto_vacuum=2";
    limits.memory_bytes_max = 0;
    seed = 100;
  }
  SUBCASE("big pages, some of them spilled") {
    mode = "wal";
    before = "PRAGMA page_size=65536";
    limits.memory_bytes_max = 300'000;
    seed = 200;
  }
  make_base(mode, "base.db", before);
  const auto bytes = bytes_of(base());
  start_both(limits);
  for (const auto end = seed + 3; seed < end; ++seed) {
    CAPTURE(seed);
    random_program(*this, seed);
    reset_both("origin");
    if (seed % 2 == 0) overlay->trim();
    step(look);
    CHECK(overlay->changed_bytes() == 0);
  }
  close();
  plain.reset();
  CHECK((bytes_of(base()) == bytes));
}

TEST_CASE_FIXTURE(Layers, "whatever is done, nothing is written to the base or beside it") {
  std::string mode;
  SUBCASE("a rollback journal") { mode = "delete"; }
  SUBCASE("a write-ahead log") { mode = "wal"; }
  make_base(mode);
  const auto before = bytes_of(base());
  start();
  CHECK(count() == "5000");
  run("BEGIN; UPDATE t SET v = v || '!'; COMMIT; BEGIN; DELETE FROM t; ROLLBACK");
  CHECK(run("BEGIN; INSERT OR ROLLBACK INTO t(v) VALUES('x'),('x')").starts_with("error: "));
  CHECK(sqlite3_get_autocommit(db->get()) == 1);
  sqlite3_progress_handler(
      db->get(), 100'000, [](void*) -> int { return 1; }, nullptr);
  run("INSERT INTO t(v) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) "
      "SELECT i FROM n");
  CHECK(db->code() == SQLITE_INTERRUPT);
  sqlite3_progress_handler(db->get(), 0, nullptr, nullptr);
  CHECK(count() == "5000");
  CHECK(run("CREATE TABLE big(b); INSERT INTO big VALUES(randomblob(20000000)); "
            "SELECT length(b), length(hex(b)) FROM big") == "20000000|40000000");
  CHECK(run("PRAGMA page_size=1024; PRAGMA journal_mode=delete; VACUUM; PRAGMA page_size") ==
        "delete\n1024");
  CHECK(run("CREATE TEMP TABLE temporary AS SELECT * FROM t; SELECT count(*) FROM temporary") ==
        "5000");
  CHECK(run("PRAGMA integrity_check") == "ok");
  CHECK(overlay->changed_pages() > 4800);
  CHECK(overlay->changed_bytes() > 20'000'000);
  CHECK(dir.names() == std::vector<std::string>{"base.db"});
  reset();
  CHECK(overlay->changed_bytes() == 0);
  CHECK(run("SELECT count(*), max(v) FROM t") == "5000|row 999");
  close();
  overlay.reset();
  CHECK((bytes_of(base()) == before));
  CHECK(dir.names() == std::vector<std::string>{"base.db"});
}

TEST_CASE_FIXTURE(Layers, "the journal mode that is answered is the one in force") {
  make_base("delete");
  std::string locking;
  std::string wal;
  SUBCASE("an exclusive handle may have a write-ahead log") { locking = "EXCLUSIVE", wal = "wal"; }
  SUBCASE("any other may not: there is no shared memory") { locking = "NORMAL", wal = "delete"; }
  start();
  close();
  db = std::make_unique<Db>(overlay->path(), overlay->vfs_name(), locking);
  for (const std::string mode : {"truncate", "persist", "memory", "off", "delete", "wal"}) {
    const auto expected = mode == "wal" ? wal : mode;
    CHECK(run("PRAGMA journal_mode=" + mode) == expected);
    CHECK(run("PRAGMA journal_mode") == expected);
    CHECK(run("INSERT INTO t(v) VALUES('in " + mode + "'); PRAGMA journal_mode") == expected);
  }
  CHECK(run("PRAGMA mmap_size=1000000").empty());
  CHECK(count() == "5006");
}

TEST_CASE_FIXTURE(Layers, "a database that outgrows its limit is full, and works on") {
  make_base("delete");
  start({.memory_bytes_max = 200'000, .bytes_max = 2'000'000});
  CHECK(run("INSERT INTO t(v) VALUES('kept')").empty());
  run("CREATE TABLE big AS SELECT randomblob(3000000) AS b");
  CHECK(db->code() == SQLITE_FULL);
  CHECK(run("SELECT v FROM t WHERE id = 5001") == "kept");
  CHECK(run("SELECT count(*) FROM sqlite_schema WHERE name = 'big'") == "0");
  CHECK(run("INSERT INTO t(v) VALUES(randomblob(400000))").empty());
  CHECK(overlay->spilled_bytes() > 0);
  CHECK(overlay->changed_bytes() <= 2'000'000);
  CHECK(run("PRAGMA integrity_check") == "ok");
}

TEST_CASE_FIXTURE(Layers, "a missing file starts empty and is not made") {
  std::string path = base();
  SUBCASE("in a directory that is there") {}
  SUBCASE("in a directory that is not") { path = dir.file("none/base.db"); }
  auto opened = Overlay::open(path, options());
  REQUIRE(opened.ok());
  overlay = std::move(opened).value();
  // However often somebody asks for what is not there.
  for (std::size_t i = 0; i < 2 * Overlay::files_max; ++i) {
    const auto name = i == 0 ? overlay->path() : dir.file("missing" + std::to_string(i));
    Db reader{name, overlay->vfs_name(), "NORMAL", SQLITE_OPEN_READONLY};
    CHECK(reader.opened() == SQLITE_CANTOPEN);
  }
  reopen();
  CHECK(run("CREATE TABLE t(v); INSERT INTO t VALUES(1); SELECT * FROM t") == "1");
  reset();
  CHECK(run("SELECT count(*) FROM sqlite_schema") == "0");
  close();
  CHECK(overlay->reset().ok());
  {
    Db reader{overlay->path(), overlay->vfs_name(), "NORMAL", SQLITE_OPEN_READONLY};
    CHECK(reader.opened() == SQLITE_CANTOPEN);
  }
  CHECK(dir.names().empty());
}

TEST_CASE_FIXTURE(Layers, "what is no file or no place for one is said at open") {
  std::filesystem::create_directory(dir.file("folder"));
  CHECK(code_of(Overlay::open(dir.file("folder"), options())) == "58P01");
  make_base("delete");
  CHECK(code_of(Overlay::open(base(), {.temp_dir = dir.file("none")})) == "58P01");
  Db writer{base(), nullptr, "NORMAL"};
  writer.run("BEGIN EXCLUSIVE");
  CHECK(code_of(Overlay::open(base(), options())) == "55P03");
  writer.run("ROLLBACK");
  CHECK(code_of(Overlay::open(base(), options())) == "ok");
}

TEST_CASE_FIXTURE(Layers, "another program waits while a base is held, and may go on afterwards") {
  SUBCASE("with a rollback journal its commit does") {
    make_base("delete");
    start();
    const auto before = bytes_of(base());
    Db writer{base(), nullptr, "NORMAL"};
    writer.run("BEGIN; UPDATE t SET v = v || ' outside'");
    CHECK(dir.names() == std::vector<std::string>{"base.db", "base.db-journal"});
    // Its journal is nothing to the overlay, also when it makes one itself.
    close();
    reopen();
    CHECK(run("UPDATE t SET v = v || ' inside' WHERE id = 1; SELECT v FROM t WHERE id < 3") ==
          "row 1 inside\nrow 2");
    CHECK(overlay->changed_pages() > 0);
    writer.run("COMMIT");
    CHECK(writer.code() == SQLITE_BUSY);
    writer.run("ROLLBACK");
    CHECK((bytes_of(base()) == before));
    close();
    overlay.reset();
    writer.run("INSERT INTO t(v) VALUES('outside')");
    CHECK(writer.code() == SQLITE_OK);
  }
  SUBCASE("one that has begun to write does not show") {
    make_base("delete");
    Db writer{base(), nullptr, "NORMAL"};
    writer.run("BEGIN; DELETE FROM t");
    start();
    CHECK(count() == "5000");
    CHECK(run("PRAGMA integrity_check") == "ok");
    run("UPDATE t SET v = v || ' inside'");
    writer.run("COMMIT");
    CHECK(writer.code() == SQLITE_BUSY);
    reset();
    CHECK(run("SELECT count(*), max(v) FROM t") == "5000|row 999");
    close();
    overlay.reset();
    writer.run("COMMIT");
    CHECK(writer.code() == SQLITE_OK);
  }
  SUBCASE("with a write-ahead log its checkpoint does, and the log is seen as it was") {
    make_base("wal");
    Db writer{base(), nullptr, "NORMAL"};
    writer.run("PRAGMA wal_autocheckpoint=0; INSERT INTO t(v) VALUES('in the log')");
    const auto before = bytes_of(base());
    const auto log = bytes_of(base() + "-wal");
    start();
    CHECK(count() == "5001");
    writer.run("INSERT INTO t(v) VALUES('outside')");
    CHECK(writer.code() == SQLITE_OK);
    writer.run("PRAGMA wal_checkpoint(TRUNCATE)");
    CHECK(overlay->verify_base().ok());
    CHECK((bytes_of(base()) == before));
    CHECK(bytes_of(base() + "-wal").starts_with(log));
    CHECK(run("DELETE FROM t; SELECT count(*) FROM t") == "0");
    reset();
    CHECK(count() == "5001");
    CHECK(run("PRAGMA integrity_check") == "ok");
    close();
    overlay.reset();
    CHECK(writer.run("PRAGMA wal_checkpoint(TRUNCATE)") == "0|0|0");
  }
}

TEST_CASE_FIXTURE(Layers, "a base that another program has changed is noticed") {
  make_base("delete");
  make_base("delete", "other.db");
  start();
  std::string path = base();
  off_t offset = 60;
  bool keeps_time = false;
  SUBCASE("by its time") {}
  SUBCASE("by SQLite's change counter, where the time is the same") {
    offset = 27;
    keeps_time = true;
  }
  SUBCASE("also an attached one") {
    path = dir.file("other.db");
    CHECK(run("ATTACH '" + path + "' AS other; SELECT count(*) FROM other.t") == "5000");
  }
  REQUIRE(overlay->verify_base().ok());
  struct stat before {};
  REQUIRE(::stat(path.c_str(), &before) == 0);
  const int fd = ::open(path.c_str(), O_WRONLY);
  REQUIRE(::pwrite(fd, "x", 1, offset) == 1);
  const struct timespec times[2] = {
      {.tv_sec = 0, .tv_nsec = UTIME_OMIT},
      keeps_time ? before.st_mtim : timespec{.tv_sec = before.st_mtim.tv_sec + 5, .tv_nsec = 0}};
  REQUIRE(::futimens(fd, times) == 0);
  ::close(fd);
  CHECK(code_of(overlay->verify_base()) == "55000");
  close();
  CHECK(code_of(overlay->reset()) == "55000");
}

TEST_CASE_FIXTURE(Layers, "overlays over one base do not see each other, each on its own thread") {
  make_base("wal");
  const auto before = bytes_of(base());
  {
    auto opened = OverlayBase::open(base(), dir.path(), {});
    REQUIRE(opened.ok());
    const auto shared = std::move(opened).value();
    std::vector<std::string> seen(4);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      threads.emplace_back([&, i] {
        auto made = Overlay::open(shared, options({.memory_bytes_max = 100'000}));
        auto mine = std::move(made).value();
        const auto n = std::to_string(i);
        for (int round = 0; round < 5; ++round) {
          {
            Db handle{mine->path(), mine->vfs_name()};
            handle.run("UPDATE t SET v = v || '-" + n + "'; DELETE FROM t WHERE id <= " + n);
            seen[i] = handle.run("SELECT count(*), max(v) FROM t; PRAGMA integrity_check");
          }
          if (!mine->verify_base().ok() || !mine->reset().ok()) seen[i] = "failed";
        }
      });
    }
    for (auto& thread : threads) thread.join();
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const auto n = std::to_string(i);
      CHECK(seen[i] == std::to_string(5000 - i) + "|row 999-" + n + "\nok");
    }
  }
  CHECK((bytes_of(base()) == before));
  CHECK(dir.names() == std::vector<std::string>{"base.db"});
}

TEST_CASE_FIXTURE(Layers,
                  "kill -9 in the middle of writing leaves the base and no file beside it") {
  std::string mode;
  SUBCASE("a rollback journal") { mode = "delete"; }
  SUBCASE("a write-ahead log") { mode = "wal"; }
  make_base(mode);
  const auto before = bytes_of(base());
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    [&]() noexcept {
      start({.memory_bytes_max = 100'000});
      Dice dice{3};
      for (int i = 0;; ++i) {
        run(statement_of(dice));
        if (i % 50 == 10) {
          run("ROLLBACK");
          reset();
        }
        if (i == 60 && ::write(ready[1], "x", 1) != 1) ::_exit(1);
      }
    }();
  }
  ::close(ready[1]);
  char byte = 0;
  const auto told = ::read(ready[0], &byte, 1);
  ::close(ready[0]);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(told == 1);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGKILL);
  CHECK((bytes_of(base()) == before));
  CHECK(dir.names() == std::vector<std::string>{"base.db"});
}
