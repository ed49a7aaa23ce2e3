#include "backends/postgres/client_objects.h"

#include <doctest/doctest.h>

#include "backends/sql/script.h"

namespace based::postgres {
namespace {

StatementRef parsed(std::string_view text) {
  return (*sql::parse_script(text, Dialect::postgres, ParameterStyle::verbatim))
      ->statements.front();
}

// "table a drop"
std::string made(std::string_view text) {
  static constexpr const char* kinds[] = {"cursor ", "holdable ", "table ", "view ", "sequence "};
  static constexpr const char* ends[] = {"", " drop", " delete"};
  const std::optional<ClientObject> object = object_made_by(*parsed(text));
  if (!object) return "";
  return kinds[static_cast<int>(object->kind)] + object->name +
         ends[static_cast<int>(object->on_commit)];
}

TEST_CASE("what a text makes that ends with its client") {
  CHECK(made("create temp table A(n int)") == "table a");
  CHECK(made("CREATE LOCAL TEMPORARY TABLE if not exists \"A b\" (n int) ON COMMIT DROP") ==
        "table A b drop");
  CHECK(made("create temp table t on commit drop as select 1") == "table t drop");
  CHECK(made("create table pg_temp.t(n int) on commit delete rows") == "table t delete");
  CHECK(made("create or replace temp view v as select 1") == "view v");
  CHECK(made("create temporary sequence s") == "sequence s");
  CHECK(made("select 1 as n into temp \"A b\" from a") == "table A b");
  CHECK(made("with a as (select 1) select * INTO LOCAL TEMPORARY TABLE B from a") == "table b");
  CHECK(made("(select 1 into pg_temp.c) union select 2") == "table c");
  CHECK(made("explain analyze select 1 into temp d") == "table d");
  CHECK(made("declare c cursor for select 1") == "cursor c");
  CHECK(made("declare c binary scroll cursor with hold for select 1") == "holdable c");
  CHECK(made("declare c cursor without hold for select 1") == "cursor c");
  for (const char* text :
       {"create table t(n int)", "create view v as select 1", "select 1", "create temp", "declare",
        "drop table t", "select 1 into t", "explain select 1 into temp t",
        "insert into temp select 1", "select into temp"}) {
    CHECK(made(text).empty());
  }
}

TEST_CASE("what was rolled back is nobody's, and what was closed is the client's no more") {
  ClientObjects objects;
  SandboxObjects shared;
  objects.done(*parsed("declare a cursor with hold for select 1"), "DECLARE CURSOR", shared);
  objects.committed(shared);
  objects.done(*parsed("create temp table t(n int)"), "CREATE TABLE", shared);
  objects.rolled_back();
  CHECK(objects.owned().size() == 1);
  objects.done(*parsed("close a"), "CLOSE CURSOR", shared);
  CHECK(objects.owned().empty());
}

TEST_CASE("what ended with a transaction is dropped once more, unless there is a new one") {
  SandboxObjects shared;
  ClientObjects objects, others;
  const auto create = [&](ClientObjects& of, const char* text) {
    of.sent(*parsed(text));
    of.done(*parsed(text), "CREATE TABLE", shared);
  };
  create(objects, "create temp table t(n int) on commit drop");
  objects.rolled_back();
  CHECK(shared.left.empty());
  create(objects, "create temp table t(n int) on commit drop");
  objects.committed(shared);
  CHECK(shared.left.size() == 1);
  create(others, "create temp table t(n int)");
  CHECK(shared.left.empty());
  others.committed(shared);
  others.dropped(others.owned_temporary());
  others.rolled_back();
  others.committed(shared);
  CHECK(shared.left.empty());
  others.dropped(others.owned_temporary());
  others.committed(shared);
  CHECK(shared.left.size() == 1);
}

TEST_CASE("whose rows end with a transaction is said by the newest table of the name") {
  SandboxObjects shared;
  ClientObjects objects;
  const auto create = [&](const char* text) {
    objects.sent(*parsed(text));
    objects.done(*parsed(text), "CREATE TABLE", shared);
  };
  const auto emptied = [&] { return objects.emptied(shared).contains("t"); };
  create("create temp table t(n int) on commit delete rows");
  CHECK(emptied());
  create("create temp table t(n int)");
  CHECK_FALSE(emptied());
  objects.rolled_back();
  create("create temp table t(n int) on commit delete rows");
  objects.committed(shared);
  CHECK(emptied());
  objects.sent(*parsed("create temp table t(n int)"));
  CHECK_FALSE(emptied());
  objects.failed();
  CHECK(emptied());
  create("create temp table if not exists t(n int)");
  CHECK(emptied());
  create("create temp table t(n int)");
  objects.committed(shared);
  CHECK_FALSE(emptied());
  create("create temp table if not exists t(n int) on commit delete rows");
  CHECK_FALSE(emptied());
  create("create temp table t(n int) on commit drop");
  CHECK(objects.ending().size() == 1);
  create("create temp table t(n int)");
  CHECK(objects.ending().empty());
}

TEST_CASE("a table that is renamed ends as what it was, and so does what has its name then") {
  SandboxObjects shared;
  ClientObjects objects;
  const auto run = [&](const char* text) {
    objects.sent(*parsed(text));
    objects.done(*parsed(text), "", shared);
  };
  const auto emptied = [&] {
    std::string names;
    for (const std::string& name : objects.emptied(shared)) names += name + ' ';
    return names;
  };
  const auto savepoint = [&](const char* text) { objects.note_savepoint(*parsed(text)); };
  run("create temp table a(n int) on commit delete rows");
  run("create temp table c(n int)");
  objects.committed(shared);
  objects.sent(*parsed("alter table a rename to b"));
  CHECK(emptied() == "b ");
  objects.failed();
  CHECK(emptied() == "a ");
  savepoint("savepoint s");
  run("alter table if exists only a rename to b");
  run("alter table pg_temp.c rename to a");
  savepoint("savepoint t");
  run("create temp table d(n int) on commit drop");
  run("alter table d rename to e");
  CHECK(objects.ending().size() == 1);
  CHECK(objects.ending()[0].name == "e");
  savepoint("rollback to s");
  CHECK(objects.ending().empty());
  CHECK(emptied() == "a ");
  run("alter table a rename to b");
  run("alter table c rename to a");
  objects.committed(shared);
  CHECK(emptied() == "b ");
  const auto owned = [&] {
    std::string names;
    for (const ClientObject& object : objects.owned()) names += object.name + ' ';
    return names;
  };
  CHECK(owned() == "a b ");
  run("alter table b rename to f");
  objects.rolled_back();
  CHECK(owned() == "a b ");
  run("alter table b rename to f");
  objects.committed(shared);
  CHECK(owned() == "a f ");
  for (const char* text :
       {"alter table b rename n to m", "alter table b rename column n to m",
        "alter table b rename constraint n to m", "alter table other.b rename to c",
        "alter index b rename to c", "alter table b rename", "alter table", "select 1"}) {
    CHECK_FALSE(renaming_by(*parsed(text)));
  }
}

TEST_CASE("what was cleared away is left once more when that is undone, or a reset goes back") {
  SandboxObjects shared;
  shared.leave({.name = "a"});
  CHECK(shared.clear().size() == 1);
  CHECK(shared.left.empty());
  shared.clearing_undone();
  CHECK(shared.left.size() == 1);
  const std::size_t oldest = shared.mark(true);
  CHECK(shared.clear().size() == 1);
  shared.clearing_stays();
  shared.clearing_undone();
  CHECK(shared.left.empty());
  const std::size_t newer = shared.mark(false);
  shared.go_back(newer);
  CHECK(shared.left.empty());
  shared.go_back(oldest);
  CHECK(shared.left.size() == 1);
}

TEST_CASE("locks are given back when the last who has any has gone") {
  SandboxObjects shared;
  std::string said;
  shared.unlock = [&said](bool due) { said += due ? "due " : "not "; };
  ClientObjects one, two;
  one.done(*parsed("select pg_advisory_lock(1)"), "SELECT 1", shared);
  one.done(*parsed("select pg_advisory_lock(2)"), "SELECT 1", shared);
  two.done(*parsed("select pg_try_advisory_lock(3)"), "SELECT 1", shared);
  CHECK(said == "not ");
  shared.drop_lock_holder();
  CHECK(said == "not ");
  shared.drop_lock_holder();
  CHECK(said == "not due ");
}

TEST_CASE("session-level locks are told from those of a transaction") {
  CHECK(locks_for_session(*parsed("select pg_advisory_lock(1)")));
  CHECK(locks_for_session(*parsed("select pg_try_advisory_lock_shared(1)")));
  CHECK_FALSE(locks_for_session(*parsed("select pg_advisory_xact_lock(1)")));
  CHECK_FALSE(locks_for_session(*parsed("select pg_advisory_unlock(1)")));
}

TEST_CASE("names are quoted in what drops them") {
  const std::string text = drop_objects({{.name = "a\"'b"}})->text;
  CHECK(text.find(R"(DROP TABLE pg_temp."a""''b" CASCADE)") != text.npos);
  CHECK(drop_objects({}) == nullptr);
}

}  // namespace
}  // namespace based::postgres
