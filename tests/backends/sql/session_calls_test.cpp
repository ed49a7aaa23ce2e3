#include "backends/sql/session_calls.h"

#include <string>

#include <doctest/doctest.h>

namespace based::sql {
namespace {

// "set_config(app.user,$1,?)" of each call, and "unclear".
std::string found(std::string_view text) {
  std::string shown;
  const SessionCalls calls = find_session_calls(text);
  for (const SessionCall& call : calls.calls) {
    const bool sets = call.function == SessionCall::Function::set_config;
    shown += sets ? "set_config(" : "pg_notify(";
    for (const Argument& argument : call.arguments) {
      using Kind = Argument::Kind;
      shown += argument.kind == Kind::literal     ? argument.text
               : argument.kind == Kind::parameter ? "$" + std::to_string(argument.number)
                                                  : "?";
      shown += ',';
    }
    shown.back() = ')';
  }
  return calls.unclear ? shown + " unclear" : shown;
}

TEST_CASE("what calls are given: literals, parameters, and what only the server knows") {
  CHECK(found("select 1").empty());
  CHECK(found("select set_config('app.user', 'it''s', true)") == "set_config(app.user,it's,true)");
  CHECK(found("SELECT pg_catalog.Set_Config($1, $2::text, 't')") == "set_config($1,$2,t)");
  CHECK(found("select set_config('a.b', $$x$$, false), set_config('c.d', E'\\tx\\'', $3) as y") ==
        "set_config(a.b,x,false)set_config(c.d,\tx',$3)");
  CHECK(found("select set_config('a' || 'b', f(1, '2'), true)") == "set_config(?,?,true)");
  CHECK(found("select set_config('a', E'\\x41', true)") == "set_config(a,?,true)");
  CHECK(found("select pg_notify('news', $1)") == "pg_notify(news,$1)");
}

TEST_CASE("what may be called in another way, or not, is unclear") {
  for (const char* text :
       {"do $$ begin perform set_config('a', 'b', true); end $$",
        "select case when x then set_config('a', 'b', true) end",
        "select 1 from t where set_config('a', 'b', true) = 'b'",
        "select length(set_config('a', 'b', true))", "select set_config('a', 'b')",
        "prepare p as select set_config", "insert into t values (set_config('a', 'b', true))",
        "select set_config('a', set_config('b', 'c', true), true)"}) {
    CAPTURE(text);
    CHECK(find_session_calls(text).unclear);
  }
  CHECK(found("select set_config('a', 'b', true) from t") == "set_config(a,b,true) unclear");
  CHECK(found("select 1 from t; select set_config('a', 'b', true)") == "set_config(a,b,true)");
}

TEST_CASE("a string constant is read where it has no escapes but plain ones") {
  std::string value;
  CHECK(read_string_constant("'it''s'", value));
  CHECK(value == "it's");
  CHECK(read_string_constant("$x$a'b$x$", value));
  CHECK(value == "a'b");
  CHECK(read_string_constant("e'a\\\\b\\n'", value));
  CHECK(value == "a\\b\n");
  for (const char* text :
       {"'a' 'b'", "'a'\n'b'", "U&'a'", "E'\\101'", "E'\\u0041'", "1", "x", "'"}) {
    CAPTURE(text);
    CHECK_FALSE(read_string_constant(text, value));
  }
}

}  // namespace
}  // namespace based::sql
