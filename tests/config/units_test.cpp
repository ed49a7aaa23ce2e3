#include "config/units.h"

#include <doctest/doctest.h>

#include <string>

using namespace based;

namespace {

Milliseconds duration(std::string_view text) {
  auto parsed = parse_duration(text);
  REQUIRE_MESSAGE(parsed.ok(), std::string(text));
  return *parsed;
}

std::uint64_t size_of(std::string_view text) {
  auto parsed = parse_size(text);
  REQUIRE_MESSAGE(parsed.ok(), std::string(text));
  return parsed->count;
}

}  // namespace

TEST_CASE("a duration is a sum of whole numbers with units") {
  CHECK(duration("250ms") == Milliseconds(250));
  CHECK(duration("30s") == Milliseconds(30'000));
  CHECK(duration("2min") == Milliseconds(120'000));
  CHECK(duration("2m") == Milliseconds(120'000));
  CHECK(duration("1h30min") == Milliseconds(5'400'000));
  CHECK(duration("1h 30 min") == Milliseconds(5'400'000));
  CHECK(duration("1d") == Milliseconds(86'400'000));
}

TEST_CASE("zero needs no unit, any other number does") {
  CHECK(duration("0") == Milliseconds(0));
  CHECK(duration("0s") == Milliseconds(0));
  CHECK(size_of("0") == 0);
  for (const char* text : {"30", "1h30", "5 "}) {
    auto parsed = parse_duration(text);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.error().message.find("unit is missing") != std::string::npos);
  }
  CHECK_FALSE(parse_size("1024").ok());
}

TEST_CASE("what is not a duration is refused, never rounded") {
  for (const char* text :
       {"", " ", "s", "1.5s", "-1s", "+1s", "1us", "1S", "1 hour", "1s-2s", "0x1s", "s1", "1s,2s",
        "99999999999999999999s", "200000000000d", "9223372036854775807ms1ms"}) {
    CHECK_MESSAGE(!parse_duration(text).ok(), text);
  }
}

TEST_CASE("a size counts in powers of 1024 or, with the decimal units, of 1000") {
  CHECK(size_of("7B") == 7);
  CHECK(size_of("64KiB") == 65'536);
  CHECK(size_of("16 MiB") == 16'777'216);
  CHECK(size_of("1GiB") == 1'073'741'824);
  CHECK(size_of("1kB") == 1'000);
  CHECK(size_of("1MB") == 1'000'000);
  CHECK(size_of("2GB") == 2'000'000'000);
}

TEST_CASE("what is not a size is refused") {
  for (const char* text : {"", "MiB", "1.5MiB", "-1B", "1K", "1kb", "1mib", "1MiB 1KiB", "1MiBx",
                           "99999999999999999999B", "9999999999GiB", "1s"}) {
    CHECK_MESSAGE(!parse_size(text).ok(), text);
  }
}

TEST_CASE("a formatted duration or size reads back as the same value") {
  CHECK(format_duration(Milliseconds(5'400'000)) == "1h30min");
  CHECK(format_duration(Milliseconds(90'061'001)) == "1d1h1min1s1ms");
  CHECK(format_duration(Milliseconds(0)) == "0");
  CHECK(format_size(Bytes{16 << 20}) == "16MiB");
  CHECK(format_size(Bytes{0}) == "0");
  CHECK(format_size(Bytes{1000}) == "1000B");
  for (const std::int64_t count :
       {1LL, 999LL, 1000LL, 60'000LL, 61'001LL, 86'400'000LL, 9'223'372'036'854'775'807LL}) {
    CHECK(duration(format_duration(Milliseconds(count))) == Milliseconds(count));
    const Bytes bytes{static_cast<std::uint64_t>(count)};
    CHECK(size_of(format_size(bytes)) == bytes.count);
  }
}
