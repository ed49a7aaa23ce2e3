#include "protocol/postgres/numeric.h"

#include <doctest/doctest.h>

#include <string>

namespace based::postgres {

TEST_CASE("a numeric comes back from its binary form") {
  for (const char* text : {"0", "1", "-1", "12.5", "-0.001", "10000", "9999.9999", "0.00001234",
                           "123456789012345678901234567890.123456789", "0.10", "1000000000000",
                           "NaN", "Infinity", "-Infinity", "0.0000000000001"}) {
    CAPTURE(std::string(text));
    std::string bytes;
    REQUIRE(append_numeric(bytes, text));
    CHECK(numeric_text(bytes) == text);
  }
  std::string bytes;
  CHECK(append_numeric(bytes, "1.5e3"));
  CHECK(numeric_text(bytes) == "1500");
  bytes.clear();
  CHECK(append_numeric(bytes, "15e-3"));
  CHECK(numeric_text(bytes) == "0.015");
}

TEST_CASE("a numeric has the bytes that PostgreSQL sends") {
  std::string bytes;
  REQUIRE(append_numeric(bytes, "12345.678"));
  CHECK(bytes == std::string("\0\3\0\1\0\0\0\3\0\1\x09\x29\x1a\x7c", 14));
}

TEST_CASE("what is no numeric is refused, in both forms") {
  for (const char* text : {"", "-", ".", "1.2.3", "1e", "1e99999", "abc", "0x10", "1 2"}) {
    std::string bytes = "kept";
    CHECK(!append_numeric(bytes, text));
    CHECK(bytes == "kept");
  }
  std::string bytes;
  REQUIRE(append_numeric(bytes, "12345.678"));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK(!numeric_text(bytes.substr(0, size)));
  CHECK(!numeric_text(bytes + "x"));
  std::string bad = bytes;
  bad[8] = '\x7f';  // a group over 9999
  CHECK(!numeric_text(bad));
  bad = bytes;
  bad[4] = '\x10';  // no sign
  CHECK(!numeric_text(bad));
}

}  // namespace based::postgres
