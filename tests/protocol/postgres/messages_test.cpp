#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "protocol/postgres/backend.h"
#include "protocol/postgres/frontend.h"
#include "protocol/postgres/type_names.h"

namespace based::postgres {
namespace {

using namespace std::string_literals;

std::string be16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}
std::string be32(std::uint32_t value) { return be16(value >> 16) + be16(value & 0xffff); }

std::string field(const std::string& name, std::uint32_t type) {
  return name + "\0"s + be32(1) + be16(2) + be32(type) + be16(4) + be32(0xffffffff) + be16(0);
}

// A body decodes whole, and in no truncation, and not with one byte more.
void check_exact(const std::string& body, const std::function<bool(std::string_view)>& decode) {
  for (std::size_t length = 0; length < body.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(decode(std::string_view(body).substr(0, length)));
  }
  CHECK_FALSE(decode(body + "\0"s));
  CHECK(decode(body));
}

}  // namespace

TEST_CASE("the frontend messages have the bytes that the protocol's manual says") {
  std::string out;
  FrontendWriter writer(out);
  writer.parse("s1", "SELECT $1", std::array<std::uint32_t, 1>{23});
  CHECK(out == "P" + be32(4 + 3 + 10 + 2 + 4) + "s1\0SELECT $1\0"s + be16(1) + be32(23));
  out.clear();
  writer.begin_bind("", "s1", std::array{Format::text, Format::binary, Format::text});
  writer.begin_value();
  writer.out() += "42";
  writer.end_value();
  writer.begin_value();
  writer.end_value();
  writer.null_value();
  writer.end_bind();
  CHECK(out == "B" + be32(4 + 1 + 3 + 2 + 6 + 2 + 6 + 4 + 4 + 2) + "\0s1\0"s + be16(3) + be16(0) +
                   be16(1) + be16(0) + be16(3) + be32(2) + "42" + be32(0) + be32(0xffffffff) +
                   be16(0));
  out.clear();
  writer.describe_portal("");
  writer.describe_statement("s1");
  writer.execute("", 7);
  writer.close_statement("s1");
  writer.sync();
  CHECK(out == "D" + be32(6) + "P\0"s + "D" + be32(8) + "Ss1\0"s + "E" + be32(9) + "\0"s + be32(7) +
                   "C" + be32(8) + "Ss1\0"s + "S" + be32(4));
  out.clear();
  writer.query("BEGIN");
  writer.copy_fail("no");
  writer.terminate();
  CHECK(out == "Q" + be32(10) + "BEGIN\0"s + "f" + be32(7) + "no\0"s + "X" + be32(4));
}

TEST_CASE("a RowDescription is decoded exactly or refused") {
  const std::string body = be16(2) + field("id", 23) + field("name", 25);
  std::vector<Field> fields;
  check_exact(body, [&](std::string_view bytes) { return decode_row_description(bytes, fields); });
  REQUIRE(fields.size() == 2);
  CHECK(fields[0].name == "id");
  CHECK(fields[1].type_oid == 25);
  CHECK(fields[1].type_modifier == -1);
  CHECK_FALSE(decode_row_description(be16(0xffff), fields));
  CHECK_FALSE(decode_row_description(be16(0x7fff) + field("id", 23), fields));
}

TEST_CASE("a DataRow is decoded exactly or refused, with the described number of columns only") {
  const std::string body = be16(3) + be32(2) + "ab" + be32(0xffffffff) + be32(0);
  std::vector<Cell> cells;
  check_exact(body, [&](std::string_view bytes) { return decode_data_row(bytes, 3, cells); });
  REQUIRE(cells.size() == 3);
  CHECK(cells[0].bytes == "ab");
  CHECK(cells[1].is_null);
  CHECK_FALSE(cells[2].is_null);
  CHECK(cells[2].bytes.empty());
  CHECK_FALSE(decode_data_row(body, 2, cells));
  CHECK_FALSE(decode_data_row(be16(1) + be32(0x7fffffff) + "x", 1, cells));
  CHECK_FALSE(decode_data_row(be16(1) + be32(0xfffffffe) + "x", 1, cells));
}

TEST_CASE(
    "an ErrorResponse gives the untranslated severity and every field, and ignores unknown ones") {
  const std::string body =
      "SFEHLER\0VERROR\0C23505\0Mdouble\0Dd\0Hh\0P12\0Ww\0spublic\0tt\0cc\0nkey\0Rr\0~?\0\0"s;
  ErrorFields fields;
  check_exact(body, [&](std::string_view bytes) { return decode_error(bytes, fields); });
  REQUIRE(decode_error(body, fields));
  CHECK(fields.severity == "ERROR");
  CHECK(fields.sqlstate == "23505");
  CHECK(fields.position == "12");
  CHECK(fields.constraint == "key");
  CHECK_FALSE(fields.fatal());
  const std::string fatal = "SFATAL\0\0"s;  // fields are views into it
  REQUIRE(decode_error(fatal, fields));
  CHECK(fields.fatal());
}

TEST_CASE("a command tag is its words and what it counted") {
  struct Case {
    std::string text;
    std::string command;
    std::optional<std::int64_t> count;
  };
  for (const Case& c :
       {Case{"INSERT 0 5", "INSERT", 5}, Case{"SELECT 12", "SELECT", 12},
        Case{"CREATE TABLE", "CREATE TABLE", {}}, Case{"DEALLOCATE ALL", "DEALLOCATE ALL", {}},
        Case{"MERGE 3", "MERGE", 3}, Case{"", "", {}}, Case{"7", "7", {}}}) {
    CommandTag tag;
    const std::string body = c.text + "\0"s;  // the tag is a view into it
    REQUIRE(decode_command_complete(body, tag));
    CHECK(tag.command == c.command);
    CHECK(tag.count == c.count);
  }
  CommandTag tag;
  CHECK_FALSE(decode_command_complete("SELECT 1", tag));
  CHECK_FALSE(decode_command_complete("SELECT 1\0x"s, tag));
}

TEST_CASE("the short replies are decoded exactly or refused") {
  char status = 0;
  for (const char c : {'I', 'T', 'E'}) CHECK(decode_ready(std::string(1, c), status));
  for (const char* bad : {"", "X", "II"}) CHECK_FALSE(decode_ready(bad, status));
  ParameterStatus parameter;
  const std::string zone = "TimeZone\0UTC\0"s;
  check_exact(zone,
              [&](std::string_view bytes) { return decode_parameter_status(bytes, parameter); });
  REQUIRE(decode_parameter_status(zone, parameter));
  CHECK(parameter.value == "UTC");
  Notification notification;
  const std::string notified = be32(9) + "c\0p\0"s;
  check_exact(notified,
              [&](std::string_view bytes) { return decode_notification(bytes, notification); });
  REQUIRE(decode_notification(notified, notification));
  CHECK(notification.channel == "c");
  std::vector<std::uint32_t> types;
  check_exact(be16(2) + be32(23) + be32(25),
              [&](std::string_view bytes) { return decode_parameter_description(bytes, types); });
  CHECK(types == std::vector<std::uint32_t>{23, 25});
  KeyData key;
  CHECK_FALSE(decode_key_data(be32(1) + "abc", key));
  CHECK(decode_key_data(be32(1) + "abcd", key));
  CHECK_FALSE(decode_key_data(be32(1) + std::string(257, 'k'), key));
}

TEST_CASE("built-in types are known by name") {
  CHECK(builtin_type_name(type_oid::int4) == "int4");
  CHECK(builtin_type_name(1007) == "_int4");
  CHECK(builtin_type_name(3802) == "jsonb");
  CHECK(builtin_type_name(0).empty());
  CHECK(builtin_type_name(first_user_oid).empty());
}

}  // namespace based::postgres
