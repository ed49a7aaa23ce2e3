#include "backends/sql/command_tag.h"

#include <doctest/doctest.h>

namespace based::sql {
namespace {

TEST_CASE("a statement's command tag is read from its text") {
  struct Row {
    const char* text;
    const char* tag;
  };
  for (const Row& row :
       {Row{"select 1", "SELECT"}, Row{"/* insert */ -- x\n ((select 1) union select 2)", "SELECT"},
        Row{"values (1)", "SELECT"}, Row{"table t", "SELECT"},
        Row{"Insert into t values (1)", "INSERT"}, Row{"update t set a = 1", "UPDATE"},
        Row{"show all", "SHOW"}, Row{"set a = 1", "SET"},
        Row{"set constraints all deferred", "SET CONSTRAINTS"},
        Row{"discard plans", "DISCARD PLANS"}, Row{"truncate t", "TRUNCATE TABLE"},
        Row{"declare c cursor for select 1", "DECLARE CURSOR"}, Row{"", ""},
        Row{"-- nothing", ""}}) {
    INFO(row.text);
    CHECK(command_tag(row.text) == row.tag);
  }
}

TEST_CASE("behind WITH the tag is the main statement's") {
  CHECK(command_tag("with a as (delete from t returning *) select * from a") == "SELECT");
  CHECK(command_tag("with a as (select 1) insert into t select * from a") == "INSERT");
  CHECK(command_tag("with recursive insert(n) as (select 1), update as (select 2) delete from t") ==
        "DELETE");
  CHECK(command_tag("with a as (select ')') merge into t using a on true when matched then "
                    "do nothing") == "MERGE");
  CHECK(command_tag("with a as (select 1) values (1)") == "SELECT");
}

TEST_CASE("the tag of a definition names its object") {
  CHECK(command_tag("create table t (n int)") == "CREATE TABLE");
  CHECK(command_tag("create temp table t (n int)") == "CREATE TABLE");
  CHECK(command_tag("create or replace view v as select 1") == "CREATE VIEW");
  CHECK(command_tag("create unique index on t (n)") == "CREATE INDEX");
  CHECK(command_tag("drop materialized view if exists v") == "DROP MATERIALIZED VIEW");
  CHECK(command_tag("create user u") == "CREATE ROLE");
  CHECK(command_tag("create user mapping for u server s") == "CREATE USER MAPPING");
  CHECK(command_tag("alter text search dictionary d (a = b)") == "ALTER TEXT SEARCH DICTIONARY");
  CHECK(command_tag("alter \"t\"") == "ALTER");
}

}  // namespace
}  // namespace based::sql
