#include "protocol/postgres/backend_writer.h"

#include "protocol/check.h"

namespace based::postgres {

void BackendWriter::begin(char type) {
  message_at_ = out_.size();
  out_ += type;
  put32(0);
}

void BackendWriter::end() {
  const std::size_t length = out_.size() - message_at_ - 1;
  INVARIANT(length < 1u << 30);
  put32_at(message_at_ + 1, static_cast<std::uint32_t>(length));
}

void BackendWriter::empty(char type) {
  begin(type);
  end();
}

void BackendWriter::put16(std::uint32_t value) {
  out_ += static_cast<char>(value >> 8 & 0xFF);
  out_ += static_cast<char>(value & 0xFF);
}

void BackendWriter::put32(std::uint32_t value) {
  put16(value >> 16);
  put16(value & 0xFFFF);
}

void BackendWriter::put32_at(std::size_t place, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) {
    out_[place + i] = static_cast<char>(value >> (24 - 8 * i) & 0xFF);
  }
}

void BackendWriter::put_text(std::string_view text) {
  out_ += text.substr(0, text.find('\0'));
  out_ += '\0';
}

void BackendWriter::report(char type, std::string_view severity, const Error& error,
                           std::optional<std::uint32_t> position) {
  begin(type);
  const auto field = [this](char code, std::string_view text) {
    if (text.empty()) return;
    out_ += code;
    put_text(text);
  };
  field('S', severity);
  field('V', severity);
  field('C', error.sqlstate.text());
  // The one field that must not be missing.
  field('M', error.message.empty() ? condition_name(error.sqlstate) : error.message);
  field('D', error.detail);
  field('H', error.hint);
  if (position) field('P', std::to_string(*position));
  field('s', error.schema);
  field('t', error.table);
  field('c', error.column);
  field('n', error.constraint);
  out_ += '\0';
  end();
}

void BackendWriter::ready(char status) {
  begin(reply::ready);
  out_ += status;
  end();
}

void BackendWriter::parameter_status(std::string_view name, std::string_view value) {
  begin(reply::parameter_status);
  put_text(name);
  put_text(value);
  end();
}

void BackendWriter::key_data(std::uint32_t process_id, std::string_view secret) {
  begin(reply::backend_key_data);
  put32(process_id);
  out_ += secret;
  end();
}

void BackendWriter::notification(std::uint32_t process_id, std::string_view channel,
                                 std::string_view payload) {
  begin(reply::notification);
  put32(process_id);
  put_text(channel);
  put_text(payload);
  end();
}

void BackendWriter::authentication(std::uint32_t code, std::string_view data) {
  begin(reply::authentication);
  put32(code);
  out_ += data;
  end();
}

void BackendWriter::negotiate_version(std::uint32_t newest_minor,
                                      std::span<const std::string> unknown_options) {
  begin('v');
  put32(newest_minor);
  put32(static_cast<std::uint32_t>(unknown_options.size()));
  for (const std::string& option : unknown_options) put_text(option);
  end();
}

void BackendWriter::parameter_description(std::span<const std::uint32_t> types) {
  INVARIANT(types.size() <= 0xFFFF);
  begin(reply::parameter_description);
  put16(static_cast<std::uint32_t>(types.size()));
  for (const std::uint32_t type : types) put32(type);
  end();
}

void BackendWriter::row_description(std::span<const Field> fields) {
  INVARIANT(fields.size() <= 0xFFFF);
  begin(reply::row_description);
  put16(static_cast<std::uint32_t>(fields.size()));
  for (const Field& field : fields) {
    put_text(field.name);
    put32(field.table_oid);
    put16(static_cast<std::uint16_t>(field.table_column));
    put32(field.type_oid);
    put16(static_cast<std::uint16_t>(field.type_size));
    put32(static_cast<std::uint32_t>(field.type_modifier));
    put16(static_cast<std::uint16_t>(field.format));
  }
  end();
}

void BackendWriter::command_complete(std::string_view tag) {
  begin(reply::command_complete);
  put_text(tag);
  end();
}

void BackendWriter::begin_row(std::size_t columns) {
  INVARIANT(columns <= 0xFFFF);
  begin(reply::data_row);
  put16(static_cast<std::uint32_t>(columns));
}

void BackendWriter::begin_cell() {
  cell_at_ = out_.size();
  put32(0);
}

void BackendWriter::end_cell() {
  put32_at(cell_at_, static_cast<std::uint32_t>(out_.size() - cell_at_ - 4));
}

}  // namespace based::postgres
