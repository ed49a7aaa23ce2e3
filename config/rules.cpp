#include "config/rules.h"

#include <algorithm>

#include "config/closest.h"

namespace based {
namespace {

class Rules {
 public:
  Rules(const Settings& settings, const Written& written)
      : settings_(settings), written_(written) {}

  ConfigProblems check() {
    check_listen();
    check_unix_socket_dir();
    check_auth();
    check_users();
    check_names();
    for (const DatabaseSettings& database : settings_.databases) {
      check_rollback(database);
      if (database.kind == DatabaseKind::postgresql)
        check_postgresql(database);
      else
        check_sqlite(database);
    }
    return std::move(problems_);
  }

 private:
  void problem(const std::string& place, std::string message) {
    problems_.push_back({place, std::move(message)});
  }
  std::string server_place(std::string_view key) const {
    const std::string* place = written_.find("", key);
    return place == nullptr ? std::string("[server]") : *place;
  }
  const std::string* written(const DatabaseSettings& database, std::string_view key) const {
    return written_.find(database.name, key);
  }

  void check_listen() {
    const ServerSettings& server = settings_.server;
    const std::string place = server_place("listen");
    if (server.listen.empty()) problem(place, "listen: without an address nobody can connect");
    for (std::size_t i = 0; i < server.listen.size(); ++i) {
      const ListenAddress& address = server.listen[i];
      for (std::size_t j = 0; j < i; ++j) {
        const bool twice = server.listen[j] == address;
        if (twice && (address.port != 0 || !address.path.empty()))
          problem(place, "listen: " + format_address(address) + " is given twice");
      }
      const bool asks = !settings_.users.empty() && server.auth != AuthSetting::trust;
      if (!server.trust_network && !asks && !is_local(address)) {
        problem(place, "listen: other machines can reach " + format_address(address) +
                           " and clients are not authenticated; give them passwords in [users], "
                           "or, if everybody who can reach it may use every database, say so: "
                           "[server] trust_network = true");
      }
    }
  }

  void check_unix_socket_dir() {
    const ServerSettings& server = settings_.server;
    if (server.unix_socket_dir.empty()) return;
    const std::string place = server_place("unix_socket_dir");
    const std::string prefix = "unix:" + server.unix_socket_dir + "/.s.PGSQL.";
    // Any port has room that way, also one that is not known yet.
    if (const auto longest = parse_address(prefix + "65535"); !longest)
      return problem(place, "unix_socket_dir: " + longest.error().message);
    bool any_port = false;
    for (const ListenAddress& address : server.listen) {
      if (!address.path.empty()) continue;
      any_port = true;
      const auto beside = parse_address(prefix + std::to_string(address.port));
      if (std::ranges::find(server.listen, *beside) != server.listen.end())
        problem(place, "unix_socket_dir: listen has " + format_address(*beside) + ", too");
    }
    if (!any_port)
      problem(place, "unix_socket_dir: its sockets have the ports of listen, which has none");
  }

  void check_auth() {
    const ServerSettings& server = settings_.server;
    const bool by_password =
        server.auth == AuthSetting::scram || server.unix_auth == UnixAuthSetting::scram;
    if (by_password && settings_.users.empty()) {
      problem(server_place(server.auth == AuthSetting::scram ? "auth" : "unix_auth"),
              "auth: scram needs passwords: [users] NAME = \"...\" as based hash-password "
              "prints them");
    }
    const bool said = server.auth != AuthSetting::automatic || server.trust_network;
    const bool local = std::ranges::all_of(server.listen, is_local);
    const bool users_said = written_.find("", "users") != nullptr;
    if (settings_.from_file && !users_said && !said && local) {
      problem(server_place("auth"),
              "auth: clients are not authenticated; give them passwords in [users], or say "
              "[server] auth = \"trust\"");
    }
  }

  void check_users() {
    std::vector<std::string_view> names;
    for (const DatabaseSettings& database : settings_.databases) names.push_back(database.name);
    const bool catches_all = std::ranges::find(names, catch_all_name) != names.end();
    for (const UserSettings& user : settings_.users) {
      for (const std::string& name : user.databases) {
        if (catches_all || std::ranges::find(names, name) != names.end()) continue;
        problem(*written_.find(table_of_user(user.name), "databases"),
                "databases: there is no database '" + name + "'" + did_you_mean(name, names));
      }
    }
  }

  void check_names() {
    const auto& all = settings_.databases;
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (all[j].name != all[i].name) continue;
        problem(all[i].place, "the name '" + all[i].name + "' is taken by " + all[j].shown + " (" +
                                  all[j].place +
                                  "); a name of its own is given in the file: "
                                  "[databases.NAME]");
        break;
      }
    }
  }

  void check_rollback(const DatabaseSettings& database) {
    const std::string* own = written(database, "force_rollback");
    if (own != nullptr && !database.force_rollback && settings_.server.force_rollback &&
        written_.find("", "force_rollback") != nullptr) {
      problem(*own, "force_rollback: [server] forces it for every database (" +
                        server_place("force_rollback") + ")");
    }
  }

  void check_postgresql(const DatabaseSettings& database) {
    if (database.min_size > database.max_size) {
      const std::string* place = written(database, "max_size");
      if (place == nullptr) place = written(database, "min_size");
      problem(place == nullptr ? database.place : *place,
              "max_size " + std::to_string(database.max_size) + " is less than min_size " +
                  std::to_string(database.min_size) + " of database '" + database.name + "'");
    }
  }

  void check_sqlite(const DatabaseSettings& database) {
    if (database.name == catch_all_name)
      problem(database.place, "[databases.\"*\"] needs a postgresql url: a file is one database");
    const std::string* journal = written(database, "journal_mode");
    const bool changes_mode = journal != nullptr &&
                              database.journal_mode != JournalModeSetting::automatic &&
                              database.journal_mode != JournalModeSetting::keep;
    if (changes_mode && written(database, "force_rollback") != nullptr && database.force_rollback)
      problem(*journal,
              "journal_mode: under force_rollback the file is not changed, so neither "
              "is its journal mode");
    if (changes_mode && database.read_only)
      problem(*journal, "journal_mode: a file opened with read_only keeps the mode it has");
    if (changes_mode && database.path.empty())
      problem(*journal, "journal_mode: a database in memory has no journal to choose");
    const std::string* turns = written(database, "turns");
    if (turns != nullptr && database.turns != TurnsSetting::wait && !database.force_rollback)
      problem(*turns, "turns: without force_rollback the database is no sandbox");
    const std::string* read_only = written(database, "read_only");
    if (read_only != nullptr && database.read_only && database.path.empty())
      problem(*read_only, "read_only: a database in memory would stay empty");
  }

  const Settings& settings_;
  const Written& written_;
  ConfigProblems problems_;
};

}  // namespace

ConfigProblems check_rules(const Settings& settings, const Written& written) {
  return Rules(settings, written).check();
}

}  // namespace based
