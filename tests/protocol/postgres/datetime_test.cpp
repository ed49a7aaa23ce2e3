#include "protocol/postgres/datetime.h"

#include <doctest/doctest.h>

#include <string>

namespace based::postgres {

TEST_CASE("each day of the years 1 to 9999 comes back from its text") {
  for (std::int32_t days = -730'119; days <= 2'921'939; days += 7) {
    const auto text = date_text(days);
    REQUIRE(text);
    const auto parsed = parse_datetime(*text);
    REQUIRE(parsed);
    REQUIRE(parsed->days == days);
  }
  CHECK(date_text(0) == "2000-01-01");
  CHECK(date_text(59) == "2000-02-29");
  CHECK(date_text(-1) == "1999-12-31");
  CHECK(date_text(-730'119) == "0001-01-01");
  CHECK(date_text(2'921'939) == "9999-12-31");
  CHECK(!date_text(-730'120));
  CHECK(!date_text(2'921'940));
  CHECK(!date_text(INT32_MAX));  // PostgreSQL's infinity
  CHECK(!date_text(INT32_MIN));
}

TEST_CASE("days and times that do not exist are refused") {
  for (const char* text :
       {"", "2023-02-29", "1900-02-29", "2024-13-01", "2024-00-01", "2024-01-32", "2024-01-00",
        "0000-01-01", "2024-1-1", "2024-01-01x", "2024-01-01 24:00", "2024-01-01 10:60",
        "2024-01-01 10:00:60", "2024-01-01 10:00:00.", "2024-01-01 10:00:00.123x",
        "2024-01-01 10:00+", "2024-01-01 10:00+16", "2024-01-01 10", "2024-01-01 "}) {
    CAPTURE(std::string(text));
    CHECK(!parse_datetime(text));
  }
  CHECK(parse_datetime("2000-02-29"));
  CHECK(!parse_time("10:00:00+01"));
}

TEST_CASE("what is finer than a microsecond is rounded, into the next day if need be") {
  const auto of = [](std::string_view text) { return parse_datetime(text)->microseconds; };
  CHECK(of("2024-01-01 00:00:01.656273031Z") == 1'656'273);
  CHECK(of("2024-01-01 00:00:01.6562735") == 1'656'274);
  CHECK(of("2024-01-01 00:00:01.65627349999999999999999") == 1'656'273);
  CHECK(of("2024-01-01 00:00:01.9999999") == 2'000'000);
  CHECK(of("2024-01-01 23:59:59.9999999") == day_microseconds);
  CHECK(timestamp_text(day_microseconds) == "2000-01-02 00:00:00");
  CHECK(parse_time("23:59:59.9999999") == day_microseconds);
}

TEST_CASE("a moment's parts are read") {
  const auto moment = parse_datetime("2000-01-02T03:04:05.600+01:30");
  REQUIRE(moment);
  CHECK(moment->days == 1);
  CHECK(moment->microseconds == 11'045'600'000);
  CHECK(moment->offset_seconds == 5400);
  CHECK(parse_datetime("2000-01-02 03:04Z")->offset_seconds == 0);
  CHECK(parse_datetime("2000-01-02 03:04-0230")->offset_seconds == -9000);
  CHECK(!parse_datetime("2000-01-02")->has_time);
}

TEST_CASE("timestamps before 2000 keep their day") {
  CHECK(timestamp_text(-1) == "1999-12-31 23:59:59.999999");
  CHECK(timestamp_text(0) == "2000-01-01 00:00:00");
  CHECK(timestamp_text(1'500'000) == "2000-01-01 00:00:01.5");
  CHECK(!timestamp_text(INT64_MAX));
  CHECK(!timestamp_text(INT64_MIN));
  CHECK(time_text(86'399'999'999) == "23:59:59.999999");
  CHECK(!time_text(-1));
}

}  // namespace based::postgres
