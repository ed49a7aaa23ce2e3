// SQLite's values as a PostgreSQL client sees them: which type a column is announced with, and the
// bytes of its cells. Pure.
//
// A column is announced by its declared type (oid_of_declared()). What SQLite stores need not keep
// to that: a value that cannot be said truly in the announced type is refused (22P02), never bent.
// An integer in a floating-point, numeric or text column is no contradiction.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/postgres/backend_writer.h"
#include "protocol/value.h"

namespace based {

// Of a declared type in any case, or of a storage class: INTEGER, BIGINT and all else with INT in
// it int8; BOOL(EAN) bool; REAL, FLOAT, DOUBLE float8; NUMERIC, DECIMAL numeric; BLOB, BYTEA bytea;
// DATE, TIME, DATETIME, TIMESTAMP [WITH TIME ZONE], TIMESTAMPTZ, UUID, JSON, JSONB their own; text
// for all others. 0 for "NULL", which is what a backend says of an expression without a row.
std::uint32_t oid_of_declared(std::string_view type);

// The type of a cast, in lower case, without its length: "int4", "double precision". 0: none that
// is known here.
std::uint32_t oid_of_cast(std::string_view type);

// pg_type.typlen.
std::int16_t size_of_type(std::uint32_t oid);

// Appends one cell with its length, in text (0) or binary (1) format. False, and nothing appended:
// the value contradicts the type.
bool write_cell(postgres::BackendWriter& writer, std::uint32_t oid, std::int16_t format,
                const ValueView& value);

// How the value is to be named in the error about it: `integer 5`, `text "abc"`, `blob of 3 bytes`.
std::string describe_value(const ValueView& value);

// The shortest decimal text that reads back as the same number, as PostgreSQL writes it.
std::string float_text(double value);

}  // namespace based
