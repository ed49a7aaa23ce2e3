#include "backends/postgres/parameters.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include "protocol/postgres/scanner.h"
#include "protocol/postgres/type_names.h"

namespace based::postgres {
namespace {

std::uint32_t parameter_type(const ValueView& value) {
  switch (value.kind) {
    case ValueKind::null:
    case ValueKind::text:
      return type_oid::unknown;
    case ValueKind::boolean:
      return type_oid::boolean;
    case ValueKind::int64: {
      using Int4 = std::numeric_limits<std::int32_t>;
      const bool fits = value.int64 >= Int4::min() && value.int64 <= Int4::max();
      return fits ? type_oid::int4 : type_oid::int8;
    }
    case ValueKind::float64:
      return type_oid::float8;
    case ValueKind::bytes:
      return type_oid::bytea;
  }
  return type_oid::unknown;
}

void append_float(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value < 0 ? "-Infinity" : "Infinity";
  } else {
    std::array<char, 32> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    out.append(digits.data(), end.ptr);
  }
}

void append_value(std::string& out, const ValueView& value) {
  switch (value.kind) {
    case ValueKind::null:
      break;
    case ValueKind::boolean:
      out += value.boolean ? 't' : 'f';
      break;
    case ValueKind::int64:
      out += std::to_string(value.int64);
      break;
    case ValueKind::float64:
      append_float(out, value.float64);
      break;
    case ValueKind::text:
    case ValueKind::bytes:
      out += value.data;
      break;
  }
}

// Both sides of a link speak UTF-8, whatever a client says: its protocol carries nothing else.
Error encoding_error() {
  return Error::make(sqlstate::feature_not_supported, "client_encoding is always UTF8");
}

Result<void> check_kind(const Statement& statement) {
  if (statement.kind == StatementKind::copy) {
    return Error::make(sqlstate::feature_not_supported, "COPY is not supported yet")
        .with_hint("Use INSERT with a batch of parameters, or SELECT.");
  }
  if (statement.kind == StatementKind::listen) {
    return Error::make(sqlstate::feature_not_supported,
                       "LISTEN and UNLISTEN are not supported yet");
  }
  if (statement.name == "client_encoding" && !statement.setting.empty()) return encoding_error();
  return {};
}

Result<void> check_text(const Statement& statement) {
  if (statement.text.find('\0') != std::string::npos) {
    return Error::make(sqlstate::character_not_in_repertoire,
                       "a statement of PostgreSQL cannot contain the character U+0000");
  }
  // Parse has the text, a name, and four bytes for each parameter.
  if (statement.text.size() > message_length_max / 2) {
    return Error::make(sqlstate::program_limit_exceeded, "the statement is too long");
  }
  return {};
}

Result<void> check_parameters(std::span<const ValueView> values) {
  if (values.size() > parameters_max) {
    return Error::make(sqlstate::program_limit_exceeded,
                       std::to_string(values.size()) + " parameters are too many")
        .with_detail("PostgreSQL takes at most 65535 parameters in one statement.");
  }
  std::size_t bytes = 64;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const ValueView& value = values[i];
    if (value.kind == ValueKind::text && value.data.find('\0') != std::string_view::npos) {
      return Error::make(sqlstate::character_not_in_repertoire,
                         "parameter $" + std::to_string(i + 1) + " contains the character U+0000")
          .with_detail("A text of PostgreSQL cannot contain it.")
          .with_hint("Send the value as bytes.");
    }
    constexpr std::size_t fixed_bytes = 40;  // format, length, and the longest number
    const std::size_t need = value.data.size() + fixed_bytes;
    if (need > message_length_max - bytes) {
      return Error::make(sqlstate::program_limit_exceeded,
                         "the parameters are larger than PostgreSQL's longest message (1 GiB)");
    }
    bytes += need;
  }
  return {};
}

}  // namespace

std::vector<std::uint32_t> parameter_types(std::span<const ValueView> values) {
  std::vector<std::uint32_t> types;
  types.reserve(values.size());
  for (const ValueView& value : values) types.push_back(parameter_type(value));
  return types;
}

void write_bind(FrontendWriter& writer, std::string_view statement,
                std::span<const ValueView> values) {
  std::vector<Format> formats;
  formats.reserve(values.size());
  for (const ValueView& value : values) {
    formats.push_back(value.kind == ValueKind::bytes ? Format::binary : Format::text);
  }
  writer.begin_bind("", statement, formats);
  for (const ValueView& value : values) {
    if (value.is_null()) {
      writer.null_value();
      continue;
    }
    writer.begin_value();
    append_value(writer.out(), value);
    writer.end_value();
  }
  writer.end_bind();
}

Result<void> check_unit(const Unit& unit) {
  if (unit.profile && unit.profile->settings.contains("client_encoding")) return encoding_error();
  for (const Step& step : unit.steps) {
    if (Result<void> checked = check_kind(*step.statement); !checked) return checked;
    if (Result<void> checked = check_text(*step.statement); !checked) return checked;
    if (Result<void> checked = check_parameters(step.parameters.views()); !checked) return checked;
  }
  return {};
}

}  // namespace based::postgres
