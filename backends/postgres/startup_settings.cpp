#include "backends/postgres/startup_settings.h"

#include <algorithm>
#include <array>

#include "backends/sql/words.h"

namespace based::postgres {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Settings whose value is a list of names, which SET takes one by one.
bool is_list(std::string_view name) {
  static constexpr std::array<std::string_view, 4> names{
      "search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"};
  return std::ranges::find(names, name) != names.end();
}

std::string take_quoted(std::string_view text, std::size_t& at) {
  std::string name;
  for (++at; at < text.size(); ++at) {
    if (text[at] == '"' && (at + 1 == text.size() || text[++at] != '"')) break;
    name += text[at];
  }
  return name;
}

// As PostgreSQL's SplitIdentifierString reads it.
std::string quote_list(std::string_view text) {
  std::string list;
  std::size_t at = 0;
  const auto skip_space = [&] {
    while (at < text.size() && is_space(text[at])) ++at;
  };
  for (skip_space(); at < text.size(); skip_space()) {
    std::string name;
    if (text[at] == '"') {
      name = take_quoted(text, at);
    } else {
      const std::size_t begin = at;
      while (at < text.size() && text[at] != ',' && !is_space(text[at])) ++at;
      name = sql::lower_ascii(text.substr(begin, at - begin));
    }
    list += (list.empty() ? "" : ", ") + quote_name(name);
    skip_space();
    if (at < text.size() && text[at] == ',') ++at;
  }
  return list.empty() ? "''" : list;
}

}  // namespace

std::string quote_name(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) quoted.append(c == '"' ? 2 : 1, c);
  return quoted += '"';
}

std::string quote_literal(std::string_view text) {
  const bool escapes = text.find('\\') != std::string_view::npos;
  std::string literal = escapes ? "E'" : "'";
  for (const char c : text) literal.append(c == '\'' || c == '\\' ? 2 : 1, c);
  return literal += '\'';
}

Settings startup_settings(std::span<const std::pair<std::string, std::string>> given) {
  Settings settings;
  for (const auto& [name, value] : given) {
    settings[name] = is_list(name) ? quote_list(value) : quote_literal(value);
  }
  return settings;
}

}  // namespace based::postgres
