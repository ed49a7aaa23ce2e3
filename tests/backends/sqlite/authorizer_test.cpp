// What a client may not do on a handle that it shares with all others.
#include "fixture.h"

using namespace based;
using namespace based::test;

namespace {

struct Shared : Fixture {
  Shared() {
    open(options());
    one = client();
    REQUIRE(one->sql("CREATE TABLE t(v)").ok());
  }
  std::unique_ptr<Client> one;
};

}  // namespace

TEST_CASE_FIXTURE(Shared, "what would reach other sessions or files is denied, with the reason") {
  for (const auto* sql : {
           "ATTACH 'x.db' AS x",
           "/* c */ AtTaCh ':memory:' AS x",
           "ATTACH '' AS x",
           "DETACH main",
           "CREATE TEMP TABLE x(a)",
           "CREATE TEMPORARY VIEW x AS SELECT 1",
           "CREATE TABLE temp.x(a)",
           "CREATE TEMP TRIGGER x AFTER INSERT ON main.t BEGIN SELECT 1; END",
           "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
           "VACUUM INTO 'copy.db'",
           "SELECT load_extension('x')",
           "PRAGMA foreign_keys = off",
           "PRAGMA journal_mode = delete",
           "PRAGMA main.journal_mode(delete)",
           "PRAGMA synchronous = 0",
           "PRAGMA query_only = 1",
           "PRAGMA writable_schema = 1",
           "PRAGMA locking_mode = exclusive",
           "PRAGMA temp_store_directory = '/'",
           "PRAGMA cache_size = 1",
           "PRAGMA page_size = 512",
           "PRAGMA hard_heap_limit = 1",
           "PRAGMA wal_autocheckpoint = 1",
           "PRAGMA busy_timeout = 1",
           "PRAGMA case_sensitive_like = 1",
           "PRAGMA no_such_pragma",
           "BEGIN",
           "  -- c\n begin immediate",
           "COMMIT",
           "END",
           "ROLLBACK",
           "SAVEPOINT a",
           "RELEASE a",
           "ROLLBACK TO a",
           "EXPLAIN COMMIT",
       }) {
    CAPTURE(std::string{sql});
    auto& reply = one->sql(sql);
    CHECK(reply.code() == "42501");
    CHECK_FALSE(reply.detail().empty());
    CHECK(reply.message().find("not allowed") != std::string::npos);
    CHECK(reply.outcome.transaction == TransactionStatus::idle);
  }
  CHECK(dir.names().front() == "main.db");
  CHECK(one->sql("PRAGMA foreign_keys").value() == "1");
  CHECK(one->sql("PRAGMA journal_mode").value() == "'wal'");
}

TEST_CASE_FIXTURE(Shared, "transaction control that the stack sent opens no door for a client's") {
  one->control("BEGIN IMMEDIATE");
  one->control("SAVEPOINT \"based_2\"");
  for (const auto* sql : {"COMMIT", "ROLLBACK", "BEGIN IMMEDIATE", "SAVEPOINT \"based_2\"",
                          "RELEASE \"based_2\"", "ROLLBACK TO \"based_2\""}) {
    CAPTURE(std::string{sql});
    auto& reply = one->sql(sql);
    CHECK(reply.code() == "42501");
    CHECK(reply.outcome.transaction == TransactionStatus::open);
  }
  CHECK(one->control("COMMIT").ok());
}

TEST_CASE_FIXTURE(Shared, "ordinary work and reading pragmas are allowed") {
  for (const auto* sql : {
           "VACUUM",
           "ANALYZE",
           "REINDEX",
           "CREATE INDEX i ON t(v)",
           "CREATE VIEW w AS SELECT v FROM t",
           "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET v = v; END",
           "ALTER TABLE t ADD COLUMN b",
           "ALTER TABLE t RENAME COLUMN b TO c",
           "ALTER TABLE t DROP COLUMN c",
           "ALTER TABLE t RENAME TO u",
           "CREATE VIRTUAL TABLE f USING fts5(body)",
           "INSERT INTO f VALUES('some words')",
           "SELECT * FROM f('words')",
           "INSERT INTO f(f) VALUES('optimize')",
           "DROP TABLE f",
           "CREATE VIRTUAL TABLE f4 USING fts4(body)",
           "INSERT INTO f4 VALUES('some words')",
           "INSERT INTO f4(f4) VALUES('optimize')",
           "INSERT INTO f4(f4) VALUES('integrity-check')",
           "CREATE VIRTUAL TABLE r USING rtree(id, a, b)",
           "INSERT INTO r VALUES(1, 2, 3)",
           "SELECT * FROM pragma_table_info('u')",
           "SELECT * FROM pragma_user_version",
           "PRAGMA table_info(u)",
           "PRAGMA integrity_check",
           "PRAGMA foreign_key_check",
           "PRAGMA user_version = 7",
           "PRAGMA optimize",
           "PRAGMA wal_checkpoint(TRUNCATE)",
           "SELECT json_extract('{\"a\":1}', '$.a')",
       }) {
    CAPTURE(std::string{sql});
    auto& reply = one->sql(sql);
    CAPTURE(reply.message());
    CHECK(reply.ok());
  }
  CHECK(one->sql("PRAGMA user_version").value() == "7");
}

TEST_CASE_FIXTURE(Shared, "deferring foreign keys is the transaction's, and ends with it") {
  one->sql("CREATE TABLE p(id PRIMARY KEY)");
  one->sql("CREATE TABLE c(p REFERENCES p(id))");
  CHECK(one->sql("PRAGMA defer_foreign_keys = on").code() == "25P01");
  CHECK(one->sql("PRAGMA defer_foreign_keys").value() == "0");  // it acts when it is compiled
  one->control("BEGIN IMMEDIATE");
  CHECK(one->sql("PRAGMA defer_foreign_keys = on").ok());
  CHECK(one->sql("INSERT INTO c VALUES(1)").ok());
  CHECK(one->sql("INSERT INTO p VALUES(1)").ok());
  CHECK(one->control("COMMIT").ok());
  CHECK(one->sql("INSERT INTO c VALUES(2)").code() == "23503");
}
