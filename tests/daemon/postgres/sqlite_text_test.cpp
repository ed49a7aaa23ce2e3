// What a PostgreSQL client writes, as SQLite takes it.
#include "daemon/postgres/sqlite_text.h"

#include <doctest/doctest.h>

#include "protocol/postgres/type_names.h"

namespace based {
namespace {

namespace oid = postgres::type_oid;

TranslatedText translated(std::string_view text) {
  const SessionFacts facts{.version = "v",
                           .database = "d",
                           .user = "u",
                           .process_id = 7,
                           .setting = [](std::string_view name) -> std::optional<std::string> {
                             if (name == "a.b") return "x'y";
                             return std::nullopt;
                           }};
  auto result = translate_to_sqlite(text, facts);
  REQUIRE(result);
  return *result;
}

std::string text_of(std::string_view text) { return translated(text).text; }

}  // namespace

TEST_CASE("plain SQL stays as it is") {
  for (const std::string_view text :
       {"SELECT a.b, \"c\" FROM t -- '::int'\nWHERE a = 'x::int' AND b = $1;",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END", ""}) {
    CHECK(text_of(text) == text);
    CHECK(!translated(text).changed);
  }
}

TEST_CASE("x::type is a cast of the whole operand before it") {
  CHECK(text_of("SELECT $1::int") == "SELECT CAST($1 AS INTEGER)");
  CHECK(text_of("SELECT a.b::pg_catalog.text, f(1, (2))::float8") ==
        "SELECT CAST(a.b AS TEXT), CAST(f(1, (2)) AS REAL)");
  CHECK(text_of("SELECT (a + b)::numeric(10,2)") == "SELECT CAST((a + b) AS NUMERIC)");
  CHECK(text_of("SELECT '1'::text::int8") == "SELECT CAST(CAST('1' AS TEXT) AS INTEGER)");
  CHECK(text_of("SELECT '2024-01-02'::date, 't'::bool, '\\x0aff'::bytea") ==
        "SELECT '2024-01-02', 1, X'0AFF'");
  CHECK(text_of("SELECT 'x'::timestamp with time zone") == "SELECT 'x'");
}

TEST_CASE("a literal that its type does not have is refused") {
  const SessionFacts facts;
  auto bad = translate_to_sqlite("SELECT 'abc'::int", facts);
  REQUIRE(!bad);
  CHECK(bad.error().sqlstate == sqlstate::invalid_text_representation);
  auto array = translate_to_sqlite("SELECT '{1}'::int[]", facts);
  REQUIRE(!array);
  CHECK(array.error().sqlstate == sqlstate::feature_not_supported);
}

TEST_CASE("E-strings become plain ones") {
  CHECK(text_of(R"(SELECT E'a\\b\'c''d\n' , 'e')") == "SELECT 'a\\b''c''d\n' , 'e'");
  CHECK(text_of(R"(SELECT E'\\x00ff'::bytea)") == "SELECT X'00FF'");
}

TEST_CASE("functions about the session become literals that keep their name") {
  CHECK(text_of("SELECT version(), 1, pg_catalog.current_database()") ==
        "SELECT 'v' AS \"version\", 1, 'd' AS \"current_database\"");
  CHECK(text_of("SELECT lower(current_user) AS x") == "SELECT lower('u') AS x");
  CHECK(text_of("SELECT current_setting('A.B')") == "SELECT 'x''y' AS \"current_setting\"");
  CHECK(text_of("SELECT a.version, version FROM a") == "SELECT a.version, version FROM a");
}

TEST_CASE("types of the result's columns are known from their text where it says them") {
  const TranslatedText text = translated(
      "SELECT count(*), a + 1, 'x', $1::bool AS b, n.c, true, 1.5, CAST(a AS TEXT) FROM n");
  REQUIRE(text.statements.size() == 1);
  const std::vector<std::uint32_t> expected{oid::int8,    0,           oid::text, oid::boolean, 0,
                                            oid::boolean, oid::float8, oid::text};
  CHECK(text.statements[0].item_types == expected);
  CHECK(translated("SELECT 1 UNION SELECT 'a'").statements[0].item_types.empty());
  CHECK(translated("SELECT *, 1 FROM t").statements[0].item_types.empty());
}

TEST_CASE("a parameter's place tells its column or type") {
  const TranslatedText text = translated(
      "SELECT 1 FROM t WHERE a = $1 AND $2 < t.b AND c IN ($3, $4) AND d BETWEEN $5 AND $6 "
      "AND count(*) > $7 LIMIT $8");
  REQUIRE(text.statements.size() == 1);
  const auto& hints = text.statements[0].hints;
  REQUIRE(hints.size() == 8);
  const std::vector<std::string> columns{"a", "b", "c", "c", "d", "d"};
  for (std::size_t i = 0; i < columns.size(); ++i) CHECK(hints[i].column == columns[i]);
  CHECK(hints[6].oid == oid::int8);
  CHECK(hints[7].oid == oid::int8);
  CHECK(text.statements[0].tables == std::vector<std::string>{"t"});
  const TranslatedText insert =
      translated("INSERT INTO t (a, b) VALUES ($1, $2), ($3, lower($4)) RETURNING a");
  REQUIRE(insert.statements[0].hints.size() == 3);
  CHECK(insert.statements[0].hints[1].column == "b");
  CHECK(insert.statements[0].hints[2].column == "a");
  CHECK(insert.statements[0].returning);
  CHECK(translated("INSERT INTO t VALUES ($1, $2)").statements[0].hints[1].ordinal == 2);
}

}  // namespace based
