// Values, results and errors of single statements, on a real lane.
#include <array>
#include <cmath>
#include <limits>

#include "fixture.h"

using namespace based;
using namespace based::test;

namespace {

struct Memory : Fixture {
  Memory() {
    auto made = options();
    made.path.clear();
    open(made);
    one = client();
  }
  std::unique_ptr<Client> one;
};

}  // namespace

TEST_CASE_FIXTURE(Memory, "every kind of value comes back as it was given") {
  REQUIRE(one->sql("CREATE TABLE t(v)").ok());
  const std::string nul("a\0b", 3);
  const std::string raw("\xff\x00\x80", 3);
  const std::vector<std::pair<ValueView, std::string>> cases = {
      {ValueView::null(), "null"},
      {ValueView::of(true), "1"},
      {ValueView::of(false), "0"},
      {ValueView::of(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808"},
      {ValueView::of(std::numeric_limits<std::int64_t>::max()), "9223372036854775807"},
      {ValueView::of(std::int64_t{1}), "1"},
      {ValueView::of(1.0), "float:1"},
      {ValueView::of(0.1), "float:0.10000000000000001"},
      {ValueView::of(std::numeric_limits<double>::infinity()), "float:inf"},
      {ValueView::of(-std::numeric_limits<double>::infinity()), "float:-inf"},
      {ValueView::of(5e-324), "float:4.9406564584124654e-324"},
      {ValueView::of(-0.0), "float:-0"},
      {ValueView::text(""), "''"},
      {ValueView::text("gr\xc3\xbc\xc3\x9f"), "'gr\xc3\xbc\xc3\x9f'"},
      {ValueView::text(nul), "'" + nul + "'"},
      {ValueView::bytes(""), "x''"},
      {ValueView::bytes(raw), "x'" + raw + "'"},
  };
  for (const auto& one_case : cases) {
    const auto& given = one_case.first;
    const auto& expected = one_case.second;
    CAPTURE(expected);
    REQUIRE(one->sql("DELETE FROM t").ok());
    REQUIRE(one->sql("INSERT INTO t VALUES(?1)", {given}).ok());
    CHECK(one->sql("SELECT v FROM t").value() == expected);
  }
}

TEST_CASE_FIXTURE(Memory, "a step that is described is checked, and changes nothing") {
  REQUIRE(one->sql("CREATE TABLE t(v INTEGER)").ok());
  const auto described = [&](const std::string& sql) -> Reply& {
    auto unit = Client::unit_of(sql);
    unit.steps[0].describe = true;
    unit.keep_lease = one->in_transaction;
    return one->run(std::move(unit));
  };
  auto& insert = described("INSERT INTO t VALUES(?1) RETURNING v");
  CHECK(insert.ok());
  CHECK(insert.steps.at(0).names == std::vector<std::string>{"v"});
  CHECK(insert.steps[0].tag == "INSERT");
  CHECK(insert.steps[0].affected == 0);
  CHECK(described("SELECT v FROM t").steps.at(0).affected == std::nullopt);
  CHECK(described("INSERT INTO missing VALUES(?1)").code() == "42P01");
  CHECK(described("INSERT INTO INTO t").code() == "42601");
  CHECK(one->sql("SELECT count(*) FROM t").value() == "0");

  one->control("BEGIN");
  CHECK(described("PRAGMA defer_foreign_keys = on").ok());
  CHECK(one->sql("PRAGMA defer_foreign_keys").value() == "0");
  CHECK(one->sql("PRAGMA defer_foreign_keys = on").ok());
  CHECK(one->sql("PRAGMA defer_foreign_keys").value() == "1");
  one->control("ROLLBACK");
  CHECK(described("PRAGMA foreign_keys = off").code() == "42501");

  // Also where it was compiled when the schema was another.
  REQUIRE(one->sql("CREATE TABLE u(v)").ok());
  REQUIRE(one->sql("SELECT v FROM u").ok());
  REQUIRE(one->sql("DROP TABLE u").ok());
  CHECK(described("CREATE TABLE u(v)").ok());
  CHECK(described("SELECT v FROM u").code() == "42P01");
  REQUIRE(one->sql("CREATE VIEW u AS SELECT 1 AS v").ok());
  CHECK(described("CREATE TABLE u(v)").code() == "42P07");
}

TEST_CASE_FIXTURE(Memory, "what is kept compiled is forgotten when the schema changes") {
  const std::string insert = "INSERT INTO t VALUES(7, 'x')";
  const std::string update = "UPDATE t SET a = a";
  const auto make = [&](const std::string& more) {
    CHECK(one->sql("DROP TABLE IF EXISTS t").ok());
    CHECK(one->sql("CREATE TABLE t(a INTEGER PRIMARY KEY, b)" + more).ok());
  };
  make("");
  CHECK(one->sql(insert).steps.at(0).last_insert_id == 7);
  CHECK(one->sql(update).ok());
  make(" WITHOUT ROWID");
  CHECK(one->sql(insert).steps.at(0).last_insert_id == std::nullopt);
  one->control("BEGIN");
  make("");
  CHECK(one->sql(insert).steps.at(0).last_insert_id == 7);
  one->control("ROLLBACK");
  CHECK(one->sql("DELETE FROM t").ok());
  CHECK(one->sql(insert).steps.at(0).last_insert_id == std::nullopt);

  // A statement that has not run has changed nothing, and leaves what the one before it has.
  const auto two = client();
  CHECK(two->sql("CREATE TABLE u(a)").ok());
  CHECK(two->sql("INSERT INTO u VALUES(1), (2), (3)").ok());
  CHECK(two->sql("DROP TABLE t").ok());
  CHECK(one->sql(update).code() == "42P01");
  CHECK(one->sql("SELECT changes()").value() == "1");
}

TEST_CASE_FIXTURE(Memory, "NaN and text that is not UTF-8 are refused before anything runs") {
  REQUIRE(one->sql("CREATE TABLE t(v)").ok());
  auto& nan = one->sql("INSERT INTO t VALUES(?1)", {ValueView::of(std::nan(""))});
  CHECK(nan.code() == "22023");
  CHECK(nan.message() == "parameter 1 is not a number (NaN)");
  CHECK(nan.outcome.error->executed == Executed::no);
  CHECK(one->sql("INSERT INTO t VALUES(?1)", {ValueView::text("\xff")}).code() == "22021");
  CHECK(one->sql("SELECT count(*) FROM t").value() == "0");
}

TEST_CASE_FIXTURE(Memory, "text in the database that is not UTF-8 is delivered as bytes") {
  CHECK(one->sql("SELECT CAST(x'61ff' AS TEXT)").value() == "x'a\xff'");
}

TEST_CASE_FIXTURE(Memory, "a wrong number of parameters is the client's error") {
  auto& reply = one->sql("SELECT ?1 + ?2", {ValueView::of(std::int64_t{1})});
  CHECK(reply.code() == "08P01");
  CHECK(reply.message() == "the statement has 2 parameters, but 1 were given");
}

TEST_CASE_FIXTURE(Memory, "a column's type is as declared, else the first row's storage class") {
  one->sql("CREATE TABLE t(a varchar(10), b, c INTEGER, d)");
  auto& none = one->sql("SELECT a, b, c, 1+1 FROM t");
  CHECK(none.steps[0].types == std::vector<std::string>{"VARCHAR(10)", "NULL", "INTEGER", "NULL"});
  one->sql("INSERT INTO t VALUES('x', 1.5, 2, x'00')");
  auto& some = one->sql("SELECT a, b, c, 1+1 AS two, d, 'x' FROM t");
  CHECK(some.steps[0].types ==
        std::vector<std::string>{"VARCHAR(10)", "REAL", "INTEGER", "INTEGER", "BLOB", "TEXT"});
  CHECK(some.steps[0].names[3] == "two");
}

TEST_CASE_FIXTURE(Memory, "a step tells its tag, the rows it changed and the row id it made") {
  CHECK(one->sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)").steps[0].tag ==
        "CREATE TABLE");
  auto& insert = one->sql("INSERT INTO t(v) VALUES('a'),('b')");
  CHECK(insert.steps[0].tag == "INSERT");
  CHECK(insert.steps[0].affected == 2);
  CHECK(insert.steps[0].last_insert_id == 2);
  auto& ignored = one->sql("INSERT OR IGNORE INTO t(v) VALUES('a')");
  CHECK(ignored.steps[0].affected == 0);
  CHECK_FALSE(ignored.steps[0].last_insert_id.has_value());
  auto& upsert = one->sql("INSERT INTO t(v) VALUES('a') ON CONFLICT(v) DO UPDATE SET v='z'");
  CHECK(upsert.steps[0].affected == 1);
  CHECK_FALSE(upsert.steps[0].last_insert_id.has_value());
  CHECK(one->sql("UPDATE t SET v = v || '!'").steps[0].affected == 2);
  auto& select = one->sql("SELECT * FROM t");
  CHECK(select.steps[0].tag == "SELECT");
  CHECK_FALSE(select.steps[0].affected.has_value());
  CHECK(select.steps[0].rows_told == 2);
  CHECK(one->sql("WITH x(n) AS (VALUES(9)) INSERT INTO t(v) SELECT n FROM x").steps[0].tag ==
        "INSERT");
  CHECK(one->sql("/* c */ replace INTO t(v) VALUES('q') RETURNING id").steps[0].tag == "INSERT");
  CHECK(one->sql("VALUES(1)").steps[0].tag == "SELECT");
  CHECK(one->sql("EXPLAIN DELETE FROM t").steps[0].tag == "EXPLAIN");
  CHECK_FALSE(one->sql("EXPLAIN DELETE FROM t").steps[0].affected.has_value());
  CHECK(one->sql("DELETE FROM t").steps[0].affected == 4);
  one->sql("CREATE TABLE counted AS SELECT 1");
  CHECK_FALSE(one->sql("DROP TABLE counted").steps[0].affected.has_value());
  CHECK(one->sql("CREATE TABLE w(k PRIMARY KEY) WITHOUT ROWID").ok());
  CHECK_FALSE(one->sql("INSERT INTO w VALUES(1)").steps[0].last_insert_id.has_value());
  CHECK(one->sql(" -- nothing\n").steps[0].tag.empty());
}

TEST_CASE_FIXTURE(Memory, "max_rows cuts a result and says whether rows are left") {
  auto unit = Client::unit_of("SELECT value FROM (VALUES(1),(2),(3)) AS t(value)");
  unit = Client::unit_of(
      "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<3) "
      "SELECT i FROM n");
  unit.steps[0].max_rows = 2;
  auto& cut = one->run(std::move(unit));
  CHECK(cut.steps[0].rows.size() == 2);
  CHECK(cut.steps[0].truncated);
  unit = Client::unit_of("SELECT 1 UNION ALL SELECT 2");
  unit.steps[0].max_rows = 2;
  CHECK_FALSE(one->run(std::move(unit)).steps[0].truncated);
  one->sql("CREATE TABLE t(v)");
  unit = Client::unit_of("INSERT INTO t VALUES(1),(2),(3) RETURNING v");
  unit.steps[0].max_rows = 1;
  auto& returning = one->run(std::move(unit));
  CHECK(returning.steps[0].truncated);
  CHECK(returning.steps[0].affected == 3);
  CHECK(one->sql("SELECT count(*) FROM t").value() == "3");
}

TEST_CASE_FIXTURE(Memory, "errors carry SQLSTATE, SQLite's own code, names and position") {
  one->sql("CREATE TABLE p(id INTEGER PRIMARY KEY)");
  one->sql(
      "CREATE TABLE t(a UNIQUE, b NOT NULL, c INTEGER CONSTRAINT positive CHECK(c > 0), "
      "p REFERENCES p(id))");
  one->sql("CREATE TABLE s(n INTEGER) STRICT");
  one->sql("CREATE TRIGGER r BEFORE DELETE ON p BEGIN SELECT RAISE(ABORT, 'no deletes'); END");
  one->sql("INSERT INTO t(a, b) VALUES(1, 1)");
  one->sql("INSERT INTO p VALUES(1)");
  struct Row {
    std::string sql, code, native, table, column, constraint;
  };
  const std::vector<Row> rows = {
      {"INSERT INTO t(a, b) VALUES(1, 2)", "23505", "SQLITE_CONSTRAINT_UNIQUE", "t", "a", ""},
      {"INSERT INTO p VALUES(1)", "23505", "SQLITE_CONSTRAINT_PRIMARYKEY", "p", "id", ""},
      {"INSERT INTO t(a) VALUES(2)", "23502", "SQLITE_CONSTRAINT_NOTNULL", "t", "b", ""},
      {"INSERT INTO t(b, c) VALUES(2, -1)", "23514", "SQLITE_CONSTRAINT_CHECK", "", "", "positive"},
      {"INSERT INTO t(b, p) VALUES(2, 99)", "23503", "SQLITE_CONSTRAINT_FOREIGNKEY", "", "", ""},
      {"INSERT INTO s VALUES('x')", "42804", "SQLITE_CONSTRAINT_DATATYPE", "s", "n", ""},
      {"DELETE FROM p", "P0001", "SQLITE_CONSTRAINT_TRIGGER", "", "", ""},
      {"SELECT * FROM nowhere", "42P01", "SQLITE_ERROR", "nowhere", "", ""},
      {"SELECT nope FROM t", "42703", "SQLITE_ERROR", "", "nope", ""},
      {"INSERT INTO t(zzz) VALUES(1)", "42703", "SQLITE_ERROR", "t", "zzz", ""},
      {"SELEC 1", "42601", "SQLITE_ERROR", "", "", ""},
      {"SELECT 'open", "42601", "SQLITE_ERROR", "", "", ""},
      {"SELECT (1", "42601", "SQLITE_ERROR", "", "", ""},
      {"CREATE TABLE t(a)", "42P07", "SQLITE_ERROR", "", "", ""},
      {"SELECT nofunction(1)", "42883", "SQLITE_ERROR", "", "", ""},
      {"SELECT abs(1, 2)", "42883", "SQLITE_ERROR", "", "", ""},
      {"SELECT a FROM t, (SELECT a FROM t)", "42702", "SQLITE_ERROR", "", "", ""},
      {"INSERT INTO p VALUES('x')", "42804", "SQLITE_MISMATCH", "", "", ""},
      {"SELECT abs(-9223372036854775808)", "22003", "SQLITE_ERROR", "", "", ""},
      {"SELECT json('{')", "22P02", "SQLITE_ERROR", "", "", ""},
      {"SELECT zeroblob(2000000000)", "54000", "SQLITE_TOOBIG", "", "", ""},
      {"INSERT INTO sqlite_schema VALUES(1,2,3,4,5)", "42501", "SQLITE_ERROR", "", "", ""},
      {"SELECT 1; SELECT 2", "42601", "", "", "", ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.sql);
    auto& reply = one->sql(row.sql);
    CAPTURE(reply.message());
    CHECK(reply.code() == row.code);
    REQUIRE(reply.outcome.error.has_value());
    CHECK(reply.outcome.error->native_name == row.native);
    CHECK(reply.outcome.error->table == row.table);
    CHECK(reply.outcome.error->column == row.column);
    CHECK(reply.outcome.error->constraint == row.constraint);
    CHECK(reply.outcome.phase == UnitPhase::step);
    CHECK(reply.outcome.transaction == TransactionStatus::idle);
  }
  CHECK(one->sql("SELECT 1, x y z").outcome.error->position == 14);
  CHECK(one->sql("SELECT \xc3\xbc").outcome.error->position == 7);
  CHECK(one->sql("DELETE FROM p").message() == "no deletes");
}

TEST_CASE_FIXTURE(Memory, "OR FAIL keeps the rows before the bad one, and the error says so") {
  one->sql("CREATE TABLE t(v UNIQUE)");
  auto& reply = one->sql("INSERT OR FAIL INTO t VALUES(1),(2),(1)");
  CHECK(reply.code() == "23505");
  CHECK(reply.outcome.error->executed == Executed::yes);
  CHECK(one->sql("SELECT count(*) FROM t").value() == "2");
  CHECK(one->sql("INSERT INTO t VALUES(7),(1)").outcome.error->executed == Executed::no);
}

TEST_CASE_FIXTURE(Memory, "a schema that another session changed is seen by cached statements") {
  auto two = client();
  one->sql("CREATE TABLE t(a)");
  one->sql("INSERT INTO t VALUES(1)");
  CHECK(one->sql("SELECT * FROM t").steps[0].names.size() == 1);
  CHECK(two->sql("ALTER TABLE t ADD COLUMN b DEFAULT 'x'").ok());
  auto& reply = one->sql("SELECT * FROM t");
  CHECK(reply.steps[0].names == std::vector<std::string>{"a", "b"});
  CHECK(reply.steps[0].rows[0][1] == "'x'");
  CHECK(two->sql("ALTER TABLE t RENAME TO u").ok());
  CHECK(one->sql("SELECT * FROM t").code() == "42P01");
}

TEST_CASE_FIXTURE(Memory, "one session's row id and change counts are not another's") {
  auto two = client();
  one->sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
  one->sql("INSERT INTO t VALUES(77, 'a')");
  two->sql("INSERT INTO t VALUES(5, 'x'), (6, 'y')");
  CHECK(one->sql("SELECT last_insert_rowid()").value() == "77");
  CHECK(two->sql("SELECT last_insert_rowid()").value() == "6");
  CHECK(one->sql("SELECT changes()").value() == "1");
  CHECK(two->sql("SELECT changes()").value() == "2");
  CHECK(one->sql("SELECT total_changes()").value() == "1");
  CHECK(two->sql("SELECT total_changes()").value() == "2");
  auto three = client();
  CHECK(three->sql("SELECT last_insert_rowid() + changes() + total_changes()").value() == "0");
  one->sql("INSERT INTO t VALUES(last_insert_rowid() + 1, 'b')");
  CHECK(one->sql("SELECT max(id) FROM t").value() == "78");
}

TEST_CASE_FIXTURE(Memory, "a thousand steps of one unit answer each in order") {
  Unit unit;
  one->sql("CREATE TABLE t(id INTEGER PRIMARY KEY)");
  const auto insert = Client::unit_of("INSERT INTO t VALUES(?1)", {ValueView::null()});
  for (std::int64_t i = 1; i <= 1000; ++i) {
    Step step;
    step.statement = insert.steps[0].statement;
    const ValueView value = ValueView::of(i * 2);
    step.parameters = ValueList::copy_of(std::span{&value, 1});
    unit.steps.push_back(std::move(step));
  }
  auto& reply = one->run(std::move(unit));
  REQUIRE(reply.ok());
  REQUIRE(reply.steps.size() == 1000);
  CHECK(reply.steps[999].last_insert_id == 2000);
  CHECK(reply.outcome.phase == UnitPhase::done);
}

TEST_CASE_FIXTURE(Memory, "a client's text is cut and its placeholders are SQLite's") {
  auto script = database->intern("SELECT :a + :b; SELECT 2", ParameterStyle::named);
  REQUIRE(script.ok());
  REQUIRE((*script)->statements.size() == 2);
  Unit unit;
  Step step;
  step.statement = (*script)->statements[0];
  const std::array values = {ValueView::of(std::int64_t{40}), ValueView::of(std::int64_t{2})};
  step.parameters = ValueList::copy_of(values);
  unit.steps.push_back(std::move(step));
  CHECK(one->run(std::move(unit)).value() == "42");
}
