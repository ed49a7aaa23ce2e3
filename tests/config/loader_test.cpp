#include "config/loader.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "config/schema.h"

using namespace based;

namespace {

// A folder with a configuration file and what belongs to it, and an environment.
class Loading {
 public:
  Loading() {
    char name[] = "/tmp/based-config-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    folder_ = name;
  }
  ~Loading() { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  // Behind the text a user is added, unless the text says itself who may come.
  LoadedSettings file(const std::string& text, std::vector<const char*> arguments = {}) {
    const bool says = text.find("[users]\n") != std::string::npos ||
                      text.find("auth = \"trust\"") != std::string::npos || says_nothing_of_users;
    write("based.toml", says ? text : text + "\n[users]\nsomebody = \"" + verifier + "\"\n");
    const std::string path = folder_ + "/based.toml";
    arguments.insert(arguments.begin(), {"--config", path.c_str()});
    return load(arguments);
  }
  LoadedSettings load(const std::vector<const char*>& arguments) {
    const auto parsed = parse_command_line(arguments);
    REQUIRE(parsed.problems.empty());
    return load_settings(parsed.line, [this](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
    });
  }
  // "3:7: message" of each problem, without the file's name.
  std::vector<std::string> complaints(const std::string& text,
                                      std::vector<const char*> arguments = {}) {
    std::vector<std::string> lines;
    for (const ConfigProblem& problem : file(text, std::move(arguments)).problems) {
      std::string line = format_problem(problem);
      const std::string prefix = folder_ + "/based.toml:";
      for (std::size_t at; (at = line.find(prefix)) != std::string::npos;)
        line.erase(at, prefix.size());
      lines.push_back(std::move(line));
    }
    return lines;
  }
  std::string complaint(const std::string& text, std::vector<const char*> arguments = {}) {
    const auto lines = complaints(text, std::move(arguments));
    for (const auto& line : lines) CAPTURE(line);
    REQUIRE(lines.size() == 1);
    return lines.front();
  }

  std::string folder_;
  std::map<std::string, std::string> variables;
  bool says_nothing_of_users = false;
  const std::string verifier =
      "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
      "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
};

Settings good(LoadedSettings loaded) {
  for (const ConfigProblem& problem : loaded.problems) FAIL_CHECK(format_problem(problem));
  REQUIRE(loaded.problems.empty());
  return std::move(loaded.settings);
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::string app = "[databases.app]\nurl = \"sqlite:///app.db\"\n";
const std::string pg = "[databases.app]\nurl = \"postgresql://h/app\"\n";

}  // namespace

TEST_CASE_FIXTURE(Loading, "without a URL or a file there is one database of the daemon's own") {
  variables = {{"STATE_DIRECTORY", "/var/lib/based:/var/lib/other"}, {"XDG_STATE_HOME", "/xdg"}};
  auto settings = good(load({}));
  REQUIRE(settings.databases.size() == 1);
  CHECK(settings.databases[0].name == "main");
  CHECK(settings.databases[0].embedded);
  CHECK(settings.databases[0].path == "/var/lib/based/based.db");
  CHECK(settings.databases[0].shown == "sqlite:////var/lib/based/based.db");
  variables.erase("STATE_DIRECTORY");
  CHECK(good(load({})).databases[0].path == "/xdg/based/based.db");
  variables["XDG_STATE_HOME"] = "relative";
  CHECK(good(load({})).databases[0].path == "./based.db");
}

TEST_CASE_FIXTURE(Loading, "a file without databases is an error, not the embedded default") {
  CHECK(holds(complaint("[server]\nmax_clients = 5\n"), "no database is configured"));
  CHECK(holds(complaint(""), "no database is configured"));
}

TEST_CASE_FIXTURE(Loading, "databases of the command line come first, the file's in its order") {
  const auto settings =
      good(file("[databases.zoo]\nurl = \"sqlite:///z\"\n"
                "[databases.ape]\nurl = \"sqlite:///a\"\n",
                {"sqlite:///cli.db"}));
  REQUIRE(settings.databases.size() == 3);
  CHECK(settings.databases[0].name == "cli");
  CHECK(settings.databases[1].name == "zoo");
  CHECK(settings.databases[2].name == "ape");
}

TEST_CASE_FIXTURE(Loading, "two databases of one name are an error that names both") {
  const auto loaded = load({"sqlite:///a/app.db", "postgresql://h/app"});
  REQUIRE(loaded.problems.size() == 1);
  CHECK(holds(format_problem(loaded.problems[0]), "'app' is taken by sqlite:///a/app.db"));
  CHECK(holds(complaint(app, {"sqlite:///x/app.db"}), "1:12: the name 'app' is taken"));
}

TEST_CASE_FIXTURE(Loading, "a URL whose path is no name is told how to get one") {
  const auto loaded = load({"postgresql://h/my%20app"});
  REQUIRE(loaded.problems.size() == 1);
  CHECK(holds(format_problem(loaded.problems[0]), "[databases.NAME]"));
}

TEST_CASE_FIXTURE(Loading, "every key of the schema can be written as its default is printed") {
  for (const std::string& start : {app, pg}) {
    const Settings first = good(file(start));
    const std::string printed = print_settings(first);
    const Settings second = good(file(printed));
    CHECK(print_settings(second) == printed);
    // An empty text is shown as an absent key.
    const auto shown_in = [](const std::string& part, std::string_view key) {
      return holds(part, "\n" + std::string(key) + " = ") ||
             holds(part, "\n# " + std::string(key) + " = ");
    };
    const std::string database = printed.substr(printed.find("\n[databases."));
    for (const SettingRow& row : server_rows())
      CHECK_MESSAGE(shown_in(printed, row.key), std::string(row.key));
    for (const SettingRow& row : database_rows()) {
      CHECK_MESSAGE(shown_in(database, row.key) == applies(row, first.databases[0].kind),
                    std::string(row.key));
    }
  }
}

TEST_CASE_FIXTURE(Loading, "values reach their settings") {
  const auto settings = good(
      file("[server]\nlisten = [\"[::1]:1\", \"unix:/x\"]\nunix_socket_mode = \"0660\"\n"
           "max_clients = 7\nshutdown_timeout = \"1min\"\nmax_frame = \"1MiB\"\n"
           "max_query = \"2MiB\"\nlog_level = \"warning\"\n"
           "[databases.\"a.b\"]\nurl = \"postgresql+x://u@h/app\"\nmin_size = 2\nmax_size = 3\n"
           "init_sql = [\"SET a = 1\", \"SET b = 2\"]\ntimeout = \"250ms\"\npassword = \"hush\"\n"
           "[databases.lite]\nurl = \"sqlite:///l.db?mode=ro\"\nsynchronous = \"off\"\n"
           "journal_mode = \"keep\"\nstatement_timeout = 0\n"));
  CHECK(settings.server.listen == std::vector<ListenAddress>{{"::1", 1, ""}, {"", 0, "/x"}});
  CHECK(settings.server.unix_socket_mode == FileMode{0660});
  CHECK(settings.server.max_clients == 7);
  CHECK(settings.server.shutdown_timeout == std::chrono::minutes(1));
  CHECK(settings.server.max_frame == 1_MiB);
  CHECK(settings.server.max_query == 2_MiB);
  CHECK(settings.server.log_level == LogLevelSetting::warning);
  REQUIRE(settings.databases.size() == 2);
  const DatabaseSettings& a = settings.databases[0];
  CHECK(a.name == "a.b");
  CHECK(a.conninfo == "postgresql://u@h/app");
  CHECK(a.min_size == 2);
  CHECK(a.max_size == 3);
  CHECK(a.init_sql == std::vector<std::string>{"SET a = 1", "SET b = 2"});
  CHECK(a.timeout == std::chrono::milliseconds(250));
  CHECK(a.password == "hush");
  CHECK(settings.databases[1].read_only);
  CHECK(settings.databases[1].synchronous == SynchronousSetting::off);
  CHECK(settings.databases[1].journal_mode == JournalModeSetting::keep);
}

TEST_CASE_FIXTURE(Loading, "how clients of PostgreSQL's protocol listen is the database's to say") {
  const Settings settings =
      good(file("[databases.a]\nurl = 'postgresql://h/a'\n"
                "[databases.b]\nurl = 'postgresql://h/b'\nlisten = 'pin'\n"
                "notification_queue = '64KiB'\n"));
  CHECK(settings.databases[0].listen == ListenModeSetting::shared);
  CHECK(settings.databases[1].listen == ListenModeSetting::pin);
  CHECK(settings.databases[1].notification_queue == 64_KiB);
  CHECK(complaint("[databases.a]\nurl = 'postgresql://h/a'\nlisten = 'all'\n") != "");
}

TEST_CASE_FIXTURE(Loading, "everything that is wrong is reported at once, with line and column") {
  const auto lines = complaints(
      "[server]\n"
      "max_client = 5\n"
      "max_frame = 16\n"
      "log_level = \"loud\"\n"
      "trust_network = \"yes\"\n"
      "[databases.app]\n"
      "url = \"postgresql://h/app\"\n"
      "timeout = \"30\"\n"
      "min_size = -1\n"
      "journal_mode = \"wal\"\n"
      "init_sql = [\"ok\", 5]\n"
      "[database.b]\n"
      "url = \"sqlite:///b\"\n");
  REQUIRE(lines.size() == 9);
  CHECK(lines[0] == "2:1: unknown key 'max_client' in [server]; did you mean max_clients?");
  CHECK(lines[1] ==
        "3:13: max_frame: a size with a unit, such as \"16MiB\", is expected, this is a whole "
        "number");
  CHECK(lines[2] == "4:13: log_level: 'loud' is not one of debug, info, warning, error");
  CHECK(lines[3] == "5:17: trust_network: true or false is expected, this is a text");
  CHECK(lines[4] == "8:11: timeout: a unit is missing: one of ms, s, min, h, d");
  CHECK(lines[5] == "9:12: min_size: must be from 0 to 10000");
  CHECK(lines[6] ==
        "10:1: journal_mode is for sqlite databases, [databases.app] is a postgresql one");
  CHECK(lines[7] == "11:19: init_sql: a list of texts is expected, this element is a whole number");
  CHECK(holds(lines[8], "12:2: unknown key 'database'"));
}

TEST_CASE_FIXTURE(Loading, "wrong types and ranges of each kind are reported") {
  const auto server = [&](const std::string& line) {
    return complaint("[server]\n" + line + "\n" + app);
  };
  CHECK(holds(server("listen = \":1\""), "a list of texts is expected"));
  CHECK(holds(server("listen = [\"6432\"]"), "2:11: listen: an address is"));
  CHECK(holds(server("listen = []"), "nobody can connect"));
  CHECK(holds(server("max_clients = 0"), "from 1 to 1000000"));
  CHECK(holds(server("max_clients = 1.5"), "this is a fraction"));
  CHECK(holds(server("max_clients = 1979-05-27"), "this is a date or time"));
  CHECK(holds(server("handshake_timeout = 0"), "from 100ms to 1h"));
  CHECK(holds(server("handshake_timeout = \"2h\""), "from 100ms to 1h"));
  CHECK(holds(server("max_frame = \"1KiB\""), "from 64KiB to 1GiB"));
  CHECK(holds(server("max_frame = \"1parsec\""), "unknown unit 'parsec'"));
  CHECK(holds(server("max_query = \"1GiB\""), "from 64KiB to 1073741823B"));
  CHECK(holds(server("max_query = 0"), "from 64KiB"));
  CHECK(holds(server("unix_socket_mode = \"0799\""), "octal"));
  CHECK(holds(server("unix_socket_mode = \"1777\""), "octal"));
  CHECK(holds(server("unix_socket_mode = 700"), "octal"));
  CHECK(holds(server("idle_timeout = 5"), "a duration with a unit"));
  CHECK(holds(server("trust_network = 1"), "true or false"));
}

TEST_CASE_FIXTURE(Loading, "a file that is no TOML is one problem with its place") {
  CHECK(holds(complaint("[server\n"), "1:8: "));
  CHECK(holds(complaint(app + app), "3:"));
  CHECK(holds(complaint("[server]\nmax_clients = 1\nmax_clients = 2\n"), "3:"));
  CHECK(holds(complaint("a = \"\xff\"\n"), "1:5: "));
}

TEST_CASE_FIXTURE(Loading, "a file that cannot be read is a problem") {
  auto loaded = load({"--config", "/nowhere/based.toml"});
  REQUIRE(loaded.problems.size() == 1);
  CHECK(holds(format_problem(loaded.problems[0]), "No such file"));
  loaded = load({"--config", folder_.c_str()});
  REQUIRE(loaded.problems.size() == 1);
  CHECK(holds(format_problem(loaded.problems[0]), "cannot read"));
  CHECK(holds(complaint(std::string(2 << 20, '#')), "more than 1048576 bytes"));
}

TEST_CASE_FIXTURE(Loading, "tables that are none, names that are none, urls that are missing") {
  CHECK(holds(complaint("server = 5\n" + app), "1:1: 'server' is a table, not a whole number"));
  CHECK(holds(complaint("databases = \"x\"\n"), "'databases' is a table, not a text"));
  CHECK(holds(complaint("[databases]\napp = \"sqlite:///x\"\n"), "2:1: 'app' is a table"));
  CHECK(holds(complaint("[[databases]]\nurl = \"sqlite:///x\"\n"), "is a table, not a list"));
  CHECK(holds(complaint("[databases.app]\n"), "1:12: [databases.app] has no url"));
  CHECK(holds(complaint("[databases.\"a#b\"]\nurl = \"sqlite:///x\"\n"),
              "1:12: 'a#b' cannot be a database's name"));
  CHECK(holds(complaint("[databases.app]\nurl = \"mysql://h\"\n"), "2:7: url: unknown scheme"));
  CHECK(holds(complaint("[databases.app]\nurl = 5\n"), "2:7: url: a text is expected"));
}

TEST_CASE_FIXTURE(Loading, "an environment variable is expanded only where the file lists it") {
  variables = {{"PW", "hu${sh"}, {"DIR", "data"}};
  CHECK(holds(complaint("[databases.app]\nurl = \"sqlite:///${DIR}/x\"\n"),
              "2:7: url: ${DIR} is not expanded unless [server] lists it"));
  const std::string listed = "[server]\nenvironment = [\"PW\", \"DIR\", \"UNSET\"]\n";
  const auto settings = good(file(listed + "[databases.app]\nurl = \"sqlite:///${DIR}/x\"\n" +
                                  "[databases.pg]\nurl = \"postgresql://h/x\"\n" +
                                  "password = \"${PW}$\"\napplication_name = \"$${PW}\"\n"));
  CHECK(settings.databases[0].path == "data/x");
  CHECK(settings.databases[1].password == "hu${sh$");
  CHECK(settings.databases[1].application_name == "${PW}");
  CHECK(holds(complaint(listed + "[databases.app]\nurl = \"sqlite:///${UNSET}\"\n"),
              "UNSET is not set"));
  const auto unfinished = complaint(listed + pg + "password = \"hu${sh\"\n");
  CHECK(holds(unfinished, "5:12: password: '${' is not followed"));
  CHECK_FALSE(holds(unfinished, "hu$"));
}

TEST_CASE_FIXTURE(Loading, "a listener that others can reach needs trust_network") {
  says_nothing_of_users = true;
  const std::string open = "[server]\nlisten = [\"0.0.0.0:6432\"]\n";
  CHECK(holds(complaint(open + app), "2:10: listen: other machines can reach 0.0.0.0:6432"));
  CHECK(good(file("[server]\ntrust_network = true\nlisten = [\"0.0.0.0:6432\"]\n" + app))
            .server.listen[0]
            .host == "0.0.0.0");
  CHECK(
      holds(complaint(app, {"--listen", "db.example.org:1"}), "--listen: listen: other machines"));
  CHECK(good(file("[server]\ntrust_network = true\n" + app, {"--listen", "[::]:1"}))
            .server.listen.size() == 1);
  CHECK(load({"--listen", "0.0.0.0:1"}).problems.size() == 1);
}

TEST_CASE_FIXTURE(Loading, "an address may not be given twice, but several free ports may") {
  CHECK(holds(complaint("[server]\nlisten = [\":1\", \"127.0.0.1:1\"]\n" + app), "given twice"));
  CHECK(good(file("[server]\nlisten = [\":0\", \":0\"]\n" + app)).server.listen.size() == 2);
}

TEST_CASE_FIXTURE(Loading, "a user is a verifier, or a table with what it may do") {
  const std::string table = "\n[users.bob]\npassword = \"" + verifier + "\"\n";
  const std::string start = app + "[users]\nann = \"" + verifier + "\"\n";
  const Settings settings =
      good(file(start + table + "databases = [\"app\"]\npool_mode = \"session\"\n"));
  REQUIRE(settings.users.size() == 2);
  const UserSettings& ann = settings.users[0];
  CHECK(ann.name == "ann");
  CHECK(ann.databases.empty());
  CHECK(ann.pool_mode == UserPoolModeSetting::database);
  const UserSettings& bob = settings.users[1];
  CHECK(bob.name == "bob");
  CHECK(bob.verifier == verifier);
  CHECK(bob.databases == std::vector<std::string>{"app"});
  CHECK(bob.pool_mode == UserPoolModeSetting::session);
  const std::string printed = print_settings(settings);
  CHECK(holds(printed,
              "# [users.\"bob\"]\n# password = \"***\"\n# databases = [\"app\"]\n"
              "# pool_mode = \"session\"\n"));
  CHECK_FALSE(holds(printed, "SCRAM"));

  CHECK(complaint(start + table + "pool_mod = \"session\"\n") ==
        "8:1: unknown key 'pool_mod' in [users.bob]; did you mean pool_mode?");
  CHECK(holds(complaint(start + table + "pool_mode = \"statement\"\n"), "8:13: pool_mode: 'st"));
  CHECK(complaint(start + table + "databases = [\"ap\"]\n") ==
        "8:13: databases: there is no database 'ap'; did you mean app?");
  CHECK(holds(complaint(start + table + "databases = []\n"), "8:13: databases: without one"));
  CHECK(holds(complaint(start + table + "databases = \"app\"\n"), "a list of texts is expected"));
  CHECK(complaint(start + "[users.bob]\n") == "5:8: [users.bob] has no password");
  CHECK(holds(complaint(start + "[users.bob]\npassword = \"hush\"\n"),
              "6:12: user 'bob': this is no SCRAM-SHA-256 verifier"));
  CHECK(holds(complaint(start + "[users.\"\"]\npassword = \"" + verifier + "\"\n"),
              "a user's name has 1 to 63 bytes"));
}

TEST_CASE_FIXTURE(Loading, "a catch-all is a PostgreSQL server") {
  const std::string all = "[databases.\"*\"]\nurl = \"postgresql://h/\"\n";
  const Settings settings =
      good(file("[server]\nmax_catch_all = 7\ncatch_all_idle = \"5s\"\n" + app + all));
  REQUIRE(settings.databases.size() == 2);
  CHECK(settings.databases[1].name == catch_all_name);
  CHECK(settings.server.max_catch_all == 7);
  CHECK(settings.server.catch_all_idle == std::chrono::seconds(5));
  const std::string printed = print_settings(settings);
  CHECK(holds(printed, "\n[databases.\"*\"]\n"));
  CHECK(print_settings(good(file(printed))) == printed);
  CHECK(complaint("[databases.\"*\"]\nurl = \"sqlite:///x\"\n") ==
        "1:12: [databases.\"*\"] needs a postgresql url: a file is one database");
  CHECK(holds(complaint("[databases.\"*x\"]\nurl = \"postgresql://h/\"\n"), "cannot be"));
  // Its users may have names that nobody configured.
  good(file(all + "[users.ann]\npassword = \"" + verifier + "\"\ndatabases = [\"some\"]\n"));
}

TEST_CASE_FIXTURE(Loading, "unix_socket_dir is a folder whose sockets nobody else has") {
  const auto dir = [&](const std::string& rest) { return "[server]\nunix_socket_dir = " + rest; };
  CHECK(good(file(dir("\"/run/x\"\n") + app)).server.unix_socket_dir == "/run/x");
  CHECK(good(file(app)).server.unix_socket_dir.empty());
  CHECK(holds(complaint(dir("\"run\"\n") + app), "2:19: unix_socket_dir: the path of a unix"));
  CHECK(holds(complaint(dir("\"/" + std::string(92, 'x') + "\"\n") + app), "at most 107 bytes"));
  good(file(dir("\"/" + std::string(91, 'x') + "\"\n") + app));
  CHECK(holds(complaint(dir("\"/run\"\nlisten = [\"unix:/a\"]\n") + app),
              "unix_socket_dir: its sockets have the ports of listen, which has none"));
  CHECK(holds(complaint(dir("\"/run\"\nlisten = [\":1\", \"unix:/run/.s.PGSQL.1\"]\n") + app),
              "unix_socket_dir: listen has unix:/run/.s.PGSQL.1, too"));
  good(file(dir("\"/run\"\nlisten = [\":1\", \"unix:/run/.s.PGSQL.2\"]\n") + app));
}

TEST_CASE_FIXTURE(Loading, "the command line wins over the file") {
  const auto settings = good(
      file("[server]\nlog_level = \"error\"\nlisten = [\":1\"]\n" + pg + "max_size = 9\n",
           {"--log-level", "debug", "--listen", ":2", "--pool-size", "3", "--force-rollback"}));
  CHECK(settings.server.log_level == LogLevelSetting::debug);
  CHECK(settings.server.listen == std::vector<ListenAddress>{{"127.0.0.1", 2, ""}});
  CHECK(settings.databases[0].max_size == 3);
  CHECK(settings.databases[0].force_rollback);
}

TEST_CASE_FIXTURE(Loading, "a pool smaller than its minimum is an error where it is written") {
  CHECK(complaint(pg + "min_size = 5\nmax_size = 4\n") ==
        "4:12: max_size 4 is less than min_size 5 of database 'app'");
  CHECK(holds(complaint(pg + "min_size = 21\n"), "3:12: max_size 20 is less"));
  CHECK(holds(complaint(pg + "min_size = 5\n", {"--pool-size", "2"}), "--pool-size: max_size 2"));
  CHECK(holds(complaint(app, {"--pool-size", "2"}), "--pool-size: no database is a postgresql"));
}

TEST_CASE_FIXTURE(Loading, "force_rollback and a change of the journal mode exclude each other") {
  CHECK(holds(complaint(app + "force_rollback = true\njournal_mode = \"wal\"\n"), "4:16: journal"));
  CHECK(good(file(app + "force_rollback = true\njournal_mode = \"keep\"\n"))
            .databases[0]
            .force_rollback);
  // A production file can be tried with the option.
  CHECK(good(file(app + "journal_mode = \"wal\"\n", {"--force-rollback"}))
            .databases[0]
            .force_rollback);
}

TEST_CASE_FIXTURE(Loading, "force_rollback of the server holds for every database") {
  CHECK(good(file("[server]\nforce_rollback = true\n" + app)).databases[0].force_rollback);
  CHECK(holds(complaint("[server]\nforce_rollback = true\n" + app + "force_rollback = false\n"),
              "5:18: force_rollback: [server] forces it"));
  CHECK(good(file(app + "force_rollback = false\n", {"--force-rollback"}))
            .databases[0]
            .force_rollback);
}

TEST_CASE_FIXTURE(Loading, "options that have no meaning for a sqlite database are refused") {
  const std::string memory = "[databases.m]\nurl = \"sqlite::memory:\"\n";
  CHECK(holds(complaint(memory + "journal_mode = \"wal\"\n"), "in memory"));
  CHECK(holds(complaint(memory + "read_only = true\n"), "would stay empty"));
  CHECK(holds(complaint(app + "read_only = true\njournal_mode = \"wal\"\n"), "read_only keeps"));
}

TEST_CASE_FIXTURE(Loading, "a password comes from the file, a file of its own or a credential") {
  write("secret", "hush\nnot this\n");
  write("crlf", "hush\r\n");
  CHECK(good(file(pg + "password_file = \"secret\"\n")).databases[0].password == "hush");
  using std::filesystem::perms;
  std::filesystem::permissions(folder_ + "/secret", perms::owner_read);
  CHECK(good(file(pg + "password_file = \"secret\"\n")).warnings.empty());
  std::filesystem::permissions(folder_ + "/secret", perms::owner_read | perms::others_read);
  const auto warnings = good(file(pg + "password_file = \"secret\"\n")).warnings;
  REQUIRE(warnings.size() == 1);
  CHECK(holds(warnings[0], "every user of this machine can read"));
  CHECK(good(file(pg + "password_file = \"crlf\"\n")).databases[0].password == "hush");
  const std::string absolute = "password_file = \"" + folder_ + "/secret\"\n";
  CHECK(good(file(pg + absolute)).databases[0].password == "hush");
  variables["CREDENTIALS_DIRECTORY"] = folder_;
  CHECK(good(file(pg + "password_credential = \"secret\"\n")).databases[0].password == "hush");
}

TEST_CASE_FIXTURE(Loading, "a password that cannot be had is an error at its key") {
  write("empty", "\n");
  CHECK(holds(complaint(pg + "password_file = \"none\"\n"), "3:17: password_file: cannot read"));
  CHECK(holds(complaint(pg + "password_file = \"empty\"\n"), "is no password"));
  CHECK(holds(complaint(pg + "password_credential = \"x\"\n"), "LoadCredential=x"));
  variables["CREDENTIALS_DIRECTORY"] = folder_;
  CHECK(holds(complaint(pg + "password_credential = \"../x\"\n"), "no '/'"));
}

TEST_CASE_FIXTURE(Loading, "a password or a user said twice is an error") {
  write("secret", "hush");
  CHECK(holds(complaint(pg + "password = \"x\"\npassword_file = \"secret\"\n"),
              "4:17: password_file: password says a password, too"));
  const std::string url = "[databases.app]\nurl = \"postgresql://u:hush@h/app\"\n";
  CHECK(holds(complaint(url + "password = \"x\"\n"), "3:12: password: the url says"));
  CHECK(holds(complaint(url + "user = \"x\"\n"), "3:8: user: the url says"));
}

TEST_CASE_FIXTURE(Loading,
                  "BASED_PASSWORD is for PostgreSQL URLs of the command line without one") {
  variables["BASED_PASSWORD"] = "hush";
  const auto settings = good(load({"postgresql://h/a", "postgresql://u:own@h/b", "sqlite:///c"}));
  CHECK(settings.databases[0].password == "hush");
  CHECK(settings.databases[1].password.empty());
  CHECK(settings.databases[2].password.empty());
  CHECK(good(file(pg)).databases[0].password.empty());
}

TEST_CASE_FIXTURE(Loading, "printed settings hold no password from anywhere") {
  write("secret", "hush-file");
  variables = {{"BASED_PASSWORD", "hush-environment"}};
  const auto settings =
      good(file("[databases.a]\nurl = \"postgresql://u:hush-url@h/a\"\n"
                "[databases.b]\nurl = \"postgresql://h/b\"\npassword = \"hush-key\"\n"
                "[databases.c]\nurl = \"postgresql://h/c\"\npassword_file = \"secret\"\n"
                "[databases.d]\nurl = \"postgresql://h/d?password=hush-query\"\n",
                {"postgresql://h/e"}));
  const std::string printed = print_settings(settings);
  CHECK_FALSE(holds(printed, "hush"));
  CHECK(holds(printed, "url = \"postgresql://u:***@h/a\""));
  // Of b and e; what c reads from its file is not said twice.
  const std::string password = "\npassword = \"***\"";
  const std::size_t first = printed.find(password);
  REQUIRE(first != std::string::npos);
  const std::size_t second = printed.find(password, first + 1);
  REQUIRE(second != std::string::npos);
  CHECK(printed.find(password, second + 1) == std::string::npos);
  CHECK(holds(printed, "password_file = \"secret\""));
}

TEST_CASE_FIXTURE(Loading, "texts are printed so that TOML reads them back") {
  const auto settings = good(file(pg + "application_name = \"a\\\"b\\\\c\\u0001\\n\"\n"));
  const auto again = good(file(print_settings(settings)));
  CHECK(again.databases[0].application_name == "a\"b\\c\x01\n");
}

TEST_CASE_FIXTURE(Loading, "a file says who its clients are, or that they are believed") {
  const std::string database = "[databases.a]\nurl = \"sqlite::memory:\"\n";
  says_nothing_of_users = true;
  CHECK(holds(complaint(database), "clients are not authenticated"));
  const Settings trusting = good(file("[server]\nauth = \"trust\"\n" + database));
  CHECK(trusting.server.auth == AuthSetting::trust);
  CHECK(trusting.server.unix_auth == UnixAuthSetting::trust);
  const std::string users = database + "[users]\nann = \"" + verifier + "\"\n";
  const Settings asking = good(file(users));
  CHECK(asking.server.auth == AuthSetting::scram);
  CHECK(asking.server.unix_auth == UnixAuthSetting::scram);
  REQUIRE(asking.users.size() == 1);
  CHECK(asking.users[0].name == "ann");
  CHECK(good(file("[server]\nunix_auth = \"peer\"\n" + users)).server.unix_auth ==
        UnixAuthSetting::peer);
  CHECK(good(file("[server]\nlisten = [\"0.0.0.0:1\"]\n" + users)).users.size() == 1);
  CHECK(complaints("[server]\nauth = \"trust\"\nlisten = [\"0.0.0.0:1\"]\n" + users).size() == 1);
  CHECK(holds(complaint("[server]\nauth = \"scram\"\n" + database), "scram needs passwords"));
  CHECK(holds(complaint(database + "[users]\nann = \"secret\"\n"), "no SCRAM-SHA-256 verifier"));
  CHECK(holds(complaint(database + "[users]\nann = 5\n"), "a verifier is a text"));
  CHECK(good(load({"sqlite::memory:"})).server.auth == AuthSetting::trust);
}
