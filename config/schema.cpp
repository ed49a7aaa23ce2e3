#include "config/schema.h"

#include <fmt/format.h>

namespace based {

std::vector<std::string_view> choice_list(const SettingRow& row) {
  std::vector<std::string_view> list;
  std::string_view rest = row.choices;
  while (!rest.empty()) {
    const std::string_view choice = rest.substr(0, rest.find(", "));
    list.push_back(choice);
    rest.remove_prefix(choice.size() == rest.size() ? choice.size() : choice.size() + 2);
  }
  return list;
}

std::string quote_toml(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        quoted += "\\\"";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\t':
        quoted += "\\t";
        break;
      case '\r':
        quoted += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
          quoted += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
        else
          quoted += c;
    }
  }
  return quoted + "\"";
}

std::string format_value(const SettingRow& row, const SettingValue& value) {
  switch (row.type) {
    case SettingType::boolean:
      return std::get<bool>(value) ? "true" : "false";
    case SettingType::text: {
      const auto& text = std::get<std::string>(value);
      return quote_toml(row.secret && !text.empty() ? "***" : text);
    }
    case SettingType::count:
      return std::to_string(std::get<std::int64_t>(value));
    case SettingType::duration:
      return quote_toml(format_duration(Milliseconds{std::get<std::int64_t>(value)}));
    case SettingType::size:
      return quote_toml(format_size({static_cast<std::uint64_t>(std::get<std::int64_t>(value))}));
    case SettingType::mode:
      return quote_toml(fmt::format("{:04o}", std::get<std::int64_t>(value)));
    case SettingType::choice:
      return quote_toml(choice_list(row)[static_cast<std::size_t>(std::get<std::int64_t>(value))]);
    case SettingType::texts:
    case SettingType::addresses:
      break;
  }
  std::string list = "[";
  for (const std::string& text : std::get<std::vector<std::string>>(value)) {
    if (list.size() > 1) list += ", ";
    list += quote_toml(text);
  }
  return list + "]";
}

}  // namespace based
