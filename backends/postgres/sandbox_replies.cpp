#include "backends/postgres/sandbox_replies.h"

#include <vector>

#include "backends/postgres/wire_stack_text.h"
#include "protocol/postgres/backend_writer.h"

namespace based::postgres {
namespace {

constexpr std::uint32_t int8_oid = 20;
constexpr std::uint32_t text_oid = 25;
constexpr std::uint32_t void_oid = 2278;
constexpr std::string_view no_columns("n\0\0\0\4", 5);

void write_cell(BackendWriter& writer, const ValueView& value, bool binary) {
  if (value.is_null()) return writer.null();
  writer.begin_cell();
  if (value.kind == ValueKind::text) {
    writer.out().append(value.data);
  } else if (binary) {
    const auto bits = static_cast<std::uint64_t>(value.int64);
    writer.put32(static_cast<std::uint32_t>(bits >> 32));
    writer.put32(static_cast<std::uint32_t>(bits));
  } else {
    writer.out().append(std::to_string(value.int64));
  }
  writer.end_cell();
}

}  // namespace

std::string described(SandboxVerb verb, bool binary) {
  std::string out;
  BackendWriter writer(out);
  std::vector<Field> fields;
  for (const SandboxColumn& column : sandbox_columns(verb)) {
    Field field;
    field.name = column.name;
    field.type_oid = column.number ? int8_oid : text_oid;
    field.type_size = static_cast<std::int16_t>(column.number ? 8 : -1);
    field.type_modifier = -1;
    field.format = static_cast<std::int16_t>(binary ? 1 : 0);
    fields.push_back(field);
  }
  if (fields.empty()) {
    writer.no_data();
  } else {
    writer.row_description(fields);
  }
  return out;
}

std::string answered(SandboxVerb verb, Sandbox& sandbox, bool binary) {
  std::string out;
  BackendWriter writer(out);
  for (const ValueList& row : sandbox_rows(verb, sandbox)) {
    writer.begin_row(row.size());
    for (const ValueView& value : row.views()) write_cell(writer, value, binary);
    writer.end_row();
  }
  writer.command_complete(sandbox_tag(verb));
  return out;
}

std::string completed(SandboxVerb verb) {
  std::string out;
  BackendWriter(out).command_complete(sandbox_tag(verb));
  return out;
}

std::string noticed_names(const Statement& statement) {
  std::string bytes;
  for (const Error& notice : cut_names(statement)) BackendWriter(bytes).notice("NOTICE", notice);
  return bytes;
}

Field column_of(const OwnRow& row) {
  const bool text = !row.setting.empty();
  return {.name = row.column,
          .type_oid = text ? text_oid : void_oid,
          .type_size = static_cast<std::int16_t>(text ? -1 : 4),
          .type_modifier = -1};
}

std::string columns_of(const Statement& statement) {
  if (statement.kind == StatementKind::sandbox) return described(statement.verb, false);
  const std::optional<OwnRow> row = own_row_of(statement);
  if (!row) return std::string(no_columns);
  std::string bytes;
  const Field column = column_of(*row);
  BackendWriter(bytes).row_description({&column, 1});
  return bytes;
}

}  // namespace based::postgres
