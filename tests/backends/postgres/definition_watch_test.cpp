#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "backends/postgres/definition_watch.h"

namespace based::postgres {
namespace {

struct Watched {
  explicit Watched(DefinitionNews* news = nullptr) : watch(cache, news) {}

  // Prepares this text.
  void prepare(std::string_view text) {
    watch.begin_group();
    cache.begin_group();
    cache.add(text, {}, "");
  }
  bool has(std::string_view text) {
    watch.begin_group();
    const StatementCache::Entry* entry = cache.peek(text, {}, "");
    return entry != nullptr && !entry->outdated;
  }
  // These statements are answered, in one request that ends like this.
  void run(std::initializer_list<std::string_view> tags, char status) {
    for (const std::string_view tag : tags) {
      tag == "ERROR" ? watch.note_error() : watch.note_tag(tag);
    }
    watch.note_ready(status);
  }
  bool forgets(std::string_view tag) {
    prepare("a");
    watch.note_tag(tag);
    return !has("a");
  }

  StatementCache cache{100};
  DefinitionWatch watch;
};

}  // namespace

TEST_CASE("what was prepared before a DROP or an ALTER is not relied on") {
  for (const std::string_view tag : {"DROP TABLE", "DROP TYPE", "DROP SCHEMA", "DROP OWNED",
                                     "ALTER TABLE", "ALTER TYPE", "DROP MATERIALIZED VIEW"}) {
    CAPTURE(std::string(tag));
    CHECK(Watched().forgets(tag));
  }
  for (const std::string_view tag :
       {"DROP INDEX", "ALTER ROLE", "DROP USER MAPPING", "CREATE TABLE", "DELETE 1", "SELECT 1",
        "COMMIT", "DO", "ANALYZE", "DISCARD "}) {
    CAPTURE(std::string(tag));
    CHECK_FALSE(Watched().forgets(tag));
  }
}

TEST_CASE("Based's own control of transactions stays prepared") {
  Watched link;
  link.prepare("SAVEPOINT _based_1");
  link.prepare("select 1");
  link.run({"DROP TYPE"}, 'I');
  CHECK(link.has("SAVEPOINT _based_1"));
  CHECK_FALSE(link.has("select 1"));
}

TEST_CASE("a rollback takes what was prepared in its transaction, where that has made something") {
  for (const bool makes : {true, false}) {
    Watched link;
    link.prepare("before");
    link.run({"SELECT 1"}, 'I');
    link.run({"BEGIN"}, 'T');
    link.prepare("inside");
    link.run({makes ? "CREATE TYPE" : "INSERT 0 1"}, 'T');
    link.prepare("behind");
    link.run({"ROLLBACK"}, 'I');
    CHECK(link.has("before"));
    CHECK(link.has("inside") == !makes);
    CHECK(link.has("behind") == !makes);
  }
}

TEST_CASE("so does an error outside of a transaction, and a commit takes nothing") {
  Watched link;
  link.prepare("failing");
  link.run({"CREATE TABLE", "ERROR"}, 'I');
  CHECK_FALSE(link.has("failing"));
  link.prepare("committed");
  link.run({"CREATE TABLE"}, 'I');
  link.run({"ERROR"}, 'I');
  CHECK(link.has("committed"));
}

TEST_CASE("behind a rollback to a savepoint the rest of the transaction may be rolled back, too") {
  Watched link;
  link.run({"BEGIN", "CREATE TYPE", "SAVEPOINT"}, 'T');
  link.prepare("one");
  link.run({"ROLLBACK"}, 'T');
  CHECK_FALSE(link.has("one"));
  link.prepare("two");
  link.run({"ROLLBACK"}, 'I');
  CHECK_FALSE(link.has("two"));
}

TEST_CASE("the other links hear of a change when it is committed") {
  DefinitionNews news;
  Watched link(&news);
  Watched other(&news);
  other.prepare("theirs");
  link.run({"BEGIN", "DROP TYPE", "CREATE TYPE"}, 'T');
  link.prepare("new");
  CHECK(other.has("theirs"));
  link.run({"COMMIT"}, 'I');
  CHECK_FALSE(other.has("theirs"));
  CHECK(link.has("new"));
  other.prepare("theirs");
  link.watch.note_tag("DROP TYPE");
  link.watch.note_lost();
  CHECK_FALSE(other.has("theirs"));
}

TEST_CASE("a drop of the session's own temporary tables takes what was prepared since they are") {
  DefinitionNews news;
  Watched link(&news);
  const auto forgets = [&link](std::string_view made, std::string_view dropped) {
    link.prepare("before");
    link.watch.note_sent(made);
    link.prepare("behind");
    link.run({"CREATE TABLE"}, 'I');
    link.watch.note_sent(dropped);
    link.run({"DROP TABLE"}, 'I');
    CHECK_FALSE(link.has("behind"));
    const bool all = !link.has("before");
    link.cache.forget_all(false);
    return all;
  };
  CHECK_FALSE(forgets("create temp table a (n int)", "DROP TABLE A"));
  CHECK_FALSE(
      forgets(" CREATE LOCAL TEMPORARY TABLE if not exists a()", "drop table if exists a ;"));
  CHECK(news.count == 0);
  CHECK(forgets("create temp table a (n int)", "drop table a cascade"));
  CHECK(forgets("create temp table a (n int)", "drop table a; drop table b"));
  CHECK(forgets("create temp table a (n int)", "drop table a, b"));
  CHECK(forgets("create temp table a (n int)", "drop table public.a"));
  CHECK(news.count == 4);
  link.watch.begin_lease();  // another session, which means another one
  CHECK(forgets("create table a (n int)", "drop table a"));
  CHECK(news.count == 6);  // the table, and its drop
}

TEST_CASE("what ends with its transaction takes what was prepared since it is") {
  Watched link;
  link.prepare("before");
  link.watch.note_sent("create temp table a (n int) on commit drop");
  link.run({"BEGIN", "CREATE TABLE"}, 'T');
  link.prepare("behind");
  link.run({"COMMIT"}, 'I');
  CHECK(link.has("before"));
  CHECK_FALSE(link.has("behind"));
}

TEST_CASE("in a batch a text is read before its tag has come") {
  Watched link;
  link.prepare("a");
  link.watch.note_sent("select 1");
  link.watch.note_sent("create type t as enum ()");
  link.watch.note_sent("drop index i");
  CHECK(link.has("a"));
  link.watch.note_sent("  Drop type t");
  CHECK_FALSE(link.has("a"));
}

TEST_CASE(
    "what is made takes what was prepared with its name in it: it may come first in the path") {
  const auto forgets = [](std::string_view made) {
    Watched link;
    link.prepare("insert into FOO values ($1)");
    link.prepare("select 1");
    link.watch.note_sent(made);
    CHECK(link.has("select 1"));
    return !link.has("insert into FOO values ($1)");
  };
  for (const std::string_view made :
       {"create table foo (n int)", "CREATE TEMP TABLE IF NOT EXISTS pg_temp . Foo ()",
        "create or replace view \"FOO\" as", "/* of */ create -- a\n unlogged table a.b.foo()",
        "create materialized view foo as select 1", "create function foo(int) returns int",
        "begin; create temporary table foo ()", "select ';'; \n create sequence foo",
        "DO 'BEGIN DROP TABLE pg_temp.\"foo\" CASCADE; END'"}) {
    CAPTURE(std::string(made));
    CHECK(forgets(made));
  }
  for (const std::string_view made :
       {"create index foo on a (b)", "create table bar (foo int)", "create role foo", "create",
        "do 'select foo'", "select 'create table foo'", "create table", "/* create table foo"}) {
    CAPTURE(std::string(made));
    if (made != "create table") CHECK_FALSE(forgets(made));
  }
}

TEST_CASE("a text that makes very much takes everything") {
  DefinitionNews news;
  Watched link(&news);
  std::string text = "select 1";
  for (int i = 0; i < 32; ++i) text += "; create table a" + std::to_string(i) + " ()";
  link.prepare("table foo");
  link.watch.note_sent(text);
  CHECK(link.has("table foo"));
  link.watch.note_sent(text + "; create table b ()");
  CHECK_FALSE(link.has("table foo"));
  link.run({"CREATE TABLE"}, 'I');
  CHECK(news.of_all == 1);
  CHECK(news.count == 1);
}

TEST_CASE("what is prepared and executed more than once makes something each time") {
  Watched link;
  link.watch.note_sent("create temp table foo ()");
  link.prepare("table foo");
  link.watch.note_executed("create temp table foo ()");
  CHECK_FALSE(link.has("table foo"));
}

TEST_CASE("what a SELECT INTO makes is no other than what a CREATE makes") {
  DefinitionNews news;
  Watched link(&news);
  Watched other(&news);
  for (Watched* each : {&link, &other}) {
    each->prepare("table foo");
    each->prepare("table bar");
  }
  link.watch.note_selected_into("foo", false);
  link.watch.note_selected_into("bar", true);
  CHECK_FALSE(link.has("table foo"));
  CHECK_FALSE(link.has("table bar"));
  link.prepare("table foo");
  link.run({"SELECT 1", "SELECT 1"}, 'I');
  CHECK_FALSE(other.has("table foo"));
  CHECK(other.has("table bar"));
  CHECK(link.has("table foo"));
  link.watch.note_selected_into("some", false);
  link.prepare("inside");
  link.run({"SELECT 1", "ROLLBACK"}, 'I');
  CHECK_FALSE(link.has("inside"));
}

TEST_CASE("the other links hear of what was made by its name, if they come in time") {
  DefinitionNews news;
  Watched link(&news);
  Watched other(&news);
  other.prepare("table foo");
  other.prepare("table bar");
  link.watch.note_sent("create table foo ()");
  link.watch.note_sent("create temp table bar ()");
  link.run({"CREATE TABLE", "CREATE TABLE"}, 'T');
  CHECK(other.has("table foo"));
  link.prepare("table foo");
  link.run({"COMMIT"}, 'I');
  CHECK_FALSE(other.has("table foo"));
  CHECK(other.has("table bar"));
  CHECK(link.has("table foo"));
  for (std::size_t i = 0; i <= DefinitionNews::names_max; ++i) news.add("another");
  CHECK_FALSE(other.has("table bar"));
}

TEST_CASE("one goes back to where it was before, once") {
  Watched link;
  DefinitionWatch::Point begin = link.watch.here();
  link.prepare("a");
  link.watch.go_back(begin);
  CHECK(link.has("a"));
  link.run({"CREATE TYPE"}, 'T');
  link.watch.go_back(begin);
  CHECK_FALSE(link.has("a"));
  link.prepare("a");
  link.watch.go_back(begin);
  CHECK(link.has("a"));
}

TEST_CASE("what is outdated stays for who has prepared it, until somebody prepares its text anew") {
  StatementCache cache(10);
  cache.begin_group();
  cache.parsed(cache.add("a", {}, "")->name);
  cache.outdate_since(0);
  CHECK(cache.find("a", {}, "") != nullptr);
  CHECK(cache.find_current("a", {}, "") == nullptr);
  CHECK(cache.take_closable().size() == 1);
  CHECK(cache.find("a", {}, "") == nullptr);
  cache.add("a", {}, "");
  CHECK(cache.find_current("a", {}, "") != nullptr);
}

TEST_CASE("a plan that is of no use is forgotten, unless its group has made it") {
  StatementCache cache(10);
  cache.begin_group();
  const std::uint32_t number = cache.newest(cache.add("a", {}, "")->name);
  CHECK(number == 1);
  CHECK_FALSE(cache.forget_older(number));
  cache.begin_group();
  CHECK_FALSE(cache.forget_older(2));
  CHECK(cache.forget_older(number));
  CHECK(cache.peek("a", {}, "") == nullptr);
  CHECK(cache.take_closable().size() == 1);
}

}  // namespace based::postgres
