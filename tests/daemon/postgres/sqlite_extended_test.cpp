// SQLite behind PostgreSQL's protocol: statements, portals, pipelines.
#include <doctest/doctest.h>

#include "tests/daemon/postgres/sqlite_wire_fixture.h"

namespace based {
namespace {

// Messages one behind the other.
class Messages {
 public:
  Messages& parse(std::string_view name, std::string_view text,
                  std::vector<std::uint32_t> types = {}) {
    writer_.parse(name, text, types);
    return *this;
  }
  Messages& bind(std::string_view portal, std::string_view name,
                 const std::vector<std::string>& values = {}) {
    const std::vector<postgres::Format> formats(values.size(), postgres::Format::text);
    writer_.begin_bind(portal, name, formats);
    for (const std::string& value : values) {
      writer_.begin_value();
      writer_.out() += value;
      writer_.end_value();
    }
    writer_.end_bind();
    return *this;
  }
  Messages& describe_statement(std::string_view name) {
    return writer_.describe_statement(name), *this;
  }
  Messages& describe_portal(std::string_view name) { return writer_.describe_portal(name), *this; }
  Messages& execute(std::string_view portal, std::uint32_t rows = 0) {
    return writer_.execute(portal, rows), *this;
  }
  Messages& close_statement(std::string_view name) { return writer_.close_statement(name), *this; }
  Messages& sync() { return writer_.sync(), *this; }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  postgres::FrontendWriter writer_{bytes_};
};

}  // namespace

TEST_CASE_FIXTURE(SqliteWireFixture, "parse, bind, describe, execute, sync") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER, b TEXT)");
  CHECK(c.pipeline(Messages()
                       .parse("", "INSERT INTO t VALUES ($1, $2)")
                       .bind("", "", {"5", "x"})
                       .describe_portal("")
                       .execute("")
                       .sync()
                       .bytes()) == "1 2 n C:INSERT 0 1 Z:I");
  CHECK(c.pipeline(Messages()
                       .parse("s", "SELECT b, a + 1 FROM t WHERE a = $1")
                       .describe_statement("s")
                       .bind("", "s", {"5"})
                       .describe_portal("")
                       .execute("")
                       .sync()
                       .bytes()) == "1 t T 2 T D:x|6 C:SELECT 1 Z:I");
  CHECK(c.pipeline(Messages().parse("s", "SELECT 1").sync().bytes()) == "E:42P05 Z:I");
  CHECK(c.pipeline(Messages().close_statement("s").bind("", "s", {"1"}).sync().bytes()) ==
        "3 E:26000 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "a pipeline is one transaction up to its Sync") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER NOT NULL)");
  const auto insert = [](Messages& m, const char* value) {
    m.parse("", std::string("INSERT INTO t VALUES (") + value + ")").bind("", "").execute("");
  };
  Messages failing;
  insert(failing, "1");
  insert(failing, "NULL");
  insert(failing, "3");
  failing.sync();
  CHECK(c.pipeline(failing.bytes()) == "1 2 C:INSERT 0 1 1 2 E:23502 Z:I");
  CHECK(c.query("SELECT count(*) FROM t") == "T D:0 C:SELECT 1 Z:I");
  Messages good;
  insert(good, "1");
  insert(good, "2");
  good.sync();
  CHECK(c.pipeline(good.bytes()) == "1 2 C:INSERT 0 1 1 2 C:INSERT 0 1 Z:I");
  CHECK(c.query("SELECT count(*) FROM t") == "T D:2 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "a portal gives its rows in parts") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER)");
  c.query("INSERT INTO t VALUES (1), (2), (3)");
  CHECK(c.query("BEGIN") == "C:BEGIN Z:T");
  CHECK(c.pipeline(Messages()
                       .parse("", "SELECT a FROM t ORDER BY a")
                       .bind("p", "")
                       .execute("p", 2)
                       .sync()
                       .bytes()) == "1 2 D:1 D:2 s Z:T");
  CHECK(c.query("DELETE FROM t") == "C:DELETE 3 Z:T");
  CHECK(c.pipeline(Messages().execute("p", 2).execute("p").sync().bytes()) ==
        "D:3 C:SELECT 1 C:SELECT 0 Z:T");
  CHECK(c.query("COMMIT") == "C:COMMIT Z:I");
  CHECK(c.pipeline(Messages().execute("p").sync().bytes()) == "E:34000 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "parameters keep to the types that Parse gave") {
  SqliteClient& c = client();
  CHECK(c.pipeline(Messages()
                       .parse("", "SELECT typeof($1), typeof($2), typeof($3)", {23, 0, 16})
                       .bind("", "", {"1", "1", "true"})
                       .execute("")
                       .sync()
                       .bytes()) == "1 2 D:integer|text|integer C:SELECT 1 Z:I");
  CHECK(c.pipeline(Messages().parse("", "SELECT $1", {23}).bind("", "", {"x"}).sync().bytes()) ==
        "1 E:22P02 Z:I");
  CHECK(c.pipeline(Messages().parse("", "SELECT $1").bind("", "").sync().bytes()) ==
        "1 E:08P01 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "a parameter without a type has that of the column it meets") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER, ok BOOLEAN, b BLOB, s TEXT)");
  CHECK(c.pipeline(Messages()
                       .parse("", "INSERT INTO t VALUES ($1, $2, $3, $4)")
                       .bind("", "", {"7", "true", "\\x00ff", "7"})
                       .execute("")
                       .sync()
                       .bytes()) == "1 2 C:INSERT 0 1 Z:I");
  CHECK(c.query("SELECT typeof(a), typeof(ok), hex(b), typeof(s) FROM t") ==
        "T D:integer|integer|00FF|text C:SELECT 1 Z:I");
  CHECK(c.pipeline(Messages()
                       .parse("", "SELECT s FROM t WHERE ok = $1 AND a IN ($2)")
                       .bind("", "", {"t", "7"})
                       .execute("")
                       .sync()
                       .bytes()) == "1 2 D:7 C:SELECT 1 Z:I");
  CHECK(c.pipeline(Messages()
                       .parse("", "DELETE FROM t WHERE a = $1")
                       .bind("", "", {"seven"})
                       .execute("")
                       .sync()
                       .bytes()) == "1 E:22P02 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "transaction control goes through the extended protocol") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER)");
  CHECK(c.pipeline(Messages()
                       .parse("", "BEGIN")
                       .bind("", "")
                       .describe_portal("")
                       .execute("")
                       .sync()
                       .bytes()) == "1 2 n C:BEGIN Z:T");
  CHECK(c.pipeline(Messages()
                       .parse("", "INSERT INTO t VALUES (1)")
                       .bind("", "")
                       .execute("")
                       .sync()
                       .bytes()) == "1 2 C:INSERT 0 1 Z:T");
  CHECK(c.pipeline(Messages().parse("", "nonsense").bind("", "").execute("").sync().bytes()) ==
        "1 2 E:42601 Z:E");
  CHECK(c.pipeline(Messages().parse("", "SELECT 1").sync().bytes()) == "E:25P02 Z:E");
  CHECK(c.pipeline(Messages().parse("", "ROLLBACK").bind("", "").execute("").sync().bytes()) ==
        "1 2 C:ROLLBACK Z:I");
  CHECK(c.pipeline(Messages()
                       .parse("", "SHOW timezone")
                       .describe_statement("")
                       .bind("", "")
                       .execute("")
                       .sync()
                       .bytes()) == "1 t T 2 D:UTC C:SHOW Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "after an error everything up to the Sync is skipped") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER)");
  CHECK(c.pipeline(Messages()
                       .bind("", "nowhere")
                       .parse("", "INSERT INTO t VALUES (1)")
                       .bind("", "")
                       .execute("")
                       .sync()
                       .bytes()) == "E:26000 Z:I");
  CHECK(c.query("SELECT count(*) FROM t") == "T D:0 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "a cancel ends what runs, and nothing later") {
  SqliteClient& c = client();
  c.probe().query(
      "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r");
  c.probe().session->cancel("canceling statement due to user request");
  c.wait();
  CHECK(c.probe().take() == "E:57014 Z:I");
  c.probe().session->cancel("canceling statement due to user request");
  CHECK(c.query("SELECT 1") == "T D:1 C:SELECT 1 Z:I");
}

}  // namespace based
