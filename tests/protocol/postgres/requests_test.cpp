// What a PostgreSQL client sends after start-up, decoded.
#include "protocol/postgres/requests.h"

#include <doctest/doctest.h>

#include <string>

using namespace based::postgres;
using namespace std::string_literals;

namespace {

const std::string parse_body = "s\0select $1\0\0\x02\0\0\0\x17\0\0\0\0"s;
const std::string bind_body = "p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0"s;

}  // namespace

TEST_CASE("a Parse has a name, a text and the types of its first parameters") {
  ParseRequest parse;
  REQUIRE(decode_parse(parse_body, parse));
  CHECK(parse.statement == "s");
  CHECK(parse.text == "select $1");
  CHECK(parse.types == std::vector<std::uint32_t>{23, 0});
}

TEST_CASE("a Bind has names, formats and values, of which some are NULL") {
  BindRequest bind;
  REQUIRE(decode_bind(bind_body, bind));
  CHECK(bind.portal == "p");
  CHECK(bind.statement == "s");
  CHECK(bind.parameter_formats == std::vector<std::int16_t>{1});
  REQUIRE(bind.values.size() == 2);
  CHECK(bind.values[0] == "x");
  CHECK_FALSE(bind.values[1].has_value());
  CHECK(bind.result_formats.empty());
  BindNames names;
  REQUIRE(decode_bind_names(bind_body, names));
  CHECK(names.statement == "s");
  CHECK(names.rest == std::string_view(bind_body).substr(4));
}

TEST_CASE("no prefix of a message, and nothing behind its end, is taken for the message") {
  ParseRequest parse;
  BindRequest bind;
  NamedRequest named;
  ExecuteRequest execute;
  std::string_view text;
  for (std::size_t cut = 0; cut < parse_body.size(); ++cut) {
    CHECK_FALSE(decode_parse(std::string_view(parse_body).substr(0, cut), parse));
  }
  for (std::size_t cut = 0; cut < bind_body.size(); ++cut) {
    CHECK_FALSE(decode_bind(std::string_view(bind_body).substr(0, cut), bind));
  }
  CHECK_FALSE(decode_parse(parse_body + "x", parse));
  CHECK_FALSE(decode_bind(bind_body + "x", bind));
  CHECK_FALSE(decode_named("Sname", named));
  CHECK_FALSE(decode_named("Xname\0"s, named));
  CHECK(decode_named("Pname\0"s, named));
  CHECK_FALSE(decode_execute("p\0\0\0\0"s, execute));
  CHECK(decode_execute("p\0\0\0\0\x07"s, execute));
  CHECK(execute.rows_max == 7);
  CHECK_FALSE(decode_text("select 1", text));
  CHECK_FALSE(decode_text("select 1\0x"s, text));
  CHECK(decode_text("select 1\0"s, text));
}

TEST_CASE("counts that cannot fit, and formats that fit no value, are refused") {
  ParseRequest parse;
  BindRequest bind;
  CHECK_FALSE(decode_parse("\0\0\xff\xff"s, parse));
  CHECK_FALSE(decode_bind("\0\0\0\0\xff\xff\0\0\0\0\0\0"s, bind));
  CHECK_FALSE(decode_bind("\0\0\0\x02\0\0\0\0\0\x01\0\0\0\0\0\0"s, bind));
  CHECK_FALSE(decode_bind("\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"s, bind));
}
