#include "config/loader.h"
#include "config/schema.h"

namespace based {
namespace {

void print_row(std::string& out, const SettingRow& row, const SettingValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  // An empty text is what an absent key is.
  if (text != nullptr && text->empty()) out += "# ";
  out += row.key;
  out += " = ";
  out += format_value(row, value);
  out += "\n";
}

// A dot in a bare key would nest, and a star is not bare.
std::string table_key(const std::string& name) {
  return name.find_first_of(".*") == std::string::npos ? name : quote_toml(name);
}

}  // namespace

std::string print_settings(const Settings& settings) {
  std::string out = "# The settings in force, defaults included. *** stands for a password.\n";
  out += "[server]\n";
  for (const SettingRow& row : server_rows()) print_row(out, row, row.read_server(settings.server));
  // Comments, as without the verifiers they cannot be read again.
  for (const UserSettings& user : settings.users) {
    out += "\n# [users." + quote_toml(user.name) + "]\n";
    for (const SettingRow& row : user_rows()) {
      out += "# ";
      print_row(out, row, row.read_user(user));
    }
  }
  for (const DatabaseSettings& database : settings.databases) {
    out += "\n[databases." + table_key(database.name) + "]\n";
    const bool elsewhere = !database.password_file.empty() || !database.password_credential.empty();
    for (const SettingRow& row : database_rows()) {
      if (!applies(row, database.kind)) continue;
      const bool hidden = row.secret && elsewhere;  // read from where the next rows say
      print_row(out, row, hidden ? SettingValue{std::string{}} : row.read_database(database));
    }
  }
  return out;
}

}  // namespace based
