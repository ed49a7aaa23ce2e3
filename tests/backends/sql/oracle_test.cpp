// PostgreSQL's own scanner, as libpg_query carries it, against our cutting of texts.
#include <doctest/doctest.h>
#include <pg_query.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "backends/sql/script.h"

namespace based::sql {
namespace {

struct Cut {
  bool ok = false;
  bool stray_character = false;
  std::vector<std::string> statements;
};

std::string trimmed(std::string text) {
  const char* space = " \t\r\n\f";
  text.erase(0, text.find_first_not_of(space));
  text.erase(text.find_last_not_of(space) + 1);
  return text;
}

Cut cut_by_postgres(const std::string& text) {
  PgQuerySplitResult result = pg_query_split_with_scanner(text.c_str());
  Cut cut;
  cut.ok = result.error == nullptr;
  for (int i = 0; cut.ok && i < result.n_stmts; ++i) {
    const auto* statement = result.stmts[i];
    cut.statements.push_back(trimmed(text.substr(static_cast<std::size_t>(statement->stmt_location),
                                                 static_cast<std::size_t>(statement->stmt_len))));
  }
  pg_query_free_split_result(result);
  return cut;
}

Cut cut_by_us(const std::string& text) {
  Cut cut;
  const auto script = parse_script(text, Dialect::postgres, ParameterStyle::none);
  cut.ok = script.ok();
  cut.stray_character = !cut.ok && script.error().message == "unexpected character";
  if (!cut.ok) return cut;
  for (const StatementRef& statement : script->get()->statements) {
    cut.statements.push_back(statement->text);
  }
  return cut;
}

TEST_CASE("texts are cut where PostgreSQL's own scanner cuts them") {
  // It drops what has no keyword, so every statement begins with one; and it takes characters that
  // belong to no token, which we refuse and the server's grammar refuses.
  const std::vector<std::string> fragments{
      "select", "x",    "'a;b'",  "\"x;\"",     "$t$;$t$", "$$",   "E'\\';'",    "E'a'\n'\\''",
      "/* ; ",  "*/",   "-- ;\n", "1.5e-3",     "::",      "(1)",  "(;(';'))",   "$1",
      "[",      "]",    "->>",    "U&';'",      "x'1f'",   "b$c$", "?|",         "\xC3\xA9",
      "''",     "0..1", "\n",     "; select 1", "'it''s'", "+",    "; select a", "*/**/",
      "@-",     "a.b",  "--\r",   "N'a'",       "b'1'",    "e'",   "U&\"d;\"",   "'"};
  std::mt19937 random(99);
  int compared = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = "select ";
    for (std::size_t length = 1 + random() % 12; length > 0; --length) {
      text += fragments[random() % fragments.size()];
      if (random() % 3 != 0) text += ' ';
    }
    const Cut theirs = cut_by_postgres(text);
    if (!theirs.ok) continue;  // a scanner error of theirs may be a server's error for us
    const Cut ours = cut_by_us(text);
    if (ours.stray_character) continue;
    const bool keywords =
        std::all_of(ours.statements.begin(), ours.statements.end(),
                    [](const auto& each) { return each.rfind("select", 0) == 0; });
    if (!keywords) continue;
    INFO(text);
    CHECK(ours.ok);
    CHECK(ours.statements == theirs.statements);
    ++compared;
  }
  CHECK(compared > 5'000);
}

}  // namespace
}  // namespace based::sql
