#include "config/expansion.h"

#include <algorithm>

namespace based {
namespace {

Error bad(std::string message) {
  return Error::make(sqlstate::invalid_parameter_value, std::move(message));
}

bool is_variable_name(std::string_view name) {
  if (name.empty() || name.size() > 256 || (name.front() >= '0' && name.front() <= '9'))
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

Result<std::string> expand(std::string_view text, const std::vector<std::string>& listed,
                           const Environment& environment) {
  std::string expanded;
  while (true) {
    const std::size_t open = text.find("${");
    if (open == std::string_view::npos) return expanded + std::string(text);
    if (open > 0 && text[open - 1] == '$') {
      expanded += text.substr(0, open - 1);
      expanded += "${";
      text.remove_prefix(open + 2);
      continue;
    }
    expanded += text.substr(0, open);
    text.remove_prefix(open + 2);
    const std::size_t close = text.find('}');
    const std::string name(text.substr(0, close));
    if (close == std::string_view::npos || !is_variable_name(name))
      return bad(
          "'${' is not followed by a variable's name and '}'; a plain '${' is written '$${'");
    text.remove_prefix(close + 1);
    if (std::find(listed.begin(), listed.end(), name) == listed.end()) {
      return bad("${" + name + "} is not expanded unless [server] lists it: environment = [\"" +
                 name + "\"]; a plain '${' is written '$${'");
    }
    const auto value = environment(name);
    if (!value) return bad("the environment variable " + name + " is not set");
    expanded += *value;
  }
}

}  // namespace based
