#include "tests/backends/sql/sql_fixture.h"

namespace based::sql {
namespace {

using enum ParameterStyle;
using Names = std::vector<std::string>;

struct Row {
  Dialect dialect;
  ParameterStyle style;
  const char* text;
  const char* translated;
  std::uint32_t count;
};
constexpr Dialect postgres = Dialect::postgres;
constexpr Dialect sqlite = Dialect::sqlite;

TEST_CASE("the three ways of writing parameters become the backend's own") {
  for (const Row& row : {
           Row{postgres, positional, "select $1, $2", "select $1, $2", 2},
           Row{postgres, positional, "select $2", "select $2", 2},
           Row{postgres, positional, "select ?, ?", "select $1, $2", 2},
           Row{postgres, positional, "select a=?", "select a=$1", 1},
           Row{postgres, positional, "select ?||?", "select $1||$2", 2},
           Row{postgres, named, "select :a, :b, :a", "select $1, $2, $1", 2},
           Row{postgres, named, "select a=:b::int", "select a=$1::int", 1},
           Row{sqlite, positional, "select $1, $2", "select ?1, ?2", 2},
           Row{sqlite, positional, "select ?, ?", "select ?1, ?2", 2},
           Row{sqlite, positional, "select ?2, ?1", "select ?2, ?1", 2},
           Row{sqlite, positional, "select ?2, $1", "select ?2, ?1", 2},
           Row{sqlite, named, "select :a, :b, :a", "select ?1, ?2, ?1", 2},
           Row{sqlite, none, "select ?", "select ?1", 1},
           Row{postgres, positional, "select 1 limit?", "select 1 limit $1", 1},
           Row{postgres, positional, "select ?5", "select $1 5", 1},
       }) {
    INFO(row.text);
    const StatementRef statement = one(row.text, row.dialect, row.style);
    CHECK(statement->text == row.translated);
    CHECK(statement->parameter_count == row.count);
  }
}

TEST_CASE("on PostgreSQL a question mark is an operator unless positions are given by it") {
  for (const Row& row : {
           Row{postgres, none, "select a ? 'b', c ?| d, e ?& f", nullptr, 0},
           Row{postgres, named, "select a ? 'b' and c = :d", "select a ? 'b' and c = $1", 1},
           Row{postgres, positional, "select a ? 'b' and c = $1", nullptr, 1},
           Row{postgres, positional, "select a ?? 'b' and c = ?", "select a ? 'b' and c = $1", 1},
           Row{postgres, positional, "select a ??| b, a ??& ?", "select a ?| b, a ?& $1", 1},
           Row{postgres, positional, "select a @?? ?", "select a @? $1", 1},
           Row{postgres, none, "select a ?? b", nullptr, 0},
       }) {
    INFO(row.text);
    const StatementRef statement = one(row.text, row.dialect, row.style);
    CHECK(statement->text == (row.translated != nullptr ? row.translated : row.text));
    CHECK(statement->parameter_count == row.count);
  }
}

TEST_CASE("strings, comments, casts, slices and assignments hold no placeholders") {
  for (const ParameterStyle style : {none, positional, named}) {
    for (const char* text :
         {"select '$1 ? :a', \"?:b\", $$ :a $1 ? $$", "select a[1:2], a[i:j], a[i :j], b::text",
          "select /* :a ? $1 */ 1 -- :b ?", "select f(a := 1)", "select a$1", "select 1:2"}) {
      INFO(text);
      const StatementRef statement = one(text, postgres, style);
      CHECK(statement->text == text);
      CHECK(statement->parameter_count == 0);
    }
  }
  CHECK(one("select a[:n]", postgres, none)->parameter_count == 0);
  CHECK(one("select a[:n]", postgres, named)->text == "select a[$1]");
  CHECK(one("select a[:n:3]", postgres, named)->parameter_count == 1);
  CHECK(one("select [a:b], `?`, 'x' /* ? */ -- ?", sqlite, none)->parameter_count == 0);
}

TEST_CASE("names are given in order of first appearance") {
  const StatementRef statement = one("select :b, :a, :b, :C", postgres, named);
  CHECK(statement->parameter_names == Names{"b", "a", "C"});
  CHECK(one("select $1", postgres, positional)->parameter_names.empty());
}

TEST_CASE("parameters inside a routine or PREPARE belong to it") {
  CHECK(one("create function f(int) returns int begin atomic select $1; end", postgres)
            ->parameter_count == 0);
  CHECK(one("create function f(int) returns int return $1 + 1", postgres)->parameter_count == 0);
  CHECK(one("prepare p as select $1", postgres)->parameter_count == 0);
  CHECK(one("create table t as select $1::int", postgres, positional)->parameter_count == 1);
}

TEST_CASE("each statement of a script counts its own parameters") {
  const ScriptRef script = parse("select ?; select ?, ?", sqlite, positional);
  REQUIRE(script->statements.size() == 2);
  CHECK(script->statements[0]->text == "select ?1");
  CHECK(script->statements[1]->text == "select ?1, ?2");
}

TEST_CASE("what cannot be a parameter is refused with its place") {
  struct Refusal {
    Dialect dialect;
    ParameterStyle style;
    const char* text;
    Sqlstate code;
    std::uint32_t position;
  };
  for (const Refusal& row : {
           Refusal{postgres, named, "select $1, :a", sqlstate::syntax_error, 11},
           Refusal{sqlite, positional, "select ?, $1", sqlstate::syntax_error, 10},
           Refusal{sqlite, positional, "select ?, :a", sqlstate::syntax_error, 10},
           Refusal{sqlite, named, "select 1; select @a", sqlstate::syntax_error, 17},
           Refusal{sqlite, named, "select $a", sqlstate::syntax_error, 7},
           Refusal{postgres, positional, "select $0", sqlstate::undefined_parameter, 7},
           Refusal{postgres, positional, "select $65536", sqlstate::program_limit_exceeded, 7},
           Refusal{sqlite, positional, "select ?32767", sqlstate::program_limit_exceeded, 7},
           Refusal{postgres, positional, "select $99999999999999999999",
                   sqlstate::program_limit_exceeded, 7},
           Refusal{postgres, positional, "select :a", sqlstate::undefined_parameter, 7},
           Refusal{sqlite, named, "select ?", sqlstate::undefined_parameter, 7},
       }) {
    INFO(row.text);
    const Error error = refused(row.text, row.dialect, row.style);
    CHECK(error.sqlstate == row.code);
    CHECK(error.position == row.position);
  }
}

TEST_CASE("more question marks than parameters are refused, on both backends") {
  std::string text = "select ?";
  for (int i = 0; i < 65535; ++i) text += ",?";
  for (const Dialect dialect : both_dialects) {
    CHECK(refused(text, dialect, positional).sqlstate == sqlstate::program_limit_exceeded);
  }
  text.resize(text.size() - 2);
  CHECK(one(text, postgres, positional)->parameter_count == 65535);
}

TEST_CASE("a position in the translated text leads back to the client's text") {
  const std::string client = "  select :first, x, :second_name";
  const StatementRef statement = one(client, postgres, named);
  REQUIRE(statement->text == "select $1, x, $2");
  CHECK(statement->client_offset(0) == 2);
  CHECK(statement->client_offset(7) == client.find(":first"));
  CHECK(statement->client_offset(8) == client.find(":first"));
  CHECK(statement->client_offset(9) == client.find(", x"));
  CHECK(statement->client_offset(11) == client.find("x,"));
  CHECK(statement->client_offset(15) == client.find(":second"));
  CHECK(statement->client_offset(16) == client.size());
  const ScriptRef plain = parse("select 1; select $1", postgres, positional);
  CHECK(plain->statements[1]->client_offset(7) == 17);
}

}  // namespace
}  // namespace based::sql
