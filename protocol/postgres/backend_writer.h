// BackendWriter: appends the messages that a PostgreSQL server sends to a buffer. Pure.
//
// The formats are in PostgreSQL's manual, chapter "Message Formats". Texts are cut at a NUL.
// REQUIRED of the caller: counts fit 16 bits, a message is under 1 GiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "protocol/postgres/backend.h"
#include "protocol/result.h"

namespace based::postgres {

class BackendWriter {
 public:
  explicit BackendWriter(std::string& out) : out_(out) {}

  // `position`: 1-based, in characters of the client's text; the error's own is in bytes and is not
  // looked at.
  void error(std::string_view severity, const Error& error,
             std::optional<std::uint32_t> position = std::nullopt) {
    report(reply::error, severity, error, position);
  }
  void notice(std::string_view severity, const Error& notice) {
    report(reply::notice, severity, notice, std::nullopt);
  }
  void ready(char status);
  void parameter_status(std::string_view name, std::string_view value);
  void key_data(std::uint32_t process_id, std::string_view secret);
  void notification(std::uint32_t process_id, std::string_view channel, std::string_view payload);
  // AuthenticationOk is code 0 without data; SASL's messages are 10, 11 and 12.
  void authentication(std::uint32_t code, std::string_view data = {});
  void negotiate_version(std::uint32_t newest_minor, std::span<const std::string> unknown_options);

  void parameter_description(std::span<const std::uint32_t> types);
  void row_description(std::span<const Field> fields);
  void command_complete(std::string_view tag);
  void parse_complete() { empty(reply::parse_complete); }
  void bind_complete() { empty(reply::bind_complete); }
  void close_complete() { empty(reply::close_complete); }
  void no_data() { empty(reply::no_data); }
  void empty_query() { empty(reply::empty_query); }
  void portal_suspended() { empty(reply::portal_suspended); }

  // A row, cell by cell: begin_row, then for each column null() or begin_cell(), its bytes appended
  // to out(), end_cell(); then end_row. drop_row() takes back what was begun.
  void begin_row(std::size_t columns);
  void null() { put32(0xFFFFFFFF); }
  void begin_cell();
  void end_cell();
  void end_row() { end(); }
  void drop_row() { out_.resize(message_at_); }

  std::string& out() { return out_; }

  void put16(std::uint32_t value);
  void put32(std::uint32_t value);

 private:
  void begin(char type);
  void end();
  void empty(char type);
  void put_text(std::string_view text);
  void put32_at(std::size_t place, std::uint32_t value);
  void report(char type, std::string_view severity, const Error& error,
              std::optional<std::uint32_t> position);

  std::string& out_;
  std::size_t message_at_ = 0;
  std::size_t cell_at_ = 0;
};

}  // namespace based::postgres
