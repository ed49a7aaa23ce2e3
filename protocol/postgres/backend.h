// Decoders of what a PostgreSQL server says. Pure; every length is checked against what remains.
//
// Each decode_ function takes a message's body and answers false where the body is not exactly one
// such message: then the stream cannot be trusted. Views point into the body.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace based::postgres {

namespace reply {
inline constexpr char authentication = 'R';
inline constexpr char backend_key_data = 'K';
inline constexpr char bind_complete = '2';
inline constexpr char close_complete = '3';
inline constexpr char command_complete = 'C';
inline constexpr char copy_both = 'W';
inline constexpr char copy_data = 'd';
inline constexpr char copy_done = 'c';
inline constexpr char copy_in = 'G';
inline constexpr char copy_out = 'H';
inline constexpr char data_row = 'D';
inline constexpr char empty_query = 'I';
inline constexpr char error = 'E';
inline constexpr char function_call_response = 'V';
inline constexpr char no_data = 'n';
inline constexpr char notice = 'N';
inline constexpr char notification = 'A';
inline constexpr char parameter_description = 't';
inline constexpr char parameter_status = 'S';
inline constexpr char parse_complete = '1';
inline constexpr char portal_suspended = 's';
inline constexpr char ready = 'Z';
inline constexpr char row_description = 'T';
}  // namespace reply

struct Field {
  std::string_view name;
  std::uint32_t table_oid = 0;
  std::int16_t table_column = 0;
  std::uint32_t type_oid = 0;
  std::int16_t type_size = 0;
  std::int32_t type_modifier = 0;
  std::int16_t format = 0;
};

struct Cell {
  std::string_view bytes;
  bool is_null = true;
};

// Fields of ErrorResponse and NoticeResponse; what was not sent is empty.
struct ErrorFields {
  std::string_view severity;  // not translated where the server says so ('V', since 9.6)
  std::string_view sqlstate;
  std::string_view message;
  std::string_view detail;
  std::string_view hint;
  std::string_view position;  // 1-based, in characters, as digits
  std::string_view internal_position;
  std::string_view internal_query;
  std::string_view where;
  std::string_view schema;
  std::string_view table;
  std::string_view column;
  std::string_view type;
  std::string_view constraint;
  std::string_view routine;

  bool fatal() const { return severity == "FATAL" || severity == "PANIC"; }
};

struct KeyData {
  std::uint32_t process_id = 0;
  std::string_view secret;  // 4 bytes; 4 to 256 since protocol 3.2
};

struct Notification {
  std::uint32_t process_id = 0;
  std::string_view channel;
  std::string_view payload;
};

struct ParameterStatus {
  std::string_view name;
  std::string_view value;
};

// The command's words and what it counted: "INSERT 0 5" -> "INSERT", 5; "CREATE TABLE" has none.
struct CommandTag {
  std::string_view command;
  std::optional<std::int64_t> count;
};

bool decode_row_description(std::string_view body, std::vector<Field>& fields);
// REQUIRED by the caller to have `columns` cells; false where the row has another number.
bool decode_data_row(std::string_view body, std::size_t columns, std::vector<Cell>& cells);
bool decode_error(std::string_view body, ErrorFields& fields);
bool decode_command_complete(std::string_view body, CommandTag& tag);
bool decode_parameter_status(std::string_view body, ParameterStatus& status);
bool decode_parameter_description(std::string_view body, std::vector<std::uint32_t>& types);
// 'I', 'T' or 'E'.
bool decode_ready(std::string_view body, char& status);
bool decode_key_data(std::string_view body, KeyData& key);
bool decode_notification(std::string_view body, Notification& notification);

}  // namespace based::postgres
