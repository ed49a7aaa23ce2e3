#include "protocol/postgres/frontend.h"

#include "protocol/check.h"
#include "protocol/postgres/scanner.h"

namespace based::postgres {

void FrontendWriter::parse(std::string_view statement, std::string_view text,
                           std::span<const std::uint32_t> parameter_types) {
  INVARIANT(parameter_types.size() <= parameters_max);
  begin('P');
  put_text(statement);
  put_text(text);
  put16(static_cast<std::uint32_t>(parameter_types.size()));
  for (const std::uint32_t type : parameter_types) put32(type);
  end();
}

void FrontendWriter::execute(std::string_view portal, std::uint32_t rows_max) {
  begin('E');
  put_text(portal);
  put32(rows_max);
  end();
}

void FrontendWriter::query(std::string_view text) {
  begin('Q');
  put_text(text);
  end();
}

void FrontendWriter::copy_fail(std::string_view reason) {
  begin('f');
  put_text(reason);
  end();
}

void FrontendWriter::begin_bind(std::string_view portal, std::string_view statement,
                                std::span<const Format> formats) {
  INVARIANT(formats.size() <= parameters_max);
  begin('B');
  put_text(portal);
  put_text(statement);
  put16(static_cast<std::uint32_t>(formats.size()));
  for (const Format format : formats) put16(static_cast<std::uint16_t>(format));
  put16(static_cast<std::uint32_t>(formats.size()));
}

void FrontendWriter::null_value() { put32(0xffffffff); }

void FrontendWriter::begin_value() {
  value_at_ = out_.size();
  put32(0);
}

void FrontendWriter::end_value() {
  const std::size_t bytes = out_.size() - value_at_ - 4;
  INVARIANT(bytes <= message_length_max);
  put32_at(value_at_, static_cast<std::uint32_t>(bytes));
}

void FrontendWriter::end_bind() {
  put16(0);
  end();
}

void FrontendWriter::begin(char type) {
  out_.push_back(type);
  length_at_ = out_.size();
  put32(0);
}

void FrontendWriter::end() {
  const std::size_t length = out_.size() - length_at_;
  INVARIANT(length <= message_length_max);
  put32_at(length_at_, static_cast<std::uint32_t>(length));
}

void FrontendWriter::put16(std::uint32_t value) {
  out_.push_back(static_cast<char>(value >> 8));
  out_.push_back(static_cast<char>(value));
}

void FrontendWriter::put32(std::uint32_t value) {
  put16(value >> 16);
  put16(value & 0xffff);
}

void FrontendWriter::put32_at(std::size_t place, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) out_[place + i] = static_cast<char>(value >> (24 - 8 * i));
}

void FrontendWriter::put_text(std::string_view text) {
  out_.append(text);
  out_.push_back('\0');
}

void FrontendWriter::name_message(char type, char what, std::string_view name) {
  begin(type);
  out_.push_back(what);
  put_text(name);
  end();
}

void FrontendWriter::empty_message(char type) {
  begin(type);
  end();
}

}  // namespace based::postgres
