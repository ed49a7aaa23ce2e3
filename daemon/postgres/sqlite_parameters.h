// The parameters of a Bind as SQLite's values. Pure.
//
// By the type that Parse gave, or that its place in the statement says. Without either, a parameter
// in text format is a text, to which SQLite applies the affinity of the column that it meets, and
// one in binary format a blob.
//   integers, oid     INTEGER          numeric   INTEGER or REAL where that is exact, else TEXT
//   float4, float8    REAL             bool      1 or 0
//   bytea             BLOB             uuid      TEXT, in lower case with hyphens
//   date, time, timestamp    TEXT: as sent in text format, ISO 8601 from the binary one, where a
//                            timestamp with time zone ends in +00:00
//   json, text and all others in text format    TEXT as sent
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "protocol/value.h"

namespace based {

// `number` counts from 1. What has to be rewritten is kept in `storage`, whose elements do not
// move; all else views `bytes`. 22P02, 22P03 for bytes of the wrong shape, 22003, 22021 for a NUL,
// 42P18 for a binary parameter of no type that is known here.
Result<ValueView> read_parameter(std::size_t number, std::uint32_t type, std::int16_t format,
                                 std::optional<std::string_view> bytes,
                                 std::deque<std::string>& storage);

}  // namespace based
