// Parameters of PostgreSQL as SQLite's values, and back as cells.
#include <doctest/doctest.h>

#include <deque>
#include <string>

#include "daemon/postgres/sqlite_parameters.h"
#include "daemon/postgres/sqlite_types.h"
#include "protocol/postgres/type_names.h"

namespace based {
namespace {

namespace oid = postgres::type_oid;

// A cell's bytes; "refused" where the value contradicts the type.
std::string cell(std::uint32_t type, std::int16_t format, const ValueView& value) {
  std::string out;
  postgres::BackendWriter writer(out);
  if (!write_cell(writer, type, format, value)) {
    CHECK(out.empty());
    return "refused";
  }
  return out.substr(4);
}

std::string state_of(std::uint32_t type, std::int16_t format, std::string_view bytes) {
  std::deque<std::string> storage;
  auto value = read_parameter(1, type, format, bytes, storage);
  return value ? "taken" : std::string(value.error().sqlstate.text());
}

struct Round {
  std::uint32_t type;
  const char* text;
};

}  // namespace

TEST_CASE("what is sent as text comes back, in text and through the binary format") {
  for (const Round& round :
       {Round{oid::int2, "-32768"}, Round{oid::int4, "2147483647"},
        Round{oid::int8, "-9223372036854775808"}, Round{oid::float8, "0.1"},
        Round{oid::float8, "1e+300"}, Round{oid::boolean, "t"}, Round{oid::boolean, "f"},
        Round{oid::text, "a\xc3\xa4"}, Round{oid::bytea, "\\x00ff"}, Round{oid::numeric, "-12.5"},
        Round{oid::numeric, "123456789012345678901234567890.5"}, Round{oid::date, "2024-02-29"},
        Round{oid::time, "23:59:59.5"}, Round{oid::timestamp, "1999-12-31 23:59:59.25"},
        Round{oid::timestamptz, "2024-05-06 07:08:09+00"}, Round{oid::json, "{\"a\": 1}"},
        Round{oid::jsonb, "[1]"}, Round{oid::uuid, "00000000-0000-0000-0000-00000000004d"}}) {
    CAPTURE(std::string(round.text));
    std::deque<std::string> storage;
    const auto value = read_parameter(1, round.type, 0, round.text, storage);
    REQUIRE(value);
    CHECK(cell(round.type, 0, *value) == round.text);
    const std::string binary = cell(round.type, 1, *value);
    const auto again = read_parameter(1, round.type, 1, binary, storage);
    REQUIRE(again);
    CHECK(cell(round.type, 0, *again) == round.text);
    CHECK(cell(round.type, 1, *again) == binary);
  }
}

TEST_CASE("a text's zone, and a date's time, are dropped as PostgreSQL drops them") {
  struct Given {
    std::uint32_t type;
    std::string_view text;
    std::string_view stored;
  };
  for (const Given& given :
       {Given{oid::date, "2024-07-06 +02", "2024-07-06"},
        Given{oid::date, "2024-07-06", "2024-07-06"},
        Given{oid::date, "2024-07-06T00:00:00.000-05:00", "2024-07-06"},
        Given{oid::time, "10:11:12+01", "10:11:12"},
        Given{oid::time, "10:11:12.5 -0330", "10:11:12.5"},
        Given{oid::timestamp, "2024-07-06 10:11:12.5+02", "2024-07-06 10:11:12.5"},
        Given{oid::timestamp, "2024-07-06T10:11:12Z", "2024-07-06T10:11:12"},
        Given{oid::timestamp, "2024-07-06 10:11", "2024-07-06 10:11"},
        Given{oid::timestamptz, "2024-07-06 10:11:12+02", "2024-07-06 10:11:12+02"},
        Given{oid::timestamp, "2024-07%", "2024-07%"}, Given{oid::date, "2024-07", "2024-07"},
        Given{oid::date, "tomorrow +02", "tomorrow +02"}, Given{oid::time, "-", "-"}}) {
    CAPTURE(std::string(given.text));
    std::deque<std::string> storage;
    const auto value = read_parameter(1, given.type, 0, given.text, storage);
    REQUIRE(value);
    CHECK(value->data == given.stored);
  }
}

TEST_CASE("parameters of the wrong shape are refused") {
  CHECK(state_of(oid::int4, 0, "x") == "22P02");
  CHECK(state_of(oid::int4, 0, "2147483648") == "22003");
  CHECK(state_of(oid::int8, 0, "99999999999999999999") == "22003");
  CHECK(state_of(oid::boolean, 0, "maybe") == "22P02");
  CHECK(state_of(oid::uuid, 0, "0000") == "22P02");
  CHECK(state_of(oid::bytea, 0, "\\x0") == "22P02");
  CHECK(state_of(oid::numeric, 0, "1,5") == "22P02");
  CHECK(state_of(oid::text, 0, std::string_view("a\0b", 3)) == "22021");
  for (const std::uint32_t type : {oid::int2, oid::int4, oid::int8, oid::float8, oid::boolean,
                                   oid::date, oid::timestamp, oid::uuid, oid::numeric}) {
    CHECK(state_of(type, 1, "xyz") == "22P03");
  }
  CHECK(state_of(oid::date, 1, "\x7f\xff\xff\xff") == "22003");  // infinity
  CHECK(state_of(1007, 1, "int4[]") == "42P18");
  CHECK(state_of(oid::unknown, 1, "bytes") == "taken");
}

TEST_CASE("a value that its type cannot say is refused, never bent") {
  CHECK(cell(oid::int8, 0, ValueView::of(1.5)) == "refused");
  CHECK(cell(oid::int8, 0, ValueView::text("1")) == "refused");
  CHECK(cell(oid::int4, 1, ValueView::of(std::int64_t{1} << 40)) == "refused");
  CHECK(cell(oid::float8, 0, ValueView::of((std::int64_t{1} << 53) + 1)) == "refused");
  CHECK(cell(oid::float8, 0, ValueView::of(std::int64_t{3})) == "3");
  CHECK(cell(oid::text, 0, ValueView::bytes("x")) == "refused");
  CHECK(cell(oid::text, 0, ValueView::text(std::string_view("a\0b", 3))) == "refused");
  CHECK(cell(oid::bytea, 0, ValueView::text("x")) == "refused");
  CHECK(cell(oid::boolean, 0, ValueView::of(std::int64_t{2})) == "refused");
  CHECK(cell(oid::date, 0, ValueView::text("2023-02-29")) == "refused");
  CHECK(cell(oid::date, 0, ValueView::text("2023-02-28 10:00")) == "refused");
  CHECK(cell(oid::timestamp, 0, ValueView::text("2024-01-01 00:00+02")) == "refused");
  CHECK(cell(oid::timestamptz, 0, ValueView::text("2024-01-01 00:00+02")) ==
        "2023-12-31 22:00:00+00");
  CHECK(cell(oid::timestamptz, 0, ValueView::text("2023-12-31 23:59:59.999999999Z")) ==
        "2024-01-01 00:00:00+00");
  CHECK(cell(oid::uuid, 0, ValueView::bytes("0123456789abcde")) == "refused");
  CHECK(cell(oid::numeric, 0, ValueView::text("many")) == "refused");
}

TEST_CASE("declared types are read as SQLite reads them") {
  CHECK(oid_of_declared("BigInt") == oid::int8);
  CHECK(oid_of_declared("UNSIGNED BIG INT") == oid::int8);
  CHECK(oid_of_declared("varchar ( 20 )") == oid::text);
  CHECK(oid_of_declared("DECIMAL(10, 2)") == oid::numeric);
  CHECK(oid_of_declared("double precision") == oid::float8);
  CHECK(oid_of_declared("timestamp(3) with time zone") == oid::timestamptz);
  CHECK(oid_of_declared("DATETIME") == oid::timestamp);
  CHECK(oid_of_declared("whatever") == oid::text);
  CHECK(oid_of_declared("NULL") == 0);
}

}  // namespace based
