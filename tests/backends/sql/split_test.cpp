#include <random>

#include "tests/backends/sql/sql_fixture.h"

namespace based::sql {
namespace {

using Texts = std::vector<std::string>;

Texts split(std::string_view text, Dialect dialect) { return texts(*parse(text, dialect)); }

TEST_CASE("a text without a token has no statements") {
  for (const Dialect dialect : both_dialects) {
    for (const char* text : {"", " \n\t ", ";", " ; ; ", "-- only a comment", "/* a */;/* b */"}) {
      CHECK(split(text, dialect).empty());
    }
  }
}

TEST_CASE("semicolons outside strings, comments and names end statements") {
  for (const Dialect dialect : both_dialects) {
    CHECK(split("select 1;select 2", dialect) == Texts{"select 1", "select 2"});
    CHECK(split(" select 1 ; ; select 2 ; ", dialect) == Texts{"select 1", "select 2"});
    CHECK(split("select ';'; select \"a;b\" ; select 'it''s;'", dialect) ==
          Texts{"select ';'", "select \"a;b\"", "select 'it''s;'"});
    CHECK(split("select 1 -- a;b\n, 2; select 3", dialect) ==
          Texts{"select 1 -- a;b\n, 2", "select 3"});
    CHECK(split("select 1 /* ; */; select 2", dialect) == Texts{"select 1 /* ; */", "select 2"});
    CHECK(split("/*+ hint */ select 1; -- end", dialect) == Texts{"/*+ hint */ select 1"});
  }
}

TEST_CASE("PostgreSQL's own quoting hides semicolons") {
  const auto pg = [](std::string_view text) { return split(text, Dialect::postgres).size(); };
  CHECK(pg("select E'\\';'; select 2") == 2);
  CHECK(pg("select '\\'; select 2") == 2);
  CHECK(pg("select E'a'\n'\\';'; select 2") == 2);
  CHECK(pg("select E'a' -- x\n  '\\';'; select 2") == 2);
  CHECK(pg("select $$;$$; select $a$ $$;$b$ $a$") == 2);
  CHECK(pg("select a$b$;select c$b$") == 2);
  CHECK(pg("select U&'\\0061;'; select u&\"d;\"") == 2);
  CHECK(pg("select n';', b'1', x'1f'; select 2") == 2);
  CHECK(pg("select 1 /* /* ; */ ; */; select 2") == 2);
  CHECK(pg("select 1 + --;\n 2; select 3") == 2);
  CHECK(pg("select 1 -- a\rselect ;2") == 2);
  CHECK(pg("select a[1:2], b::int; select 3") == 2);
  CHECK(pg("select 1 */**/ 2; select 3") == 2);
}

TEST_CASE("SQLite's own quoting hides semicolons") {
  const auto lite = [](std::string_view text) { return split(text, Dialect::sqlite).size(); };
  CHECK(lite("select `a;b`, [c;d]; select 2") == 2);
  CHECK(lite("select '\\'; select 2") == 2);
  CHECK(lite("select 1 /* /* ; */; select 2") == 2);
  CHECK(lite("select 1; /* never closed ; select 2") == 1);
  CHECK(lite("select x'3b'; select 2") == 2);
  CHECK(lite("select (1; select 2") == 2);
  CHECK(lite("select e'\\'; select 2") == 2);
}

TEST_CASE("a byte order mark does not hide SQLite's transaction control") {
  CHECK(one("\xEF\xBB\xBF COMMIT", Dialect::sqlite)->kind == StatementKind::commit);
  CHECK(parse("select 1;\xEF\xBB\xBF"
              "END",
              Dialect::sqlite)
            ->statements[1]
            ->kind == StatementKind::commit);
}

TEST_CASE("bodies keep their semicolons") {
  const auto pg = [](std::string_view text) { return split(text, Dialect::postgres).size(); };
  const auto lite = [](std::string_view text) { return split(text, Dialect::sqlite).size(); };
  CHECK(pg("create function f() returns int begin atomic select 1; select case when true then 2 "
           "end; end; select 3") == 2);
  CHECK(pg("CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); "
           "END; COMMIT") == 2);
  CHECK(pg("create function f() returns int begin atomic select 1 as end, t.case from t; end;"
           "select 3") == 2);
  CHECK(pg("create rule r as on insert to t do (insert into a values (1); select 2); select 3") ==
        2);
  CHECK(pg("create function begin(atomic int) returns int as 'select 1' language sql; select 1") ==
        2);
  CHECK(lite("create trigger r after insert on t begin insert into a values (1); select case 1 "
             "when 1 then 2 end; end; select 3") == 2);
  CHECK(lite("CREATE TEMP TRIGGER IF NOT EXISTS r AFTER INSERT ON t BEGIN SELECT 1; END;"
             "COMMIT") == 2);
  CHECK(lite("explain create trigger r after insert on t begin select 1; end; select 2") == 2);
  CHECK(lite("create table trigger_a(b); select 2") == 2);
  CHECK(lite("create trigger r begin select 1; /* x */ end /* y */ ; commit") == 2);
}

TEST_CASE("what does not end is refused where it begins") {
  struct Row {
    const char* text;
    Dialect dialect;
    std::uint32_t position;
  };
  for (const Row& row :
       {Row{"select 'abc", Dialect::postgres, 7},
        Row{"select 1; select \"abc", Dialect::sqlite, 17}, Row{"select [abc", Dialect::sqlite, 7},
        Row{"select $x$ $y$", Dialect::postgres, 7}, Row{"select /* /* */", Dialect::postgres, 7},
        Row{"select E'\\'", Dialect::postgres, 7}, Row{"select E'\\", Dialect::postgres, 7},
        Row{"select 1 \\", Dialect::postgres, 9}, Row{"select 1 $", Dialect::sqlite, 9}}) {
    const Error error = refused(row.text, row.dialect);
    CHECK(error.sqlstate == sqlstate::syntax_error);
    CHECK(error.position == row.position);
  }
  const Error zero = refused(std::string_view("select\0 1", 9), Dialect::postgres);
  CHECK(zero.sqlstate == sqlstate::character_not_in_repertoire);
}

TEST_CASE("a statement knows where it begins in the client's text") {
  const ScriptRef script = parse("  select 1;\n  select 2 ;", Dialect::postgres);
  REQUIRE(script->statements.size() == 2);
  CHECK(script->statements[0]->offset == 2);
  CHECK(script->statements[1]->offset == 14);
}

// Pieces that hold a semicolon which ends nothing, and ordinary ones.
const std::vector<std::string> postgres_pieces{
    "select",  "'a;b'",  "\"x;\"", "$t$;$t$", "E'\\';'", "/* ; /* ; */ */",
    "-- ;\n",  "1.5e-3", "a::int", "(1;2)",   "$1",      "a[1:2]",
    "->>",     "U&';'",  "x'1f'",  "b$c$",    "?|",      "\xC3\xA9",
    "'it''s'", "$$;$$",  ", ",     "- -",     "0..1"};
const std::vector<std::string> sqlite_pieces{
    "select", "'a;b'", "\"x;\"", "`;`", "[;]",   "/* ; */",  "-- ;\n",  "1.5e-3", "->>",
    "(1 2)",  "x'1f'", "$1",     "b$c", "|| ''", "\xC3\xA9", "'it''s'", ", ",     "- -"};

TEST_CASE("a soup of tokens is cut at exactly its top-level semicolons") {
  std::mt19937 random(20240611);
  for (const Dialect dialect : both_dialects) {
    const auto& pieces = dialect == Dialect::postgres ? postgres_pieces : sqlite_pieces;
    for (int round = 0; round < 2000; ++round) {
      std::string text;
      std::size_t statements = 0;
      for (std::size_t count = random() % 5; count > 0; --count) {
        text += "x ";
        for (std::size_t length = random() % 8; length > 0; --length) {
          text += pieces[random() % pieces.size()];
          text += random() % 2 == 0 ? " " : "\n";
        }
        text += ";";
        ++statements;
      }
      INFO(text);
      CHECK(split(text, dialect).size() == statements);
    }
  }
}

}  // namespace
}  // namespace based::sql
