// SQLite behind PostgreSQL's protocol: simple queries.
#include <doctest/doctest.h>

#include "tests/daemon/postgres/sqlite_wire_fixture.h"

namespace based {

TEST_CASE_FIXTURE(SqliteWireFixture, "a query is answered with columns, rows and its tag") {
  SqliteClient& c = client();
  CHECK(c.query("CREATE TABLE t(a INTEGER, b TEXT)") == "C:CREATE TABLE Z:I");
  CHECK(c.query("INSERT INTO t VALUES (1, 'x'), (2, NULL)") == "C:INSERT 0 2 Z:I");
  CHECK(c.query("SELECT * FROM t ORDER BY a") == "T D:1|x D:2|NULL C:SELECT 2 Z:I");
  CHECK(c.query("UPDATE t SET b = 'y'") == "C:UPDATE 2 Z:I");
  CHECK(c.query("DELETE FROM t WHERE a = 1 RETURNING a") == "T D:1 C:DELETE 1 Z:I");
  CHECK(c.query("SELECT a FROM t WHERE a > 5") == "T C:SELECT 0 Z:I");
  CHECK(c.query(" -- nothing") == "I Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "a query of several statements is one transaction") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER NOT NULL)");
  CHECK(c.query("INSERT INTO t VALUES (1); INSERT INTO t VALUES (NULL)") ==
        "C:INSERT 0 1 E:23502 Z:I");
  CHECK(c.query("SELECT count(*) FROM t") == "T D:0 C:SELECT 1 Z:I");
  CHECK(c.query("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)") ==
        "C:INSERT 0 1 C:INSERT 0 1 Z:I");
  CHECK(c.query("SELECT count(*) FROM t") == "T D:2 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "its own COMMIT keeps what was before it") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER NOT NULL)");
  CHECK(c.query("BEGIN; INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (NULL)") ==
        "C:BEGIN C:INSERT 0 1 C:COMMIT E:23502 Z:I");
  CHECK(c.query("SELECT count(*) FROM t") == "T D:1 C:SELECT 1 Z:I");
  // What was implicit becomes the transaction that BEGIN opens.
  CHECK(c.query("INSERT INTO t VALUES (2); BEGIN") == "C:INSERT 0 1 C:BEGIN Z:T");
  CHECK(c.query("ROLLBACK") == "C:ROLLBACK Z:I");
  CHECK(c.query("SELECT count(*) FROM t") == "T D:1 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "a failed transaction takes only its end") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER NOT NULL)");
  CHECK(c.query("BEGIN") == "C:BEGIN Z:T");
  CHECK(c.query("INSERT INTO t VALUES (1)") == "C:INSERT 0 1 Z:T");
  CHECK(c.query("INSERT INTO t VALUES (NULL)") == "E:23502 Z:E");
  CHECK(c.query("SELECT 1") == "E:25P02 Z:E");
  CHECK(c.query("SHOW timezone") == "E:25P02 Z:E");
  CHECK(c.query("COMMIT") == "C:ROLLBACK Z:I");
  CHECK(c.query("SELECT count(*) FROM t") == "T D:0 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "ROLLBACK TO a savepoint mends a failed transaction") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER NOT NULL)");
  CHECK(c.query("SAVEPOINT s") == "E:25P01 Z:I");
  CHECK(c.query("BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s") ==
        "C:BEGIN C:INSERT 0 1 C:SAVEPOINT Z:T");
  CHECK(c.query("INSERT INTO t VALUES (NULL)") == "E:23502 Z:E");
  CHECK(c.query("ROLLBACK TO s") == "C:ROLLBACK Z:T");
  CHECK(c.query("RELEASE s") == "C:RELEASE Z:T");
  CHECK(c.query("RELEASE s") == "E:3B001 Z:E");
  CHECK(c.query("ROLLBACK AND CHAIN") == "C:ROLLBACK Z:T");
  CHECK(c.query("COMMIT") == "C:COMMIT Z:I");
  CHECK(c.query("SELECT count(*) FROM t") == "T D:0 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "BEGIN inside a transaction warns, or nests where it may") {
  SqliteClient& flat = client();
  flat.query("CREATE TABLE t(a INTEGER)");
  CHECK(flat.query("BEGIN; BEGIN") == "C:BEGIN N:25001 C:BEGIN Z:T");
  CHECK(flat.query("COMMIT") == "C:COMMIT Z:I");
  CHECK(flat.query("COMMIT") == "N:25P01 C:COMMIT Z:I");
  SqliteClient& nested = client({.timeouts = {}, .nested = true});
  CHECK(
      nested.query("BEGIN; INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2); ROLLBACK") ==
      "C:BEGIN C:INSERT 0 1 C:BEGIN C:INSERT 0 1 C:ROLLBACK Z:T");
  CHECK(nested.query("COMMIT") == "C:COMMIT Z:I");
  CHECK(nested.query("SELECT a FROM t") == "T D:1 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture,
                  "settings are shown as set, and undone with their transaction") {
  SqliteClient& c = client();
  CHECK(c.query("SET application_name TO 'x'") == "C:SET S:application_name=x Z:I");
  CHECK(c.query("SET statement_timeout = 90000; SHOW statement_timeout") ==
        "C:SET T D:90s C:SHOW Z:I");
  CHECK(c.query("SET statement_timeout = '120 s'; SHOW statement_timeout") ==
        "C:SET T D:2min C:SHOW Z:I");
  CHECK(c.query("SET statement_timeout = 0; SHOW statement_timeout") == "C:SET T D:0 C:SHOW Z:I");
  CHECK(c.query("SHOW role") == "T D:none C:SHOW Z:I");
  CHECK(c.query("SHOW application_name") == "T D:x C:SHOW Z:I");
  CHECK(c.query("BEGIN; SET application_name = 'y'") == "C:BEGIN C:SET S:application_name=y Z:T");
  CHECK(c.query("ROLLBACK") == "C:ROLLBACK S:application_name=x Z:I");
  CHECK(c.query("BEGIN; SET LOCAL application_name = 'z'; COMMIT; SHOW application_name") ==
        "C:BEGIN C:SET C:COMMIT T D:x C:SHOW Z:I");
  CHECK(c.query("SELECT set_config('application_name', 'w', false)") ==
        "T D:w C:SELECT 1 S:application_name=w Z:I");
  CHECK(c.query("SELECT current_setting('application_name')") == "T D:w C:SELECT 1 Z:I");
  CHECK(c.query("SET nonsense = 1") == "E:42704 Z:I");
  CHECK(c.query("SET client_encoding = 'latin1'") == "E:22023 Z:I");
  CHECK(c.query("RESET ALL") == "C:RESET S:application_name= Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "read-only transactions refuse what may write") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER)");
  CHECK(c.query("BEGIN READ ONLY; INSERT INTO t VALUES (1)") == "C:BEGIN E:25006 Z:E");
  CHECK(c.query("ROLLBACK") == "C:ROLLBACK Z:I");
  CHECK(c.query("START TRANSACTION ISOLATION LEVEL REPEATABLE READ") == "C:START TRANSACTION Z:T");
  CHECK(c.query("SET TRANSACTION READ ONLY; DELETE FROM t") == "C:SET E:25006 Z:E");
  CHECK(c.query("ROLLBACK") == "C:ROLLBACK Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "what SQLite cannot do says so") {
  SqliteClient& c = client();
  CHECK(c.query("LISTEN x") == "E:0A000 Z:I");
  CHECK(c.query("COPY t FROM STDIN") == "E:0A000 Z:I");
  CHECK(
      c.query("SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) "
              "'^(t)$' COLLATE pg_catalog.default") == "E:0A000 Z:I");
  CHECK(c.query("SELECT 1::regclass") == "E:0A000 Z:I");
  for (const char* text :
       {"DO $$ BEGIN END $$", "DO LANGUAGE plpgsql 'x'", "CREATE SCHEMA s", "CREATE DATABASE d",
        "CREATE SEQUENCE s", "CREATE FUNCTION f() RETURNS int AS $x$ SELECT 1 $x$ LANGUAGE sql",
        "CREATE TYPE t AS ENUM ('a')", "CREATE EXTENSION x",
        "CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE OR REPLACE VIEW v AS SELECT 1",
        "ALTER SYSTEM SET x = 1", "DROP ROLE r", "REFRESH MATERIALIZED VIEW v", "CHECKPOINT",
        "TABLE t", "PREPARE TRANSACTION 'x'"}) {
    CAPTURE(text);
    CHECK(c.query(text) == "E:0A000 Z:I");
  }
  CHECK(c.query("CREATE TABEL t(a)") == "E:42601 Z:I");
  CHECK(
      c.query("CREATE TABLE role(type int); CREATE INDEX schema ON role(type); DROP TABLE role") ==
      "C:CREATE TABLE C:CREATE INDEX C:DROP TABLE Z:I");
  CHECK(c.query("SELECT pg_catalog.pg_get_userbyid(1)") == "E:0A000 Z:I");
  CHECK(c.query("SELECT current_schemas(true)") == "E:0A000 Z:I");
  CHECK(c.query("SELECT nothing_like_it(1)") == "E:42883 Z:I");
  CHECK(c.query("SELECT $1") == "E:42P02 Z:I");
  CHECK(c.query("BEGIN; VACUUM") == "C:BEGIN E:25001 Z:E");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "a value that contradicts its column's type is refused") {
  SqliteClient& c = client();
  c.query("CREATE TABLE t(a INTEGER, d DATE, u UUID)");
  c.query("INSERT INTO t VALUES ('abc', NULL, NULL)");
  CHECK(c.query("SELECT a FROM t") == "T E:22P02 Z:I");
  c.query("UPDATE t SET a = 1, d = '2024-02-30'");
  CHECK(c.query("SELECT d FROM t") == "T E:22P02 Z:I");
  CHECK(c.query("SELECT CAST(d AS TEXT) FROM t") == "T D:2024-02-30 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "who rests in a transaction while others wait has lost it") {
  SqliteClient& slow = client();
  SqliteClient& other = client();
  slow.query("CREATE TABLE t(a INTEGER)");
  CHECK(slow.query("BEGIN; INSERT INTO t VALUES (1)") == "C:BEGIN C:INSERT 0 1 Z:T");
  CHECK(other.query("INSERT INTO t VALUES (2)") == "C:INSERT 0 1 Z:I");
  CHECK(slow.query("INSERT INTO t VALUES (3)") == "E:25P03 Z:E");
  CHECK(slow.query("SELECT 1") == "E:25P02 Z:E");
  CHECK(slow.query("ROLLBACK") == "C:ROLLBACK Z:I");
  CHECK(slow.query("SELECT a FROM t") == "T D:2 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SqliteWireFixture, "what a pool sends to clean a session succeeds") {
  SqliteClient& c = client();
  CHECK(c.query("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;") ==
        "T D: C:SELECT 1 C:CLOSE CURSOR ALL C:UNLISTEN C:RESET Z:I");
  CHECK(c.query("DISCARD ALL") == "C:DISCARD ALL Z:I");
  CHECK(c.query("DEALLOCATE ALL") == "C:DEALLOCATE ALL Z:I");
}

}  // namespace based
