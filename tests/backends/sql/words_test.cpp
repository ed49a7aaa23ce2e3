#include "backends/sql/words.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "backends/sql/ordinary.h"
#include "backends/sql/script.h"

namespace based::sql {
namespace {

TEST_CASE("a set of words has its words in any case, and no others") {
  static constexpr std::array<std::string_view, 4> uppers{"INTO", "ZONE", "UPDATE",
                                                          "PG_CREATE_LOGICAL_REPLICATION_SLOT"};
  constexpr WordSet set(uppers);
  for (const char* word :
       {"INTO", "into", "iNtO", "zone", "update", "pg_create_logical_replication_slot"}) {
    CHECK(set.has(word));
  }
  for (const char* word :
       {"", "i", "int", "intos", "jnto", "upda_e", "_nto", "{nto", "@one", "\xE9nto", "1nto",
        "update_", "pg_create_logical_replication_slots", "pg_create_logical_replication_slo"}) {
    CHECK_FALSE(set.has(word));
  }
  CHECK(set.may_have("Into"));
  CHECK(set.may_have("IDIO"));  // first and last letter and length are those of INTO
  CHECK_FALSE(set.may_have("into_"));
}

TEST_CASE("what leaves state on the connection is not ordinary, wherever it stands") {
  for (const char* text :
       {"select pg_advisory_lock(1)", "select a, PG_TRY_ADVISORY_LOCK_SHARED (1) from t",
        "select s.currval('q')", "select \"lastval\"()", "select setseed(0.5)",
        "select dblink_connect_u('x')", "with a as (select 1) select * into temp b from a",
        "select pg_create_logical_replication_slot('a', 'b')", "select 1 into local temporary b",
        "select set_config('a', 'b', false)", "with a as (copy t to stdout) select 1",
        "select * INTO b from a", "with a as (insert into t values (1)) select 1 into b"}) {
    CAPTURE(text);
    CHECK_FALSE(is_ordinary(text));
  }
  for (const char* text :
       {"select 1", "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
        "select pg_advisory_xact_lock(1)", "select curvval('q')", "select lastval from t",
        "select set_config('a', 'b', true)", "insert into t values (1)",
        "with a as (insert into t values (1) returning *) select * from a"}) {
    CAPTURE(text);
    CHECK(is_ordinary(text));
  }
}

TEST_CASE("whatever is ordinary is one statement that leaves nothing behind") {
  const std::vector<std::string> fragments{
      "select",   "insert into", "with",      "values", "t",         "temp",  "temporary",
      "copy",     "set_config",  "(",         ")",      ",",         ".",     ";",
      "'",        "''",          "'a'",       "E'",     "U&'",       "\\",    "\"",
      "$1",       "$$",          "$a$",       "--",     "-",         "/*",    "*/",
      "/",        "\n",          " ",         "1",      "1e5",       ".5",    "x$",
      "\xC3\xA9", "currval",     "into",      "begin",  "commit",    "local", "true",
      "false",    "::",          "@>",        "?",      "[",         "]",     "{",
      "\0",       "pg_temp",     "lastval()", "table",  "for update"};
  std::mt19937 random(11);
  int ordinary = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string text(random() % 8 == 0 ? "" : "select ");
    for (std::size_t length = random() % 10; length > 0; --length) {
      text += fragments[random() % fragments.size()];
      if (random() % 2 == 0) text += ' ';
    }
    if (!is_ordinary(text)) continue;
    INFO(text);
    ++ordinary;
    const auto script = parse_script(text, Dialect::postgres, ParameterStyle::verbatim);
    REQUIRE(script.ok());
    REQUIRE((*script)->statements.size() == 1);
    const Statement& statement = *(*script)->statements.front();
    const bool reads_or_writes =
        statement.kind == StatementKind::read || statement.kind == StatementKind::write;
    CHECK(reads_or_writes);
    CHECK(statement.makes.empty());
    CHECK_FALSE(statement.sets_local);
    CHECK_FALSE(statement.may_copy);
  }
  CHECK(ordinary > 10'000);
}

}  // namespace
}  // namespace based::sql
