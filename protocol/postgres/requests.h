// Decoders of what a PostgreSQL client says after start-up. Pure; every length is checked against
// what remains.
//
// Each decode_ function takes a message's body and answers false where the body is not exactly one
// such message (08P01). Views point into the body. The formats are in PostgreSQL's manual, chapter
// "Message Formats".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace based::postgres {

namespace request {
inline constexpr char bind = 'B';
inline constexpr char close = 'C';
inline constexpr char copy_data = 'd';
inline constexpr char copy_done = 'c';
inline constexpr char copy_fail = 'f';
inline constexpr char describe = 'D';
inline constexpr char execute = 'E';
inline constexpr char flush = 'H';
inline constexpr char function_call = 'F';
inline constexpr char parse = 'P';
inline constexpr char password = 'p';  // and everything of SASL
inline constexpr char query = 'Q';
inline constexpr char sync = 'S';
inline constexpr char terminate = 'X';
}  // namespace request

struct ParseRequest {
  std::string_view statement;  // empty: the unnamed one
  std::string_view text;
  std::vector<std::uint32_t> types;  // of the first parameters; 0: the server infers it
};

// The names at the front of a Bind, for whoever passes the rest on as it is. Of a Bind that comes
// in parts the first is enough, where it holds both names.
struct BindNames {
  std::string_view portal;
  std::string_view statement;
  std::string_view rest;  // formats and values, not looked at
};

struct BindRequest {
  std::string_view portal;
  std::string_view statement;
  std::vector<std::int16_t> parameter_formats;  // none: all text; one: for all; else one each
  std::vector<std::optional<std::string_view>> values;  // nullopt: NULL
  std::vector<std::int16_t> result_formats;
};

// Describe and Close: what is named, 'S' a statement or 'P' a portal.
struct NamedRequest {
  char what = 'S';
  std::string_view name;
};

struct ExecuteRequest {
  std::string_view portal;
  std::int32_t rows_max = 0;  // 0 and below: all
};

bool decode_parse(std::string_view body, ParseRequest& parse);
bool decode_bind_names(std::string_view body, BindNames& names);
// False too for a number of parameter formats that is neither none, one nor one each. Whether a
// format is 0 or 1 is the caller's to check.
bool decode_bind(std::string_view body, BindRequest& bind);
bool decode_named(std::string_view body, NamedRequest& named);
bool decode_execute(std::string_view body, ExecuteRequest& execute);
// Query and CopyFail: one text.
bool decode_text(std::string_view body, std::string_view& text);

}  // namespace based::postgres
