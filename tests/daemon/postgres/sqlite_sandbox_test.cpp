// SANDBOX ... through PostgreSQL's protocol on SQLite.
#include <doctest/doctest.h>

#include "tests/daemon/postgres/sqlite_wire_fixture.h"

namespace based {
namespace {

struct Sandboxed : SqliteWireFixture {
  Sandboxed() : SqliteWireFixture(true), c(client()), other(client()) {
    CHECK(c.query("CREATE TABLE t(a INTEGER UNIQUE); INSERT INTO t VALUES (1)") ==
          "C:CREATE TABLE C:INSERT 0 1 Z:I");
    CHECK(c.query("SANDBOX MARK made") == "C:SANDBOX MARK Z:I");
  }
  std::string sum() { return other.query("SELECT sum(a) FROM t"); }

  SqliteClient& c;
  SqliteClient& other;
};

// Parse, Bind, Describe, Execute and Sync of an unnamed statement.
std::string extended(std::string_view text, bool binary = false) {
  std::string bytes;
  postgres::FrontendWriter writer(bytes);
  writer.parse("", text, {});
  writer.begin_bind("", "", {});
  writer.end_bind();
  if (binary) {
    // One format for all columns, where there were none; the message is longer for it.
    bytes.replace(bytes.size() - 2, 2, std::string("\0\1\0\1", 4));
    bytes[bytes.size() - 11] = static_cast<char>(bytes[bytes.size() - 11] + 2);
  }
  writer.describe_portal("");
  writer.execute("", 0);
  writer.sync();
  return bytes;
}

}  // namespace

TEST_CASE_FIXTURE(Sandboxed, "marks, resets and a drop answer with their tags") {
  CHECK(c.query("INSERT INTO t VALUES (2)") == "C:INSERT 0 1 Z:I");
  CHECK(c.query("SANDBOX MARK two; INSERT INTO t VALUES (4); sandbox reset to two") ==
        "C:SANDBOX MARK C:INSERT 0 1 E:25001 Z:I");
  CHECK(sum() == "T D:3 C:SELECT 1 Z:I");
  CHECK(c.query("INSERT INTO t VALUES (4)") == "C:INSERT 0 1 Z:I");
  CHECK(c.query("SANDBOX RESET TO two") == "C:SANDBOX RESET Z:I");
  CHECK(sum() == "T D:3 C:SELECT 1 Z:I");
  CHECK(c.query("SANDBOX RESET TO nothing; SELECT 1") == "E:3B001 Z:I");
  CHECK(c.query("/* x */ Sandbox Reset To Made -- y") == "C:SANDBOX RESET Z:I");
  CHECK(sum() == "T D:1 C:SELECT 1 Z:I");
  CHECK(c.query("SANDBOX DROP") == "C:SANDBOX DROP Z:I");
  CHECK(sum() == "E:42P01 Z:I");
  CHECK(c.query("SANDBOX BURN") == "E:42601 Z:I");
}

TEST_CASE_FIXTURE(Sandboxed, "what changes the sandbox is refused in a transaction") {
  CHECK(c.query("BEGIN; SANDBOX RESET") == "C:BEGIN E:25001 Z:E");
  CHECK(c.query("SANDBOX STATUS") == "E:25P02 Z:E");
  CHECK(c.query("ROLLBACK") == "C:ROLLBACK Z:I");
  CHECK(c.query("BEGIN") == "C:BEGIN Z:T");
  CHECK(c.query("SANDBOX STATUS").starts_with("T D:app|ready|"));
  CHECK(c.query("COMMIT") == "C:COMMIT Z:I");
}

TEST_CASE_FIXTURE(Sandboxed, "a transaction that a reset ended says so with its next statement") {
  CHECK(c.query("BEGIN; INSERT INTO t VALUES (2)") == "C:BEGIN C:INSERT 0 1 Z:T");
  CHECK(other.query("SANDBOX RESET TO made") == "C:SANDBOX RESET Z:I");
  SUBCASE("which is a statement") {
    CHECK(c.query("SELECT 1") == "E:40001 Z:E");
    CHECK(c.query("SELECT 1") == "E:25P02 Z:E");
    CHECK(c.query("COMMIT") == "C:ROLLBACK Z:I");
  }
  SUBCASE("which is a command") { CHECK(c.query("SHOW timezone; COMMIT") == "E:40001 Z:E"); }
  SUBCASE("which is its COMMIT") {
    CHECK(c.query("COMMIT") == "E:40001 Z:I");
    CHECK(c.query("BEGIN; SELECT 1") == "C:BEGIN T D:1 C:SELECT 1 Z:T");
    CHECK(c.query("COMMIT") == "C:COMMIT Z:I");
  }
  SUBCASE("which is its ROLLBACK") {
    CHECK(c.query("ROLLBACK") == "C:ROLLBACK Z:I");
    CHECK(c.query("SELECT 1") == "T D:1 C:SELECT 1 Z:I");
  }
  SUBCASE("which is the COMMIT of a pipeline") {
    CHECK(c.pipeline(extended("COMMIT")) == "1 2 n E:40001 Z:I");
  }
  CHECK(sum() == "T D:1 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(Sandboxed, "prepared statements outlive a reset") {
  std::string bytes;
  postgres::FrontendWriter(bytes).parse("p", "SELECT a FROM t", {});
  postgres::FrontendWriter(bytes).sync();
  CHECK(c.pipeline(bytes) == "1 Z:I");
  std::string run;
  postgres::FrontendWriter writer(run);
  writer.begin_bind("", "p", {});
  writer.end_bind();
  writer.execute("", 0);
  writer.sync();
  CHECK(c.pipeline(run) == "2 D:1 C:SELECT 1 Z:I");
  CHECK(c.query("INSERT INTO t VALUES (2)") == "C:INSERT 0 1 Z:I");
  CHECK(other.query("SANDBOX RESET TO made") == "C:SANDBOX RESET Z:I");
  CHECK(c.pipeline(run) == "2 D:1 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(Sandboxed, "SANDBOX works in the extended protocol, in both formats") {
  CHECK(c.pipeline(extended("SANDBOX MARK two")) == "1 2 n C:SANDBOX MARK Z:I");
  CHECK(c.pipeline(extended("SANDBOX RESET")) == "1 2 n C:SANDBOX RESET Z:I");
  CHECK(c.pipeline(extended("SANDBOX RESET TO two")) == "1 2 n E:3B001 Z:I");
  CHECK(c.pipeline(extended("SANDBOX STATUS")).starts_with("1 2 T D:app|ready|"));
  const std::string binary = c.pipeline(extended("SANDBOX STATUS", true));
  CHECK(binary.find(std::string("\0\0\0\2", 4)) != std::string::npos);  // the epoch, an int8
}

TEST_CASE_FIXTURE(Sandboxed, "the log shows what was sent, and nothing of our own") {
  CHECK(c.query("SANDBOX DROP; SELECT 7") == "C:SANDBOX DROP T D:7 C:SELECT 1 Z:I");
  CHECK(c.query("CREATE TABLE u(b BOOLEAN)") == "C:CREATE TABLE Z:I");
  std::string bytes;
  postgres::FrontendWriter writer(bytes);
  // Its types are found out by a question of our own.
  writer.parse("", "INSERT INTO u(b) VALUES ($1) RETURNING b", {});
  writer.describe_statement("");
  writer.sync();
  CHECK(c.pipeline(bytes) == "1 t T Z:I");
  const std::string told = c.query("SANDBOX LOG");
  CHECK(told.find("SELECT 7") != std::string::npos);
  CHECK(told.find("CREATE TABLE u") != std::string::npos);
  CHECK(told.find("sqlite_schema") == std::string::npos);
  CHECK(told.ends_with("C:SANDBOX LOG Z:I"));
}

TEST_CASE_FIXTURE(Sandboxed, "a client that goes while its reset is under way harms nobody") {
  {
    SqliteClient gone(loop, *database, {});
    std::string bytes;
    postgres::FrontendWriter(bytes).query("SANDBOX RESET");
    gone.send(bytes);
  }
  CHECK(sum() == "E:42P01 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "a database without force_rollback has no sandbox") {
  SqliteClient& c = client();
  CHECK(c.query("SANDBOX RESET") == "E:0A000 Z:I");
  CHECK(c.query("SANDBOX STATUS") == "E:0A000 Z:I");
}

}  // namespace based
