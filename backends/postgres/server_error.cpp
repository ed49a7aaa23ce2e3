#include "backends/postgres/server_error.h"

#include <charconv>
#include <string>

namespace based::postgres {
namespace {

bool is_code_character(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); }

// Where "FATAL:  28P01: " has its five characters; npos: nowhere. The last one counts: libpq lists
// every host that it tried.
std::size_t find_sqlstate(std::string_view text) {
  for (std::size_t at = text.rfind(":  "); at != std::string_view::npos && at > 0;
       at = text.rfind(":  ", at - 1)) {
    const std::string_view rest = text.substr(at + 3);
    if (rest.size() < 7 || rest[5] != ':' || rest[6] != ' ') continue;
    bool all = true;
    for (std::size_t i = 0; i < 5; ++i) all = all && is_code_character(rest[i]);
    if (all) return at + 3;
  }
  return std::string_view::npos;
}

std::string one_line(std::string_view text) {
  std::string line;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view part = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (!part.empty() && (part.front() == ' ' || part.front() == '\t')) part.remove_prefix(1);
    if (part.empty() || part.starts_with("LOCATION:")) continue;
    if (!line.empty()) line += " / ";
    line += part;
  }
  return line;
}

}  // namespace

std::optional<std::uint32_t> byte_position(std::string_view digits, std::string_view text) {
  std::uint32_t characters = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), characters);
  if (parsed.ec != std::errc() || characters == 0) return std::nullopt;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
    if (begins && --characters == 0) return static_cast<std::uint32_t>(at);
  }
  // "syntax error at end of input" points behind the last character.
  if (characters == 1 && !text.empty()) return static_cast<std::uint32_t>(text.size());
  return std::nullopt;
}

Error server_error(const ErrorFields& fields, std::string_view text) {
  Error error = Error::make(Sqlstate::from_peer(fields.sqlstate), std::string(fields.message));
  error.detail = fields.detail;
  error.hint = fields.hint;
  error.constraint = fields.constraint;
  error.schema = fields.schema;
  error.table = fields.table;
  error.column = fields.column;
  error.position = byte_position(fields.position, text);
  const auto append = [&error](std::string_view label, std::string_view value) {
    if (value.empty()) return;
    if (!error.detail.empty()) error.detail += '\n';
    error.detail.append(label).append(value);
  };
  append("QUERY: ", fields.internal_query);
  append("CONTEXT: ", fields.where);
  append("TYPE: ", fields.type);
  return error;
}

// Behind a SQLSTATE is the server's own error, without libpq's words of where the server is.
Error connect_error(std::string_view libpq_message) {
  const std::size_t code = find_sqlstate(libpq_message);
  if (code == std::string_view::npos) {
    Error error = Error::make(sqlstate::cannot_connect, one_line(libpq_message));
    if (error.message.empty()) error.message = "the connection could not be opened";
    return error;
  }
  Error error = Error::make(Sqlstate::from_peer(libpq_message.substr(code, 5)), "");
  std::string* said = &error.message;
  for (std::string_view rest = libpq_message.substr(code + 7); !rest.empty();) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.starts_with("LOCATION:")) break;
    for (const auto& [label, field] : {std::pair{std::string_view("DETAIL:  "), &error.detail},
                                       std::pair{std::string_view("HINT:  "), &error.hint}}) {
      if (!line.starts_with(label)) continue;
      line.remove_prefix(label.size());
      said = field;
    }
    if (!said->empty()) *said += " / ";
    *said += line;
  }
  return error;
}

bool is_permanent(const Error& connect_error) {
  return connect_error.sqlstate.klass() == "28" || connect_error.sqlstate.klass() == "42" ||
         connect_error.sqlstate == sqlstate::invalid_catalog_name ||
         connect_error.sqlstate == sqlstate::invalid_parameter_value;
}

Error away_error(const Error& connect_error, const std::string& name) {
  Error error = connect_error;
  error.executed = Executed::no;
  if (is_permanent(error)) return error;
  if (error.sqlstate.klass() != "53" && error.sqlstate.klass() != "57") {
    error.sqlstate = sqlstate::cannot_connect;
  }
  error.message = "no connection to the server of " + name + ": " + error.message;
  error.retryable = true;
  return error;
}

}  // namespace based::postgres
