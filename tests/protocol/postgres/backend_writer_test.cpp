#include "protocol/postgres/backend_writer.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace based::postgres {
namespace {

std::string_view body_of(const std::string& message) {
  REQUIRE(message.size() >= 5);
  std::size_t length = 0;
  for (std::size_t i = 1; i <= 4; ++i)
    length = length << 8 | static_cast<unsigned char>(message[i]);
  REQUIRE(length + 1 == message.size());
  return std::string_view(message).substr(5);
}

}  // namespace

TEST_CASE("an error's fields come back from the decoder, and its position in characters") {
  Error error = Error::make(sqlstate::unique_violation, "no").with_detail("why").with_hint("do");
  error.constraint = "c";
  error.table = "t";
  error.position = 77;
  std::string out;
  BackendWriter(out).error("ERROR", error, 12);
  CHECK(out[0] == 'E');
  ErrorFields fields;
  REQUIRE(decode_error(body_of(out), fields));
  CHECK(fields.severity == "ERROR");
  CHECK(fields.sqlstate == "23505");
  CHECK(fields.message == "no");
  CHECK(fields.detail == "why");
  CHECK(fields.hint == "do");
  CHECK(fields.position == "12");
  CHECK(fields.constraint == "c");
  CHECK(fields.table == "t");
  CHECK(fields.column.empty());
}

TEST_CASE("a text with a NUL in it ends there, and the message stays whole") {
  Error error = Error::make(sqlstate::syntax_error, std::string("a\0b", 3));
  std::string out;
  BackendWriter(out).notice("WARNING", error);
  ErrorFields fields;
  REQUIRE(decode_error(body_of(out), fields));
  CHECK(fields.message == "a");
}

TEST_CASE("a row description comes back from the decoder") {
  const std::array<Field, 2> fields{
      Field{.name = "a", .type_oid = 20, .type_size = 8},
      Field{.name = "b", .type_oid = 25, .type_size = -1, .type_modifier = -1, .format = 1}};
  std::string out;
  BackendWriter(out).row_description(fields);
  std::vector<Field> decoded;
  REQUIRE(decode_row_description(body_of(out), decoded));
  REQUIRE(decoded.size() == 2);
  CHECK(decoded[0].type_oid == 20);
  CHECK(decoded[0].type_size == 8);
  CHECK(decoded[1].name == "b");
  CHECK(decoded[1].type_size == -1);
  CHECK(decoded[1].type_modifier == -1);
  CHECK(decoded[1].format == 1);
}

TEST_CASE("a row is written cell by cell, and can be taken back") {
  std::string out = "x";
  BackendWriter writer(out);
  writer.begin_row(1);
  writer.begin_cell();
  writer.out() += "half";
  writer.drop_row();
  CHECK(out == "x");
  out.clear();
  writer.begin_row(3);
  writer.null();
  writer.begin_cell();
  writer.end_cell();
  writer.begin_cell();
  writer.out() += "abc";
  writer.end_cell();
  writer.end_row();
  std::vector<Cell> cells;
  REQUIRE(decode_data_row(body_of(out), 3, cells));
  CHECK(cells[0].is_null);
  CHECK(!cells[1].is_null);
  CHECK(cells[1].bytes.empty());
  CHECK(cells[2].bytes == "abc");
}

TEST_CASE("the short messages have the bytes that the manual gives") {
  std::string out;
  BackendWriter writer(out);
  writer.ready('T');
  CHECK(out == std::string_view("Z\0\0\0\5T", 6));
  out.clear();
  writer.parse_complete();
  CHECK(out == std::string_view("1\0\0\0\4", 5));
  out.clear();
  writer.authentication(0);
  CHECK(out == std::string_view("R\0\0\0\10\0\0\0\0", 9));
  out.clear();
  writer.key_data(1, "abcd");
  CHECK(out == std::string_view("K\0\0\0\14\0\0\0\1abcd", 13));
  out.clear();
  const std::array<std::string, 1> options{"_pq_.x"};
  writer.negotiate_version(2, options);
  CHECK(out == std::string_view("v\0\0\0\23\0\0\0\2\0\0\0\1_pq_.x\0", 20));
}

}  // namespace based::postgres
