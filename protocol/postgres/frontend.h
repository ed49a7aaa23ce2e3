// FrontendWriter: appends the messages that a client of PostgreSQL sends to a buffer. Pure.
//
// Texts and names must not contain NUL (the caller has refused those); the limits are the
// protocol's and REQUIRED: at most 65535 parameters, and no message over message_length_max.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace based::postgres {

inline constexpr std::size_t parameters_max = 65535;

enum class Format : std::int16_t { text = 0, binary = 1 };

class FrontendWriter {
 public:
  explicit FrontendWriter(std::string& out) : out_(out) {}

  // The empty name is the unnamed statement or portal.
  void parse(std::string_view statement, std::string_view text,
             std::span<const std::uint32_t> parameter_types);
  void describe_statement(std::string_view statement) { name_message('D', 'S', statement); }
  void describe_portal(std::string_view portal) { name_message('D', 'P', portal); }
  void execute(std::string_view portal, std::uint32_t rows_max);  // 0: all
  void close_statement(std::string_view statement) { name_message('C', 'S', statement); }
  void close_portal(std::string_view portal) { name_message('C', 'P', portal); }
  void sync() { empty_message('S'); }
  void flush() { empty_message('H'); }
  void query(std::string_view text);
  void copy_fail(std::string_view reason);
  void terminate() { empty_message('X'); }

  // Bind, in pieces, so that values are written straight into the buffer: begin_bind with the
  // format of each parameter, then for each of them null_value() or begin_value(), the bytes in
  // out(), end_value(); then end_bind, which asks for all results as text.
  void begin_bind(std::string_view portal, std::string_view statement,
                  std::span<const Format> formats);
  void null_value();
  void begin_value();
  void end_value();
  void end_bind();

  std::string& out() { return out_; }

 private:
  void begin(char type);
  void end();
  void put16(std::uint32_t value);
  void put32(std::uint32_t value);
  void put32_at(std::size_t place, std::uint32_t value);
  void put_text(std::string_view text);
  void name_message(char type, char what, std::string_view name);
  void empty_message(char type);

  std::string& out_;
  std::size_t length_at_ = 0;
  std::size_t value_at_ = 0;
};

}  // namespace based::postgres
