#include "daemon/postgres/sqlite_types.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

#include "protocol/postgres/datetime.h"
#include "protocol/postgres/numeric.h"
#include "protocol/postgres/type_names.h"

namespace based {
namespace {

namespace oid = postgres::type_oid;

struct TypeRow {
  std::string_view name;
  std::uint32_t oid;
};

constexpr std::array exact_types{
    TypeRow{"bool", oid::boolean},
    TypeRow{"boolean", oid::boolean},
    TypeRow{"bytea", oid::bytea},
    TypeRow{"date", oid::date},
    TypeRow{"datetime", oid::timestamp},
    TypeRow{"dec", oid::numeric},
    TypeRow{"decimal", oid::numeric},
    TypeRow{"json", oid::json},
    TypeRow{"jsonb", oid::jsonb},
    TypeRow{"numeric", oid::numeric},
    TypeRow{"time", oid::time},
    TypeRow{"time without time zone", oid::time},
    TypeRow{"timestamp", oid::timestamp},
    TypeRow{"timestamp with time zone", oid::timestamptz},
    TypeRow{"timestamp without time zone", oid::timestamp},
    TypeRow{"timestamptz", oid::timestamptz},
    TypeRow{"uuid", oid::uuid},
};

constexpr std::array cast_types{
    TypeRow{"bigint", oid::int8},    TypeRow{"int", oid::int4},
    TypeRow{"int2", oid::int2},      TypeRow{"int4", oid::int4},
    TypeRow{"int8", oid::int8},      TypeRow{"integer", oid::int4},
    TypeRow{"smallint", oid::int2},  TypeRow{"oid", oid::oid},
    TypeRow{"float4", oid::float4},  TypeRow{"float8", oid::float8},
    TypeRow{"real", oid::float4},    TypeRow{"double precision", oid::float8},
    TypeRow{"float", oid::float8},   TypeRow{"text", oid::text},
    TypeRow{"varchar", oid::text},   TypeRow{"character varying", oid::text},
    TypeRow{"char", oid::text},      TypeRow{"bpchar", oid::text},
    TypeRow{"character", oid::text}, TypeRow{"name", oid::text},
};

// Lower case, single spaces, without what is in parentheses.
std::string folded(std::string_view type) {
  std::string result;
  int depth = 0;
  for (const char c : type) {
    if (c == ')') {
      depth = std::max(depth - 1, 0);
    } else if (c == '(') {
      ++depth;
    } else if (depth == 0) {
      const bool space = std::isspace(static_cast<unsigned char>(c)) != 0;
      if (space && (result.empty() || result.back() == ' ')) continue;
      result += space ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  while (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

template <typename Table>
std::uint32_t find(const Table& table, std::string_view name) {
  for (const TypeRow& row : table) {
    if (row.name == name) return row.oid;
  }
  return 0;
}

void put64(std::string& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xFF);
}

void put_hex(std::string& out, std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  for (const char c : bytes) {
    out += digits[static_cast<unsigned char>(c) >> 4];
    out += digits[static_cast<unsigned char>(c) & 15];
  }
}

bool write_integer(postgres::BackendWriter& writer, std::uint32_t type, bool binary,
                   const ValueView& value) {
  if (value.kind != ValueKind::int64 && value.kind != ValueKind::boolean) return false;
  const std::int64_t number =
      value.kind == ValueKind::boolean ? std::int64_t{value.boolean} : value.int64;
  if (type == oid::int4 && (number < INT32_MIN || number > INT32_MAX)) return false;
  if (type == oid::int2 && (number < INT16_MIN || number > INT16_MAX)) return false;
  if (type == oid::oid && (number < 0 || number > UINT32_MAX)) return false;
  if (!binary) return writer.out() += std::to_string(number), true;
  if (type == oid::int8) return put64(writer.out(), static_cast<std::uint64_t>(number)), true;
  if (type == oid::int2) return writer.put16(static_cast<std::uint16_t>(number)), true;
  return writer.put32(static_cast<std::uint32_t>(number)), true;
}

bool write_float(postgres::BackendWriter& writer, std::uint32_t type, bool binary,
                 const ValueView& value) {
  double number = 0;
  if (value.kind == ValueKind::float64) {
    number = value.float64;
  } else if (value.kind == ValueKind::int64) {
    // From there on not every integer is a double.
    constexpr std::int64_t exact_max = std::int64_t{1} << 53;
    if (value.int64 > exact_max || value.int64 < -exact_max) return false;
    number = static_cast<double>(value.int64);
  } else {
    return false;
  }
  if (!binary) return writer.out() += float_text(number), true;
  if (type == oid::float8) return put64(writer.out(), std::bit_cast<std::uint64_t>(number)), true;
  return writer.put32(std::bit_cast<std::uint32_t>(static_cast<float>(number))), true;
}

std::optional<std::string> plain_text(const ValueView& value) {
  switch (value.kind) {
    case ValueKind::boolean:
      return value.boolean ? "true" : "false";
    case ValueKind::int64:
      return std::to_string(value.int64);
    case ValueKind::float64:
      return float_text(value.float64);
    case ValueKind::text:
      return std::string(value.data);
    case ValueKind::null:
    case ValueKind::bytes:
      break;
  }
  return std::nullopt;
}

bool write_numeric(postgres::BackendWriter& writer, bool binary, const ValueView& value) {
  const auto text = value.kind == ValueKind::boolean ? std::nullopt : plain_text(value);
  std::string encoded;
  if (!text || !postgres::append_numeric(encoded, *text)) return false;
  writer.out() += binary ? encoded : *text;
  return true;
}

bool write_text(postgres::BackendWriter& writer, std::uint32_t type, bool binary,
                const ValueView& value) {
  const auto text = plain_text(value);
  // PostgreSQL's texts have no NUL, and its clients cut at one.
  if (!text || text->find('\0') != std::string::npos) return false;
  if (binary && type == oid::jsonb) writer.out() += '\1';
  writer.out() += *text;
  return true;
}

bool write_bytes(postgres::BackendWriter& writer, bool binary, const ValueView& value) {
  if (value.kind != ValueKind::bytes) return false;
  if (binary) return writer.out() += value.data, true;
  writer.out() += "\\x";
  put_hex(writer.out(), value.data);
  return true;
}

bool write_bool(postgres::BackendWriter& writer, bool binary, const ValueView& value) {
  const bool number = value.kind == ValueKind::int64 && (value.int64 == 0 || value.int64 == 1);
  if (value.kind != ValueKind::boolean && !number) return false;
  const bool truth = number ? value.int64 == 1 : value.boolean;
  writer.out() += binary ? (truth ? '\1' : '\0') : (truth ? 't' : 'f');
  return true;
}

bool write_date(postgres::BackendWriter& writer, std::uint32_t type, bool binary,
                const ValueView& value) {
  if (value.kind != ValueKind::text) return false;
  if (type == oid::time) {
    const auto time = postgres::parse_time(value.data);
    if (!time) return false;
    if (binary) return put64(writer.out(), static_cast<std::uint64_t>(*time)), true;
    return writer.out() += *postgres::time_text(*time), true;
  }
  const auto parsed = postgres::parse_datetime(value.data);
  if (!parsed) return false;
  if (type == oid::date) {
    if (parsed->microseconds != 0 || parsed->offset_seconds) return false;
    if (binary) return writer.put32(static_cast<std::uint32_t>(parsed->days)), true;
    return writer.out() += *postgres::date_text(parsed->days), true;
  }
  const std::int64_t offset = parsed->offset_seconds.value_or(0);
  // Without a time zone in the type, one in the value would be lost.
  if (type == oid::timestamp && offset != 0) return false;
  const std::int64_t moment =
      parsed->days * postgres::day_microseconds + parsed->microseconds - offset * 1'000'000;
  const auto text = postgres::timestamp_text(moment);
  if (!text) return false;
  if (binary) return put64(writer.out(), static_cast<std::uint64_t>(moment)), true;
  writer.out() += *text;
  if (type == oid::timestamptz) writer.out() += "+00";
  return true;
}

bool write_uuid(postgres::BackendWriter& writer, bool binary, const ValueView& value) {
  std::string digits;
  if (value.kind == ValueKind::bytes && value.data.size() == 16) {
    put_hex(digits, value.data);
  } else if (value.kind == ValueKind::text) {
    std::string_view text = value.data;
    if (text.size() > 2 && text.front() == '{' && text.back() == '}') {
      text = text.substr(1, text.size() - 2);
    }
    for (const char c : text) {
      if (c != '-') digits += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  const auto is_hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
  if (digits.size() != 32 || !std::ranges::all_of(digits, is_hex)) return false;
  if (binary) {
    for (std::size_t i = 0; i < 32; i += 2) {
      writer.out() += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    }
    return true;
  }
  for (const std::size_t at : {8u, 13u, 18u, 23u}) digits.insert(at, 1, '-');
  writer.out() += digits;
  return true;
}

bool write_value(postgres::BackendWriter& writer, std::uint32_t type, bool binary,
                 const ValueView& value) {
  switch (type) {
    case oid::int2:
    case oid::int4:
    case oid::int8:
    case oid::oid:
      return write_integer(writer, type, binary, value);
    case oid::float4:
    case oid::float8:
      return write_float(writer, type, binary, value);
    case oid::numeric:
      return write_numeric(writer, binary, value);
    case oid::boolean:
      return write_bool(writer, binary, value);
    case oid::bytea:
      return write_bytes(writer, binary, value);
    case oid::date:
    case oid::time:
    case oid::timestamp:
    case oid::timestamptz:
      return write_date(writer, type, binary, value);
    case oid::uuid:
      return write_uuid(writer, binary, value);
    default:
      return write_text(writer, type, binary, value);
  }
}

}  // namespace

std::uint32_t oid_of_declared(std::string_view type) {
  const std::string name = folded(type);
  if (name == "null") return 0;
  if (const std::uint32_t exact = find(exact_types, name)) return exact;
  const auto has = [&name](std::string_view part) { return name.find(part) != std::string::npos; };
  // SQLite's own rules of affinity, in their order.
  if (has("int")) return oid::int8;
  if (has("char") || has("clob") || has("text")) return oid::text;
  if (has("blob")) return oid::bytea;
  if (has("real") || has("floa") || has("doub")) return oid::float8;
  return oid::text;
}

std::uint32_t oid_of_cast(std::string_view type) {
  const std::string name = folded(type);
  if (const std::uint32_t known = find(cast_types, name)) return known;
  return find(exact_types, name);
}

std::int16_t size_of_type(std::uint32_t type) {
  switch (type) {
    case oid::boolean:
      return 1;
    case oid::int2:
      return 2;
    case oid::int4:
    case oid::oid:
    case oid::float4:
    case oid::date:
      return 4;
    case oid::int8:
    case oid::float8:
    case oid::time:
    case oid::timestamp:
    case oid::timestamptz:
      return 8;
    case oid::uuid:
      return 16;
    default:
      return -1;
  }
}

bool write_cell(postgres::BackendWriter& writer, std::uint32_t type, std::int16_t format,
                const ValueView& value) {
  if (value.is_null()) return writer.null(), true;
  const std::size_t before = writer.out().size();
  writer.begin_cell();
  if (!write_value(writer, type, format == 1, value)) return writer.out().resize(before), false;
  writer.end_cell();
  return true;
}

std::string describe_value(const ValueView& value) {
  switch (value.kind) {
    case ValueKind::null:
      return "NULL";
    case ValueKind::boolean:
      return value.boolean ? "boolean true" : "boolean false";
    case ValueKind::int64:
      return "integer " + std::to_string(value.int64);
    case ValueKind::float64:
      return "real " + float_text(value.float64);
    case ValueKind::text: {
      std::string shown(value.data.substr(0, 40));
      while (!is_valid_utf8(shown)) shown.pop_back();
      return "text \"" + shown + (shown.size() < value.data.size() ? "...\"" : "\"");
    }
    case ValueKind::bytes:
      return "blob of " + std::to_string(value.data.size()) + " bytes";
  }
  return "";
}

std::string float_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, end.ptr);
}

}  // namespace based
