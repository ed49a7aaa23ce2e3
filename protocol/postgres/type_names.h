// The names of PostgreSQL's built-in types, by OID. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace based::postgres {

namespace type_oid {
inline constexpr std::uint32_t unknown = 0;  // in Parse: the server infers it
inline constexpr std::uint32_t boolean = 16;
inline constexpr std::uint32_t bytea = 17;
inline constexpr std::uint32_t name = 19;
inline constexpr std::uint32_t internal_char = 18;
inline constexpr std::uint32_t int8 = 20;
inline constexpr std::uint32_t int2 = 21;
inline constexpr std::uint32_t int4 = 23;
inline constexpr std::uint32_t text = 25;
inline constexpr std::uint32_t oid = 26;
inline constexpr std::uint32_t json = 114;
inline constexpr std::uint32_t float4 = 700;
inline constexpr std::uint32_t float8 = 701;
inline constexpr std::uint32_t unknown_literal = 705;  // pg_type's "unknown"
inline constexpr std::uint32_t bpchar = 1042;
inline constexpr std::uint32_t varchar = 1043;
inline constexpr std::uint32_t date = 1082;
inline constexpr std::uint32_t time = 1083;
inline constexpr std::uint32_t timestamp = 1114;
inline constexpr std::uint32_t timestamptz = 1184;
inline constexpr std::uint32_t numeric = 1700;
inline constexpr std::uint32_t uuid = 2950;
inline constexpr std::uint32_t jsonb = 3802;
}  // namespace type_oid

// OIDs from here on belong to objects that users made.
inline constexpr std::uint32_t first_user_oid = 16384;

// pg_type.typname ("int4", "_text" for text[]), or "" for an OID that is not built in.
std::string_view builtin_type_name(std::uint32_t oid) noexcept;

}  // namespace based::postgres
