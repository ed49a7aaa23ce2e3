#include "tests/backends/sql/sql_fixture.h"

namespace based::sql {
namespace {

using enum StatementKind;

struct Row {
  const char* text;
  StatementKind kind;
};

void check_all(std::initializer_list<Row> rows, Dialect dialect) {
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK(one(row.text, dialect)->kind == row.kind);
  }
}

TEST_CASE("both dialects' everyday statements are told apart by their first words") {
  for (const Dialect dialect : both_dialects) {
    check_all({{"select 1", read},
               {"/* x */ -- y\n SeLeCt 1", read},
               {"((select 1) union select 2)", read},
               {"values (1), (2)", read},
               {"with a as (select 1) select * from a", read},
               {"with a as (select 1) insert into t select * from a", write},
               {"insert into t values (1)", write},
               {"update t set a = 1", write},
               {"delete from t", write},
               {"create table t(a)", definition},
               {"create temp table t(a)", pinning},
               {"CREATE TEMPORARY VIEW v AS SELECT 1", pinning},
               {"drop table t", definition},
               {"alter table t add b int", definition},
               {"vacuum", standalone},
               {"explain select 1", read},
               {"explain delete from t", read},
               {"frobnicate", other}},
              dialect);
  }
}

TEST_CASE("PostgreSQL's statements are classified") {
  check_all({{"table t", read},
             {"show all", read},
             {"merge into t using u on true when matched then delete", write},
             {"with a as (delete from t returning *) select * from a", write},
             {"select 1 into t", write},
             {"select 1 into temp t", pinning},
             {"select 1 into local temporary t", pinning},
             {"with a as (delete from t) select 1 into temp b", pinning},
             {"explain analyze select 1", read},
             {"explain analyze verbose delete from t", write},
             {"explain (analyze, buffers) update t set a = 1", write},
             {"explain (analyze false) update t set a = 1", read},
             {"explain (costs off) insert into t values (1)", read},
             {"explain (select 1)", read},
             {"explain analyze create table t as select 1", definition},
             {"explain analyze execute x", prepare},
             {"truncate t", definition},
             {"create table pg_temp.t(a)", pinning},
             {"create function \"pg_temp\".f() returns int return 1", pinning},
             {"grant select on t to u", definition},
             {"comment on table t is 'x'", definition},
             {"refresh materialized view concurrently v", definition},
             {"create index on t (a)", definition},
             {"create unique index concurrently i on t (a)", standalone},
             {"drop index concurrently i", standalone},
             {"drop index i", definition},
             {"reindex table t", definition},
             {"reindex (verbose) table concurrently t", standalone},
             {"reindex database d", standalone},
             {"reindex schema s", standalone},
             {"create database d", standalone},
             {"drop database d", standalone},
             {"alter database d set tablespace x", standalone},
             {"alter database d set work_mem = 1", definition},
             {"create tablespace s location 'x'", standalone},
             {"drop tablespace s", standalone},
             {"alter system set work_mem = 1", standalone},
             {"alter table a detach partition b concurrently", standalone},
             {"cluster", standalone},
             {"cluster verbose", standalone},
             {"cluster t", definition},
             {"vacuum (full) t", standalone},
             {"prepare a as select $1", prepare},
             {"execute a(1)", prepare},
             {"deallocate all", prepare},
             {"listen a", listen},
             {"unlisten *", listen},
             {"notify a", other},
             {"copy t from stdin", copy},
             {"call p()", other},
             {"do $$ begin commit; end $$", other},
             {"declare c cursor for select 1", other},
             {"declare c cursor with hold for select 1", pinning},
             {"load 'x'", pinning},
             {"select pg_advisory_lock(1)", pinning},
             {"select * from t where pg_catalog.pg_try_advisory_lock_shared(id)", pinning},
             {"select \"pg_advisory_lock\" (1)", pinning},
             {"select pg_advisory_xact_lock(1)", read},
             {"select 'pg_advisory_lock(1)'", read},
             {"insert into t select pg_advisory_lock(1)", pinning},
             {"select set_config('a.b', 'c', false)", pinning},
             {"select set_config('a.b', f(1, 2), true)", read},
             {"select set_config('a.b', 'c', $1)", pinning},
             {"select set_config('a.b', set_config('x.y', 'z', false), true)", pinning},
             {"select setseed(0.5)", pinning},
             {"select currval('s')", pinning},
             {"discard all", discard}},
            Dialect::postgres);
}

TEST_CASE("SQLite's statements are classified") {
  check_all({{"replace into t values (1)", write},
             {"with a as (select 1) replace into t select * from a", write},
             {"select replace('a', 'b', 'c')", read},
             {"pragma table_info(t)", read},
             {"pragma main.table_info('t')", read},
             {"pragma user_version", read},
             {"pragma user_version = 3", other},
             {"pragma journal_mode(wal)", other},
             {"pragma wal_checkpoint", other},
             {"attach 'x' as y", standalone},
             {"detach y", standalone},
             {"analyze", definition},
             {"explain query plan insert into t values (1)", read},
             {"set a = 1", other},
             {"listen a", other},
             {"select currval('s')", read}},
            Dialect::sqlite);
  const StatementRef pragma = one("PRAGMA Main.Journal_Mode = WAL", Dialect::sqlite);
  CHECK(pragma->name == "journal_mode");
  CHECK(pragma->setting == "WAL");
}

TEST_CASE("a read that locks, writes or asks about its connection is not a plain read") {
  const auto plain = [](const char* text) { return one(text, Dialect::postgres)->plain_read; };
  CHECK(plain("select * from t"));
  CHECK(plain("select substring('abc' for 2)"));
  CHECK_FALSE(plain("select * from t for update"));
  CHECK_FALSE(plain("select * from t for no key update of t"));
  CHECK_FALSE(plain("select nextval('s')"));
  CHECK_FALSE(plain("select pg_notify('a', 'b')"));
  CHECK_FALSE(plain("select lo_create(0)"));
  CHECK_FALSE(plain("insert into t values (1)"));
  CHECK(one("select * from t for share", Dialect::postgres)->locks_rows);
  CHECK_FALSE(one("select last_insert_rowid()", Dialect::sqlite)->plain_read);
  CHECK(one("select count(*) from t", Dialect::sqlite)->plain_read);
}

TEST_CASE("only what may be COPY says so") {
  CHECK(one("copy t to stdout", Dialect::postgres)->may_copy);
  CHECK_FALSE(one("select copy from t", Dialect::postgres)->may_copy);
  CHECK_FALSE(one("select 1", Dialect::postgres)->may_copy);
}

}  // namespace
TEST_CASE("the table that a SELECT makes is known") {
  const auto makes = [](const char* text) {
    const StatementRef statement = one(text, Dialect::postgres);
    return (statement->makes_temporary ? "temporary " : "") + statement->makes;
  };
  CHECK(makes("select 1 INTO Some from a") == "some");
  CHECK(makes("select 1 into unlogged table \"A b\"") == "A b");
  CHECK(makes("select 1 into first.some from a") == "some");
  CHECK(makes("(select 1 into temporary b) union select 2") == "temporary b");
  CHECK(makes("explain analyze select 1 into pg_temp.b") == "temporary b");
  CHECK(makes("with a as (insert into t values (1)) select 1 into temp table b") == "temporary b");
  for (const char* text : {"select 1", "insert into t select 1", "explain select 1 into t",
                           "create table t as select 1", "select ' into t'"}) {
    CHECK(makes(text).empty());
  }
}

TEST_CASE("a setting for the transaction that decides what literals mean is seen") {
  const auto sets = [](const char* text) { return one(text, Dialect::postgres)->sets_local; };
  CHECK(sets("select set_config('timezone', 'Asia/Tokyo', true)"));
  CHECK(sets("select set_config('DateStyle', $1, true)"));
  CHECK(sets("select set_config($1, $2, true)"));
  CHECK(sets("select set_config('time' || 'zone', $2, true)"));
  CHECK(sets("select set_config('a.b', $2, true), set_config('timezone', 'UTC', true)"));
  CHECK_FALSE(sets("select set_config('a.b', $2, true), set_config('search_path', $3, true)"));
  CHECK_FALSE(sets("select set_config('timezone', 'UTC', false)"));  // it pins
  CHECK_FALSE(sets("select 1"));
}

}  // namespace based::sql
