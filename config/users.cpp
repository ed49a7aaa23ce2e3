#include "config/users.h"

#include "config/closest.h"
#include "protocol/scram.h"

namespace based {
namespace {

constexpr std::size_t name_bytes_max = 63;  // PostgreSQL's

const SettingRow* find_row(std::string_view key) {
  for (const SettingRow& row : user_rows()) {
    if (row.key == key) return &row;
  }
  return nullptr;
}

class UsersReader {
 public:
  UsersReader(const Expand& expand, Written& written, ConfigProblems& problems)
      : expand_(expand), written_(written), problems_(problems) {}

  std::vector<UserSettings> read(const TomlNode& users) {
    std::vector<UserSettings> all;
    for (const TomlNode& entry : users.children) {
      UserSettings user;
      user.name = entry.key;
      user.place = entry.key_place;
      const std::size_t before = problems_.size();
      read_entry(entry, user);
      if (problems_.size() == before) all.push_back(std::move(user));
    }
    return all;
  }

 private:
  void problem(const std::string& place, std::string message) {
    problems_.push_back({place, std::move(message)});
  }

  void read_entry(const TomlNode& entry, UserSettings& user) {
    if (entry.key.empty() || entry.key.size() > name_bytes_max)
      problem(entry.key_place, "a user's name has 1 to 63 bytes");
    if (entry.kind == TomlNode::Kind::table) return read_table(entry, user);
    if (entry.kind != TomlNode::Kind::text) {
      return problem(entry.place, "user '" + entry.key +
                                      "': a verifier is a text; other settings are in a table, "
                                      "[users.NAME]");
    }
    const auto text = expand_(entry.text);
    if (!text) return problem(entry.place, text.error().message);
    user.verifier = *text;
    check_verifier(entry.place, user);
  }

  void read_table(const TomlNode& table, UserSettings& user) {
    for (const TomlNode& entry : table.children) {
      const SettingRow* row = find_row(entry.key);
      if (row == nullptr) {
        unknown_key(table, entry);
        continue;
      }
      written_.note(table_of_user(user.name), entry.key, entry.place);
      const auto value = read_setting(*row, entry, expand_, problems_);
      if (value) row->assign_user(user, *value);
      if (value && entry.key == "password") check_verifier(entry.place, user);
      if (value && entry.key == "databases" && user.databases.empty()) {
        problem(entry.place,
                "databases: without one the user could do nothing; without the key "
                "it may use every one");
      }
    }
    if (table.find("password") == nullptr)
      problem(table.key_place, "[users." + table.key + "] has no password");
  }

  void unknown_key(const TomlNode& table, const TomlNode& entry) {
    std::vector<std::string_view> known;
    for (const SettingRow& row : user_rows()) known.push_back(row.key);
    problem(entry.key_place, "unknown key '" + entry.key + "' in [users." + table.key + "]" +
                                 did_you_mean(entry.key, known));
  }

  void check_verifier(const std::string& place, const UserSettings& user) {
    if (parse_scram_verifier(user.verifier)) return;
    problem(place, "user '" + user.name +
                       "': this is no SCRAM-SHA-256 verifier; based hash-password makes one of a "
                       "password");
  }

  const Expand& expand_;
  Written& written_;
  ConfigProblems& problems_;
};

}  // namespace

std::vector<UserSettings> read_users(const TomlNode& users, const Expand& expand, Written& written,
                                     ConfigProblems& problems) {
  return UsersReader(expand, written, problems).read(users);
}

}  // namespace based
