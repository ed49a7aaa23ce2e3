#include "protocol/postgres/backend.h"

#include <algorithm>
#include <charconv>
#include <cstddef>

#include "protocol/postgres/body_reader.h"

namespace based::postgres {
namespace {

std::string_view* error_field(ErrorFields& fields, char code) {
  switch (code) {
    case 'V':
      return &fields.severity;
    case 'C':
      return &fields.sqlstate;
    case 'M':
      return &fields.message;
    case 'D':
      return &fields.detail;
    case 'H':
      return &fields.hint;
    case 'P':
      return &fields.position;
    case 'p':
      return &fields.internal_position;
    case 'q':
      return &fields.internal_query;
    case 'W':
      return &fields.where;
    case 's':
      return &fields.schema;
    case 't':
      return &fields.table;
    case 'c':
      return &fields.column;
    case 'd':
      return &fields.type;
    case 'n':
      return &fields.constraint;
    case 'R':
      return &fields.routine;
    default:  // the protocol says: ignore what you do not know
      return nullptr;
  }
}

// A field's fixed part behind its name, and the NUL of the name.
constexpr std::size_t field_bytes_min = 19;

}  // namespace

bool decode_row_description(std::string_view body, std::vector<Field>& fields) {
  fields.clear();
  BodyReader reader(body);
  const std::int16_t count = reader.take16();
  if (!reader.ok() || count < 0) return false;
  if (static_cast<std::size_t>(count) > reader.remaining() / field_bytes_min) return false;
  fields.reserve(static_cast<std::size_t>(count));
  for (std::int16_t i = 0; i < count; ++i) {
    Field field;
    field.name = reader.take_text();
    field.table_oid = reader.take32();
    field.table_column = reader.take16();
    field.type_oid = reader.take32();
    field.type_size = reader.take16();
    field.type_modifier = static_cast<std::int32_t>(reader.take32());
    field.format = reader.take16();
    if (!reader.ok() || (field.format != 0 && field.format != 1)) return false;
    fields.push_back(field);
  }
  return reader.at_end();
}

bool decode_data_row(std::string_view body, std::size_t columns, std::vector<Cell>& cells) {
  cells.clear();
  BodyReader reader(body);
  const std::int16_t count = reader.take16();
  if (!reader.ok() || count < 0 || static_cast<std::size_t>(count) != columns) return false;
  if (columns > reader.remaining() / 4) return false;
  cells.reserve(columns);
  for (std::size_t i = 0; i < columns; ++i) {
    const std::uint32_t length = reader.take32();
    if (length == 0xffffffff) {
      cells.push_back({});
      continue;
    }
    cells.push_back({.bytes = reader.take(length), .is_null = false});
    if (!reader.ok()) return false;
  }
  return reader.at_end();
}

bool decode_error(std::string_view body, ErrorFields& fields) {
  fields = {};
  std::string_view translated_severity;
  BodyReader reader(body);
  for (;;) {
    const char code = reader.take_byte();
    if (!reader.ok()) return false;
    if (code == '\0') break;
    const std::string_view value = reader.take_text();
    if (!reader.ok()) return false;
    if (code == 'S') translated_severity = value;
    if (std::string_view* field = error_field(fields, code)) *field = value;
  }
  if (fields.severity.empty()) fields.severity = translated_severity;
  return reader.at_end();
}

bool decode_command_complete(std::string_view body, CommandTag& tag) {
  tag = {};
  BodyReader reader(body);
  const std::string_view text = reader.take_text();
  if (!reader.at_end()) return false;
  tag.command = text;
  const std::size_t digits = text.find_first_of("0123456789");
  if (digits == std::string_view::npos || digits == 0) return true;
  const std::size_t last = text.rfind(' ') + 1;
  std::int64_t count = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + last, end, count);
  if (parsed.ec != std::errc() || parsed.ptr != end) return true;
  tag.count = count;
  tag.command = text.substr(0, digits - 1);
  return true;
}

bool decode_parameter_status(std::string_view body, ParameterStatus& status) {
  BodyReader reader(body);
  status.name = reader.take_text();
  status.value = reader.take_text();
  return reader.at_end();
}

bool decode_parameter_description(std::string_view body, std::vector<std::uint32_t>& types) {
  types.clear();
  BodyReader reader(body);
  const std::uint32_t count = reader.take_unsigned(2);
  if (!reader.ok() || reader.remaining() != std::size_t{count} * 4) return false;
  types.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) types.push_back(reader.take32());
  return reader.at_end();
}

bool decode_ready(std::string_view body, char& status) {
  if (body.size() != 1) return false;
  status = body[0];
  return status == 'I' || status == 'T' || status == 'E';
}

bool decode_key_data(std::string_view body, KeyData& key) {
  BodyReader reader(body);
  key.process_id = reader.take32();
  if (!reader.ok() || reader.remaining() < 4 || reader.remaining() > 256) return false;
  key.secret = reader.take(reader.remaining());
  return true;
}

bool decode_notification(std::string_view body, Notification& notification) {
  BodyReader reader(body);
  notification.process_id = reader.take32();
  notification.channel = reader.take_text();
  notification.payload = reader.take_text();
  return reader.at_end();
}

}  // namespace based::postgres
