// The overlay's marks, resets and attached files, and what it makes of others' journals.
#include <vector>

#include "overlay_fixture.h"

using namespace based;
using namespace based::test;
using sqlite::Overlay;

TEST_CASE_FIXTURE(Layers, "a reset goes back to the mark that it names, and forgets later ones") {
  std::string mode;
  SUBCASE("a rollback journal") { mode = "delete"; }
  SUBCASE("a write-ahead log") { mode = "wal"; }
  make_base(mode);
  start();
  run("DELETE FROM t WHERE id > 4000");
  mark("four");
  run("DELETE FROM t WHERE id > 3000");
  mark("three");
  run("DELETE FROM t WHERE id > 2000");
  CHECK(count() == "2000");
  reset_to("three");
  CHECK(count() == "3000");
  run("DELETE FROM t");
  reset_to("three");
  CHECK(count() == "3000");
  reset_to("four");
  CHECK(count() == "4000");
  CHECK(run("PRAGMA integrity_check") == "ok");
  close();
  CHECK(code_of(overlay->reset_to("three")) == "3B001");
  CHECK(code_of(overlay->reset()) == "ok");
  CHECK(code_of(overlay->reset_to("four")) == "3B001");
  CHECK(overlay->changed_bytes() == 0);
  reopen();
  CHECK(count() == "5000");
}

TEST_CASE_FIXTURE(Layers,
                  "a mark of the same name moves, and marks that are dropped cost nothing") {
  make_base("delete");
  start();
  mark("a");
  run("DELETE FROM t WHERE id > 100");
  mark("b");
  mark("a");
  run("UPDATE t SET v = v || ' changed'");
  const auto with_marks = overlay->changed_bytes();
  reset_to("a");
  CHECK(count() == "100");
  CHECK(run("SELECT max(v) FROM t") == "row 99");
  CHECK(overlay->changed_bytes() < with_marks);
  reset_to("b");
  CHECK(count() == "100");
  overlay->drop_marks();
  CHECK(count() == "100");
  run("DELETE FROM t WHERE id = 100");
  close();  // and its journal is gone
  CHECK(overlay->changed_bytes() / 4096 == static_cast<std::int64_t>(overlay->changed_pages()));
  CHECK(code_of(overlay->reset_to("b")) == "3B001");
  CHECK(code_of(overlay->reset()) == "ok");
}

TEST_CASE_FIXTURE(Layers, "two states with the same counters are not taken for each other") {
  make_base("delete");
  start();
  mark("start");
  // The same change counter, the same version of the schema, tables on the same pages.
  CHECK(run("CREATE TABLE one(a); INSERT INTO one VALUES('of one'); SELECT a FROM one") ==
        "of one");
  const auto versions = run("PRAGMA schema_version");
  reset_to("start");
  CHECK(run("CREATE TABLE two(b); INSERT INTO two VALUES('of two'); SELECT b FROM two") ==
        "of two");
  CHECK(run("PRAGMA schema_version") == versions);
  CHECK(run("SELECT a FROM one").starts_with("error: no such table"));
  CHECK(run("PRAGMA integrity_check") == "ok");
}

TEST_CASE_FIXTURE(Layers,
                  "a mark is refused inside a transaction that has written, and only there") {
  make_base("delete");
  start();
  sqlite3_stmt* reading = nullptr;
  REQUIRE(sqlite3_prepare_v2(db->get(), "SELECT * FROM t", -1, &reading, nullptr) == SQLITE_OK);
  REQUIRE(sqlite3_step(reading) == SQLITE_ROW);
  CHECK(code_of(overlay->mark(db->get(), "while reading")) == "ok");
  sqlite3_finalize(reading);
  run("BEGIN");
  CHECK(code_of(overlay->mark(db->get(), "begun")) == "ok");
  run("DELETE FROM t");
  CHECK(code_of(overlay->mark(db->get(), "written")) == "25001");
  run("ROLLBACK");
  CHECK(code_of(overlay->mark(db->get(), "")) == "22023");
  CHECK(code_of(overlay->mark(db->get(), std::string(63, 'n'))) == "ok");
  CHECK(code_of(overlay->mark(db->get(), std::string(64, 'n'))) == "22023");
  close();
  CHECK(code_of(overlay->reset_to("written")) == "3B001");
  CHECK(code_of(overlay->mark(nullptr, "without a handle")) == "ok");
}

TEST_CASE_FIXTURE(Layers, "there are not more marks than allowed") {
  make_base("delete");
  start();
  for (std::size_t i = 0; i < Overlay::marks_max; ++i) mark("m" + std::to_string(i));
  CHECK(code_of(overlay->mark(db->get(), "one more")) == "54000");
  CHECK(code_of(overlay->mark(db->get(), "m0")) == "ok");
  close();
  CHECK(code_of(overlay->reset_to("m1")) == "ok");
  CHECK(code_of(overlay->mark(nullptr, "one more")) == "ok");
}

TEST_CASE_FIXTURE(Layers, "a reset under an open handle is refused and changes nothing") {
  make_base("delete");
  start();
  mark("here");
  sqlite3_stmt* open = nullptr;
  REQUIRE(sqlite3_prepare_v2(db->get(), "SELECT id FROM t ORDER BY id", -1, &open, nullptr) ==
          SQLITE_OK);
  REQUIRE(sqlite3_step(open) == SQLITE_ROW);
  run("INSERT INTO t(v) VALUES('new')");
  CHECK(code_of(overlay->reset()) == "55006");
  CHECK(code_of(overlay->reset_to("here")) == "55006");
  int rows = 1;
  while (sqlite3_step(open) == SQLITE_ROW) ++rows;
  CHECK(rows == 5001);
  sqlite3_finalize(open);
  CHECK(count() == "5001");
  CHECK(code_of(overlay->reset()) == "55006");
  reset_to("here");
  CHECK(count() == "5000");
}

TEST_CASE_FIXTURE(Layers, "an attached file is an overlay of its own and goes back with the rest") {
  std::string mode;
  SUBCASE("a rollback journal") { mode = "delete"; }
  SUBCASE("a write-ahead log") { mode = "wal"; }
  make_base(mode);
  make_base(mode, "other.db");
  const auto names = dir.names();
  const auto before = bytes_of(dir.file("other.db"));
  start();
  const auto attach = "ATTACH '" + dir.file("other.db") + "' AS other; ATTACH '" +
                      dir.file("new.db") + "' AS made;";
  const std::string counts =
      "SELECT (SELECT count(*) FROM main.t), (SELECT count(*) FROM other.t), "
      "(SELECT count(*) FROM made.sqlite_schema)";
  CHECK(run(attach + counts) == "5000|5000|0");
  // All of them in one transaction, whose journal is the overlay's, too.
  CHECK(run("BEGIN; DELETE FROM main.t WHERE id > 10; DELETE FROM other.t WHERE id > 20; "
            "CREATE TABLE made.m AS SELECT * FROM main.t; COMMIT;" +
            counts) == "10|20|1");
  CHECK(run("DETACH other; DETACH made;" + attach + counts) == "10|20|1");
  mark("attached");
  CHECK(run("DELETE FROM main.t; DELETE FROM other.t; DROP TABLE made.m;" + counts) == "0|0|0");
  CHECK(run("VACUUM other; PRAGMA other.integrity_check") == "ok");
  reset_to("attached");
  CHECK(run(attach + counts) == "10|20|1");
  reset();
  CHECK(run(attach + counts) == "5000|5000|0");
  CHECK((bytes_of(dir.file("other.db")) == before));
  CHECK(dir.names() == names);
}

TEST_CASE_FIXTURE(Layers, "a file is open once, and what VACUUM INTO makes is the overlay's") {
  make_base("delete");
  start();
  run("ATTACH '" + base() + "' AS again");
  CHECK((db->code() & 0xff) == SQLITE_BUSY);
  {
    Db second{overlay->path(), overlay->vfs_name()};
    CHECK((second.opened() & 0xff) == SQLITE_BUSY);
  }
  run("DELETE FROM t WHERE id > 7");
  CHECK(run("VACUUM INTO '" + dir.file("copy.db") + "'").empty());
  CHECK(run("ATTACH '" + dir.file("copy.db") + "' AS copy; SELECT count(*) FROM copy.t") == "7");
  CHECK(dir.names() == std::vector<std::string>{"base.db"});
}

TEST_CASE_FIXTURE(Layers, "a file that another program is writing can be attached afterwards") {
  make_base("delete");
  make_base("delete", "other.db");
  start();
  Db writer{dir.file("other.db"), nullptr, "NORMAL"};
  writer.run("BEGIN EXCLUSIVE");
  const auto attach = "ATTACH '" + dir.file("other.db") + "' AS other";
  run(attach);
  CHECK(db->code() == SQLITE_BUSY);
  writer.run("ROLLBACK");
  CHECK(run(attach + "; SELECT count(*) FROM other.t") == "5000");
}

TEST_CASE_FIXTURE(Layers, "a sandbox does not take more files than allowed") {
  make_base("delete");
  start();
  int attached = 0;
  for (int i = 0; i < 200 && db->code() == SQLITE_OK; ++i) {
    run("ATTACH '" + dir.file("f" + std::to_string(i)) + "' AS f; DETACH f");
    if (db->code() == SQLITE_OK) ++attached;
  }
  CHECK((db->code() & 0xff) == SQLITE_CANTOPEN);
  CHECK(attached < static_cast<int>(Overlay::files_max));
  CHECK(attached > static_cast<int>(Overlay::files_max) / 2);
  reset();
  CHECK(run("ATTACH '" + dir.file("f199") + "' AS f").empty());
}

namespace {

// Files as a program leaves them that dies in the middle of a big transaction.
struct Crashed : Layers {
  void crash() {
    make_base("delete", "writer.db");
    Db writer{dir.file("writer.db"), nullptr, "NORMAL"};
    writer.run(
        "PRAGMA cache_size=5; PRAGMA cache_spill=1; BEGIN; "
        "UPDATE t SET v = v || ' changed and made longer'");
    std::filesystem::copy(dir.file("writer.db"), base());
    std::filesystem::copy(dir.file("writer.db-journal"), base() + "-journal");
    writer.run("ROLLBACK");
  }
  // The record that makes the journal one of several files' commit.
  void name_super_journal(const std::string& super) {
    std::string record{"\x00\x04\x00\x01", 4};  // the page with the lock bytes, of pages of 4 KiB
    record += super;
    std::uint32_t sum = 0;
    for (const char c : super) sum += static_cast<std::uint32_t>(static_cast<signed char>(c));
    for (const auto number : {static_cast<std::uint32_t>(super.size()), sum}) {
      for (int shift = 24; shift >= 0; shift -= 8) {
        record += static_cast<char>((number >> shift) & 0xff);
      }
    }
    record += "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";
    std::ofstream{base() + "-journal", std::ios::binary | std::ios::app} << record;
  }
  std::string longer() { return run("SELECT count(*) FROM t WHERE v LIKE '%longer'"); }
};

}  // namespace

TEST_CASE_FIXTURE(Crashed, "an unfinished write of a dead program is undone in the overlay only") {
  crash();
  std::string expected = "0";
  SUBCASE("of one file") {}
  SUBCASE("of several files, whose common journal is still there") {
    const auto super = base() + "-mj12345678";
    name_super_journal(super);
    std::ofstream{super, std::ios::binary} << base() << "-journal" << '\0';
  }
  SUBCASE("but not one that was finished for all files") {
    name_super_journal(base() + "-mj12345678");
    expected = "";
  }
  const auto before = bytes_of(base());
  const auto journal = bytes_of(base() + "-journal");
  const auto names = dir.names();
  start();
  const auto super_exists = [&] {
    int result = 0;
    auto* vfs = sqlite3_vfs_find(overlay->vfs_name());
    vfs->xAccess(vfs, (base() + "-mj12345678").c_str(), SQLITE_ACCESS_EXISTS, &result);
    return result != 0;
  };
  const bool had_super = super_exists();
  if (expected.empty()) {
    CHECK(longer() != "0");
  } else {
    CHECK(longer() == expected);
    CHECK_FALSE(super_exists());  // recovery has deleted it, in the overlay
    CHECK(run("PRAGMA integrity_check") == "ok");
    run("INSERT INTO t(v) VALUES('x')");
    mark("recovered");
    reset();
    CHECK(super_exists() == had_super);
    CHECK(longer() == expected);
    CHECK(count() == "5000");
  }
  close();
  CHECK((bytes_of(base()) == before));
  CHECK((bytes_of(base() + "-journal") == journal));
  CHECK(dir.names() == names);
}
