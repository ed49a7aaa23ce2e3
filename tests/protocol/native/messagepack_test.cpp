#include "protocol/native/messagepack.h"

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "tests/protocol/native/diagnostic.h"

namespace based::native {
namespace {

struct Form {
  std::string_view hex;
  std::string_view meaning;
};

// The code of the first failure; "" if one whole value was read.
std::string_view refusal(std::string_view bytes) {
  MessagePackReader reader(bytes);
  static Error error;
  if (reader.skip()) return reader.at_end() ? "" : "left over";
  error = reader.error("");
  return error.sqlstate.text();
}

std::string encoded(const ValueView& value) {
  std::string out;
  MessagePackWriter(out).value(value);
  return out;
}

constexpr std::int64_t int64_min = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();

}  // namespace

TEST_CASE("every form of every kind is read, small or wide") {
  constexpr std::array forms{
      Form{"c0", "null"},
      Form{"c2", "false"},
      Form{"c3", "true"},
      Form{"00", "0"},
      Form{"7f", "127"},
      Form{"ff", "-1"},
      Form{"e0", "-32"},
      Form{"cc01", "1"},
      Form{"ccff", "255"},
      Form{"cdffff", "65535"},
      Form{"ceffffffff", "4294967295"},
      Form{"cf7fffffffffffffff", "9223372036854775807"},
      Form{"d080", "-128"},
      Form{"d07f", "127"},
      Form{"d18000", "-32768"},
      Form{"d280000000", "-2147483648"},
      Form{"d38000000000000000", "-9223372036854775808"},
      Form{"d300000000000000ff", "255"},
      Form{"ca3fc00000", "1.5"},
      Form{"cb3ff8000000000000", "1.5"},
      Form{"cb8000000000000000", "-0.0"},
      Form{"cb7ff0000000000000", "Infinity"},
      Form{"caff800000", "-Infinity"},
      Form{"cb7ff8000000000000", "NaN"},
      Form{"a0", "\"\""},
      Form{"a2c3bc", "\"\xC3\xBC\""},
      Form{"d90161", "\"a\""},
      Form{"da000161", "\"a\""},
      Form{"db0000000161", "\"a\""},
      Form{"c401ff", "h'ff'"},
      Form{"c50001ff", "h'ff'"},
      Form{"c600000001ff", "h'ff'"},
      Form{"9101", "[1]"},
      Form{"dc000101", "[1]"},
      Form{"dd0000000101", "[1]"},
      Form{"81a16101", "{\"a\": 1}"},
      Form{"de0001a16101", "{\"a\": 1}"},
      Form{"df00000001a16101", "{\"a\": 1}"},
  };
  for (const Form& form : forms) {
    CAPTURE(form.hex);
    const std::string bytes = from_hex(form.hex);
    CHECK_EQ(diagnostic(bytes), form.meaning);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      CHECK_EQ(refusal(std::string(bytes, 0, length)), "08P01");
    }
  }
}

TEST_CASE("what the protocol does not use is refused with its own code") {
  CHECK_EQ(refusal(from_hex("c1")), "08P01");
  CHECK_EQ(refusal(from_hex("cf8000000000000000")), "22003");
  for (const char* extension :
       {"c70105ff", "c8000105ff", "c90000000105ff", "d405ff", "d50500ff", "d60500000000",
        "d7050000000000000000", "d80500000000000000000000000000000000", "d6ff00000000"}) {
    CAPTURE(extension);
    CHECK_EQ(refusal(from_hex(extension)), "0A000");
  }
  for (const char* text : {"a1ff", "a2c328", "a3eda080", "d901ff", "a2c0 80"}) {
    CHECK_EQ(refusal(from_hex(text)), "22021");
  }
}

TEST_CASE("a count that the rest cannot hold is refused before anything is made of it") {
  for (const char* huge : {"ddffffffff", "dfffffffff", "dcffff", "deffff", "9f00", "8fa161",
                           "dbffffffff61", "c6ffffffff61", "df80000000a16101"}) {
    CAPTURE(huge);
    CHECK_EQ(refusal(from_hex(huge)), "08P01");
  }
  // By the head alone: a caller may make room for what it counts.
  Item item;
  for (const char* fits : {"920000", "81a000"}) {
    const std::string bytes = from_hex(fits);
    CHECK(MessagePackReader(bytes).next(item));
    CHECK_FALSE(MessagePackReader(std::string_view(bytes).substr(0, 2)).next(item));
  }
}

TEST_CASE("sixteen levels of nesting pass, the seventeenth is refused") {
  CHECK_EQ(refusal(std::string(nesting_max, '\x91') + '\xC0'), "");
  CHECK_EQ(refusal(std::string(nesting_max + 1, '\x91') + '\xC0'), "54000");
  std::string maps;
  for (std::size_t i = 0; i < nesting_max + 1; ++i) maps += "\x81\xA1k";
  CHECK_EQ(refusal(maps + '\xC0'), "54000");
  CHECK_EQ(refusal(std::string(1'000'000, '\x91')), "54000");
}

TEST_CASE("the first failure sticks and names its place") {
  MessagePackReader reader(std::string_view("\x01\xC1\x02", 3));
  std::int64_t number = 0;
  CHECK(reader.read(number));
  bool flag = false;
  CHECK_FALSE(reader.read(flag));
  CHECK_FALSE(reader.read(number));
  CHECK_FALSE(reader.take_null());
  CHECK_EQ(reader.error("EXEC").message, "EXEC: 0xC1 is not MessagePack");
  CHECK_EQ(reader.error("EXEC").detail, "At byte 2 of the payload.");
}

TEST_CASE("a typed read of another kind is 22023") {
  bool flag = false;
  std::int64_t number = 0;
  double real = 0;
  std::string_view data;
  std::uint32_t count = 0;
  CHECK_FALSE(MessagePackReader("\x01").read(flag));
  CHECK_FALSE(MessagePackReader("\xC3").read(number));
  CHECK_FALSE(MessagePackReader("\xC3").read(real));
  CHECK_FALSE(MessagePackReader("\xC4\x01z").read_text(data));
  CHECK_FALSE(MessagePackReader("\xA1z").read_bytes(data));
  CHECK_FALSE(MessagePackReader("\x80").read_array(count));
  CHECK_FALSE(MessagePackReader("\x90").read_map(count));
  MessagePackReader reader("\x05");
  CHECK_FALSE(reader.read_between(0, 4, number));
  CHECK_EQ(reader.error("").sqlstate, sqlstate::invalid_parameter_value);
  MessagePackReader whole("\x05");
  CHECK(whole.read(real));
  CHECK_EQ(real, 5.0);
}

TEST_CASE("integers are written in their smallest form and read back exactly") {
  const std::array<std::pair<std::int64_t, std::size_t>, 18> sizes{{{0, 1},
                                                                    {127, 1},
                                                                    {128, 2},
                                                                    {255, 2},
                                                                    {256, 3},
                                                                    {65535, 3},
                                                                    {65536, 5},
                                                                    {4294967295, 5},
                                                                    {4294967296, 9},
                                                                    {int64_max, 9},
                                                                    {-1, 1},
                                                                    {-32, 1},
                                                                    {-33, 2},
                                                                    {-129, 3},
                                                                    {-32769, 5},
                                                                    {-2147483648ll, 5},
                                                                    {-2147483649ll, 9},
                                                                    {int64_min, 9}}};
  for (const auto& [number, bytes] : sizes) {
    const std::string out = encoded(ValueView::of(number));
    CHECK_EQ(out.size(), bytes);
    MessagePackReader reader(out);
    std::int64_t back = 0;
    REQUIRE(reader.read(back));
    CHECK_EQ(back, number);
  }
}

TEST_CASE("a float keeps its bits and never becomes an integer") {
  for (const double number : {1.0, -0.0, 0.1, 5e-324, std::numeric_limits<double>::infinity(),
                              -std::numeric_limits<double>::infinity(), std::nan("7")}) {
    const std::string out = encoded(ValueView::of(number));
    MessagePackReader reader(out);
    Item item;
    REQUIRE(reader.next(item));
    REQUIRE(item.kind == ItemKind::float64);
    CHECK_EQ(std::bit_cast<std::uint64_t>(item.float64), std::bit_cast<std::uint64_t>(number));
  }
}

TEST_CASE("text and bytes of every length class come back, each with its kind") {
  for (const std::size_t length : {0, 1, 31, 32, 255, 256, 65535, 65536}) {
    const std::string data(length, 'x');
    for (const ValueView& value : {ValueView::text(data), ValueView::bytes(data)}) {
      const std::string out = encoded(value);
      CHECK(out.size() <= encoded_bytes_max(value));
      MessagePackReader reader(out);
      Item item;
      REQUIRE(reader.next(item));
      CHECK(item.data == data);
      CHECK((item.kind == ItemKind::text) == (value.kind == ValueKind::text));
    }
  }
}

TEST_CASE("text that is not UTF-8 becomes bytes as a value, and U+FFFD for people") {
  CHECK_EQ(diagnostic(encoded(ValueView::text("a\xFFz"))), "h'61ff7a'");
  CHECK_EQ(diagnostic(encoded(ValueView::text(std::string_view("a\0b", 3)))),
           std::string("\"a\0b\"", 5));
  std::string out;
  MessagePackWriter(out).display_text("\xC3\xBC\xFF\xE2\x82|\xF0\x9F\x98\x80\xC3");
  CHECK_EQ(diagnostic(out),
           "\"\xC3\xBC\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD|\xF0\x9F\x98\x80\xEF\xBF\xBD\"");
}

TEST_CASE("an array that is counted later reads as any other") {
  std::string out;
  MessagePackWriter writer(out);
  const std::size_t place = writer.open_array();
  writer.integer(1);
  writer.null();
  writer.close_array(place, 2);
  CHECK_EQ(diagnostic(out), "[1, null]");
}

}  // namespace based::native
