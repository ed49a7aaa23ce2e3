#include "backends/sql/statement_table.h"

#include "tests/backends/sql/sql_fixture.h"

namespace based::sql {
namespace {

ScriptRef intern(StatementTable& table, std::string_view text,
                 ParameterStyle style = ParameterStyle::none) {
  auto script = table.intern(text, style);
  REQUIRE(script.ok());
  return *script;
}

TEST_CASE("a text is parsed once, and again for another style of parameters") {
  StatementTable table(Dialect::postgres);
  const ScriptRef first = intern(table, "select a ? b", ParameterStyle::none);
  CHECK(intern(table, std::string("select a ? ") + "b", ParameterStyle::none) == first);
  const ScriptRef other = intern(table, "select a ? b", ParameterStyle::positional);
  CHECK(other != first);
  CHECK(other->statements.front()->parameter_count == 1);
  CHECK(table.counters().hits == 1);
  CHECK(table.counters().misses == 2);
  CHECK(table.size() == 2);
}

TEST_CASE("the least recently used text is forgotten, and who holds it keeps it") {
  StatementTable table(Dialect::postgres, {.entries_max = 2});
  const ScriptRef a = intern(table, "select 'a'");
  intern(table, "select 'b'");
  intern(table, "select 'a'");
  intern(table, "select 'c'");
  CHECK(table.size() == 2);
  CHECK(table.counters().evictions == 1);
  CHECK(intern(table, "select 'a'") == a);
  intern(table, "select 'b'");
  intern(table, "select 'c'");
  CHECK(intern(table, "select 'a'") != a);
  CHECK(a->statements.front()->text == "select 'a'");
}

TEST_CASE("kept bytes stay within their limit") {
  StatementTable table(Dialect::sqlite, {.bytes_max = 20'000});
  for (int i = 0; i < 200; ++i) {
    intern(table, "select " + std::to_string(i) + std::string(500, ' '));
    CHECK(table.bytes() <= 20'000);
  }
  CHECK(table.size() > 1);
}

TEST_CASE("a long text and an erroneous one are not kept") {
  StatementTable table(Dialect::sqlite, {.text_bytes_max = 100});
  intern(table, "select '" + std::string(100, 'x') + "'");
  CHECK_FALSE(table.intern("select 'x", ParameterStyle::none).ok());
  CHECK(table.size() == 0);
  CHECK(table.bytes() == 0);
}

}  // namespace
}  // namespace based::sql
