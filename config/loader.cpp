#include "config/loader.h"

#include <filesystem>
#include <system_error>

#include "config/closest.h"
#include "config/database_url.h"
#include "config/file_text.h"
#include "config/rules.h"
#include "config/schema.h"
#include "config/secrets.h"
#include "config/setting_reader.h"
#include "config/toml_file.h"
#include "config/users.h"

namespace based {
namespace {

constexpr std::size_t config_bytes_max = std::size_t{1} << 20;
constexpr std::size_t password_bytes_max = 4096;
constexpr std::size_t databases_max = 1000;
constexpr std::string_view on_command_line = "command line";

class Loader {
 public:
  Loader(const CommandLine& line, const Environment& environment)
      : line_(line), environment_(environment) {
    expand_ = [this](std::string_view text) {
      return expand(text, settings_.server.environment, environment_);
    };
  }

  LoadedSettings load() {
    for (const std::string& url : line_.urls) add_from_command_line(url);
    if (line_.config_file) load_file(*line_.config_file);
    if (line_.urls.empty() && !line_.config_file) add_embedded();
    // After a file that cannot be read nothing is known about its databases.
    if (settings_.databases.empty() && problems_.empty())
      problem(*line_.config_file, "no database is configured: [databases.NAME] with a url");
    apply_command_line();
    if (settings_.databases.size() > databases_max)
      problem("", "more than " + std::to_string(databases_max) + " databases");
    for (ConfigProblem& found : check_rules(settings_, written_))
      problems_.push_back(std::move(found));
    settle_auth();
    return {std::move(settings_), std::move(problems_)};
  }

 private:
  void problem(std::string place, std::string message) {
    problems_.push_back({std::move(place), std::move(message)});
  }

  // What "auto" means here.
  void settle_auth() {
    ServerSettings& server = settings_.server;
    if (server.auth == AuthSetting::automatic)
      server.auth = settings_.users.empty() ? AuthSetting::trust : AuthSetting::scram;
    if (server.unix_auth == UnixAuthSetting::automatic) {
      server.unix_auth =
          server.auth == AuthSetting::trust ? UnixAuthSetting::trust : UnixAuthSetting::scram;
    }
  }

  void add_embedded() {
    DatabaseSettings database;
    database.name = "main";
    database.kind = DatabaseKind::sqlite;
    database.embedded = true;
    database.place = "embedded default";
    database.path = embedded_folder() + "based.db";
    database.shown = "sqlite:///" + database.path;
    settings_.databases.push_back(std::move(database));
  }

  // $STATE_DIRECTORY is systemd's, and may list several. XDG_STATE_HOME counts only if absolute.
  std::string embedded_folder() const {
    if (const auto state = environment_("STATE_DIRECTORY"); state && !state->empty())
      return state->substr(0, state->find(':')) + "/";
    if (const auto home = environment_("XDG_STATE_HOME"); home && home->starts_with('/'))
      return *home + "/based/";
    return "./";
  }

  void add_from_command_line(const std::string& text) {
    auto url = parse_database_url(text);
    const std::string place = mask_secrets(text);
    if (!url) return problem(place, url.error().message);
    DatabaseSettings database;
    database.place = on_command_line;
    database.name = url->name;
    if (auto valid = check_database_name(database.name); !valid) {
      return problem(place,
                     valid.error().message + "; a name is given in a file: [databases.NAME]");
    }
    take_url(database, *url);
    if (database.kind == DatabaseKind::postgresql && !url->has_password)
      database.password = environment_("BASED_PASSWORD").value_or("");
    settings_.databases.push_back(std::move(database));
  }

  static void take_url(DatabaseSettings& database, const DatabaseUrl& url) {
    database.kind = url.kind;
    database.path = url.path;
    database.conninfo = url.conninfo;
    database.shown = url.shown;
    database.read_only = database.read_only || url.read_only;
  }

  void load_file(const std::string& path) {
    auto text = read_file(path, config_bytes_max);
    if (!text) return problem(path, text.error().message);
    TomlFile file = parse_toml(*text, path);
    if (!file.problems.empty()) {
      problems_.push_back(std::move(file.problems.front()));
      return;
    }
    const std::size_t slash = path.rfind('/');
    folder_ = slash == std::string::npos ? std::string{} : path.substr(0, slash + 1);
    settings_.from_file = true;
    const TomlNode* server = file.root.find("server");
    if (server != nullptr) load_server(*server);
    for (const TomlNode& entry : file.root.children) {
      if (entry.key == "databases") {
        load_databases(entry);
      } else if (entry.key == "users") {
        load_users(entry);
      } else if (entry.key != "server") {
        problem(entry.key_place, "unknown key '" + entry.key + "': a file has [server], [users] " +
                                     "and [databases.NAME]" +
                                     did_you_mean(entry.key, {"server", "users", "databases"}));
      }
    }
  }

  bool is_table(const TomlNode& node) {
    if (node.kind == TomlNode::Kind::table) return true;
    problem(node.key_place,
            "'" + node.key + "' is a table, not " + std::string(kind_name(node.kind)));
    return false;
  }

  static const SettingRow* find_row(std::span<const SettingRow> rows, std::string_view key) {
    for (const SettingRow& row : rows) {
      if (row.key == key) return &row;
    }
    return nullptr;
  }

  void unknown_key(const TomlNode& entry, std::span<const SettingRow> rows,
                   const std::string& table) {
    std::vector<std::string_view> known;
    for (const SettingRow& row : rows) known.push_back(row.key);
    problem(entry.key_place,
            "unknown key '" + entry.key + "' in " + table + did_you_mean(entry.key, known));
  }

  void load_server_entry(const TomlNode& entry) {
    const SettingRow* row = find_row(server_rows(), entry.key);
    if (row == nullptr) return unknown_key(entry, server_rows(), "[server]");
    written_.note("", entry.key, entry.place);
    // The list of variables is what expansion goes by, so it is not expanded itself.
    const Expand as_it_is = [](std::string_view text) -> Result<std::string> {
      return std::string(text);
    };
    const bool is_list_of_variables = entry.key == "environment";
    const auto value =
        read_setting(*row, entry, is_list_of_variables ? as_it_is : expand_, problems_);
    if (value) row->assign_server(settings_.server, *value);
  }

  void load_server(const TomlNode& server) {
    if (!is_table(server)) return;
    if (const TomlNode* listed = server.find("environment")) load_server_entry(*listed);
    for (const TomlNode& entry : server.children) {
      if (entry.key != "environment") load_server_entry(entry);
    }
  }

  void load_users(const TomlNode& users) {
    written_.note("", "users", users.key_place);
    if (is_table(users)) settings_.users = read_users(users, expand_, written_, problems_);
  }

  void load_databases(const TomlNode& databases) {
    if (!is_table(databases)) return;
    for (const TomlNode& entry : databases.children) {
      if (!is_table(entry)) continue;
      const bool catches_all = entry.key == catch_all_name;
      if (auto valid = check_database_name(entry.key); !valid && !catches_all)
        problem(entry.key_place, valid.error().message);
      load_database(entry);
    }
  }

  void load_database(const TomlNode& table) {
    DatabaseSettings database;
    database.name = table.key;
    database.place = table.key_place;
    DatabaseUrl url;
    const bool known = read_url(table, url);
    if (known) take_url(database, url);
    const std::string shown_table = "[databases." + table.key + "]";
    for (const TomlNode& entry : table.children) {
      const SettingRow* row = find_row(database_rows(), entry.key);
      if (row == nullptr) {
        unknown_key(entry, database_rows(), shown_table);
        continue;
      }
      written_.note(table.key, entry.key, entry.place);
      if (entry.key == "url") continue;
      if (known && !applies(*row, database.kind)) {
        const bool sqlite = database.kind == DatabaseKind::sqlite;
        problem(entry.key_place, entry.key + " is for " + (sqlite ? "postgresql" : "sqlite") +
                                     " databases, " + shown_table + " is a " +
                                     (sqlite ? "sqlite" : "postgresql") + " one");
        continue;
      }
      const auto value = read_setting(*row, entry, expand_, problems_);
      if (value) row->assign_database(database, *value);
    }
    if (!known) return;
    database.read_only = database.read_only || url.read_only;
    if (database.kind == DatabaseKind::postgresql) settle_password(database, url);
    settings_.databases.push_back(std::move(database));
  }

  // Every table needs a url; without one that can be read, its other keys are still looked at.
  bool read_url(const TomlNode& table, DatabaseUrl& into) {
    const TomlNode* node = table.find("url");
    if (node == nullptr) {
      problem(table.key_place, "[databases." + table.key + "] has no url");
      return false;
    }
    const auto text = read_setting(*find_row(database_rows(), "url"), *node, expand_, problems_);
    if (!text) return false;
    auto url = parse_database_url(std::get<std::string>(*text));
    if (!url) {
      problem(node->place, "url: " + url.error().message);
      return false;
    }
    into = std::move(*url);
    return true;
  }

  // One place for the password, and one for the user.
  void settle_password(DatabaseSettings& database, const DatabaseUrl& url) {
    const std::string* user = written_.find(database.name, "user");
    if (user != nullptr && url.has_user) problem(*user, "user: the url says a user, too");
    if (!database.user.empty() && !url.has_user)
      database.conninfo = with_option(database.conninfo, "user", database.user);
    std::string first = url.has_password ? "the url" : "";
    for (const std::string_view key : {"password", "password_file", "password_credential"}) {
      const std::string* place = written_.find(database.name, key);
      if (place == nullptr) continue;
      if (!first.empty())
        problem(*place, std::string(key) + ": " + first + " says a password, too");
      first = key;
    }
    if (!database.password_file.empty()) {
      const bool absolute = database.password_file.starts_with('/');
      read_password(database, "password_file",
                    absolute ? database.password_file : folder_ + database.password_file);
    }
    if (!database.password_credential.empty()) read_credential(database);
  }

  void read_credential(DatabaseSettings& database) {
    const std::string place = *written_.find(database.name, "password_credential");
    const auto folder = environment_("CREDENTIALS_DIRECTORY");
    if (!folder) {
      return problem(place,
                     "password_credential: $CREDENTIALS_DIRECTORY is not set; the service "
                     "needs LoadCredential=" +
                         database.password_credential + ":/path");
    }
    if (database.password_credential.find('/') != std::string::npos)
      return problem(place, "password_credential: a credential's name holds no '/'");
    read_password(database, "password_credential", *folder + "/" + database.password_credential);
  }

  void read_password(DatabaseSettings& database, std::string_view key, const std::string& path) {
    const std::string place = *written_.find(database.name, key);
    auto text = read_file(path, password_bytes_max);
    if (!text) return problem(place, std::string(key) + ": " + text.error().message);
    std::error_code unknown;
    const auto mode = std::filesystem::status(path, unknown).permissions();
    if (!unknown && (mode & std::filesystem::perms::others_read) != std::filesystem::perms::none)
      settings_.warnings.push_back(place + ": " + std::string(key) +
                                   ": every user of this machine can read '" + path + "'");
    std::string line = text->substr(0, text->find('\n'));
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.find('\0') != std::string::npos)
      return problem(place, std::string(key) + ": the first line of '" + path + "' is no password");
    database.password = std::move(line);
  }

  void apply_command_line() {
    ServerSettings& server = settings_.server;
    if (!line_.listen.empty()) {
      server.listen = line_.listen;
      written_.note("", "listen", "--listen");
    }
    if (line_.log_level) server.log_level = *line_.log_level;
    bool any_postgresql = false;
    for (DatabaseSettings& database : settings_.databases) {
      if (line_.force_rollback || server.force_rollback) force_rollback(database);
      if (database.kind != DatabaseKind::postgresql) continue;
      any_postgresql = true;
      if (!line_.pool_size) continue;
      database.max_size = *line_.pool_size;
      written_.note(database.name, "max_size", "--pool-size");
    }
    if (line_.force_rollback) server.force_rollback = true;
    if (line_.pool_size && !any_postgresql && problems_.empty())
      problem("--pool-size", "no database is a postgresql one");
  }

  // The file's own "false" stays for check_rules to see, unless the command line overrides it.
  void force_rollback(DatabaseSettings& database) const {
    const bool denied = written_.find(database.name, "force_rollback") != nullptr;
    if (line_.force_rollback || !denied) database.force_rollback = true;
  }

  const CommandLine& line_;
  const Environment& environment_;
  Expand expand_;
  std::string folder_;  // of the file, with its slash; empty: the working folder
  Settings settings_;
  Written written_;
  ConfigProblems problems_;
};

}  // namespace

LoadedSettings load_settings(const CommandLine& line, const Environment& environment) {
  return Loader(line, environment).load();
}

}  // namespace based
