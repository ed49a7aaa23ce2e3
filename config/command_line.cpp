#include "config/command_line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "config/closest.h"
#include "config/database_url.h"
#include "config/schema.h"
#include "config/secrets.h"

namespace based {
namespace {

enum class Option : std::uint8_t {
  config,
  listen,
  force_rollback,
  pool_size,
  log_level,
  check_config,
  print_config,
  iterations,
  version,
  help,
};

struct OptionRow {
  Option option;
  std::string_view name;
  char letter;                // 0: none
  std::string_view argument;  // empty: takes none
  std::string_view help;
};

constexpr std::array<OptionRow, 10> options{{
    {Option::config, "--config", 'c', "FILE", "read settings and databases from a TOML file"},
    {Option::listen, "--listen", 0, "ADDR",
     "host:port, :port, [::1]:port or unix:/path; may be repeated"},
    {Option::force_rollback, "--force-rollback", 0, "",
     "nothing that any client does remains: for tests"},
    {Option::pool_size, "--pool-size", 0, "N", "connections to each PostgreSQL database, at most"},
    {Option::log_level, "--log-level", 0, "LEVEL", "debug, info, warning or error"},
    {Option::check_config, "--check-config", 0, "", "say what is wrong with the settings; 0 or 78"},
    {Option::print_config, "--print-config", 0, "", "show the settings in force, passwords masked"},
    {Option::iterations, "--iterations", 0, "N", "of hash-password: how dear a guess is; 4096"},
    {Option::version, "--version", 'V', "", "show the version"},
    {Option::help, "--help", 'h', "", "show this"},
}};

constexpr std::size_t listen_max = 64;  // far more than a host has use for

class Parser {
 public:
  explicit Parser(std::span<const char* const> arguments) : arguments_(arguments) {}

  ParsedCommandLine parse() {
    bool only_urls = false;
    if (!arguments_.empty() && std::string_view(arguments_[0]) == "hash-password") {
      set_action(CommandLine::Action::hash_password);
      ++next_;
    }
    while (next_ < arguments_.size()) {
      const std::string_view argument = arguments_[next_++];
      if (only_urls || argument.empty() || argument.front() != '-' || argument == "-") {
        take_url(argument);
      } else if (argument == "--") {
        only_urls = true;
      } else {
        take_option(argument);
      }
    }
    if (asks_for(CommandLine::Action::help) || asks_for(CommandLine::Action::version))
      parsed_.problems.clear();
    return std::move(parsed_);
  }

 private:
  bool asks_for(CommandLine::Action action) const { return parsed_.line.action == action; }

  void problem(std::string_view place, std::string message) {
    parsed_.problems.push_back({std::string(place), std::move(message)});
  }

  void take_url(std::string_view text) {
    auto url = parse_database_url(text);
    if (!url) return problem("'" + mask_secrets(text) + "'", url.error().message);
    parsed_.line.urls.emplace_back(text);
  }

  static const OptionRow* find(std::string_view name) {
    for (const OptionRow& row : options) {
      if (row.name == name) return &row;
      const bool is_letter = name.size() == 2 && row.letter != 0 && name[1] == row.letter;
      if (is_letter && name[0] == '-') return &row;
    }
    return nullptr;
  }

  void take_option(std::string_view argument) {
    const std::size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    const OptionRow* row = find(name);
    if (row == nullptr) {
      std::vector<std::string_view> known;
      for (const OptionRow& option : options) known.push_back(option.name);
      return problem(name, "unknown option" + did_you_mean(name, known));
    }
    std::string_view value;
    if (row->argument.empty()) {
      if (equals != std::string_view::npos) return problem(name, "takes no value");
    } else if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (next_ < arguments_.size()) {
      value = arguments_[next_++];
    } else {
      return problem(name, "needs a value: " + std::string(row->argument));
    }
    apply(*row, value);
  }

  void apply(const OptionRow& row, std::string_view value) {
    CommandLine& line = parsed_.line;
    switch (row.option) {
      case Option::config:
        if (line.config_file) return problem(row.name, "is given twice");
        if (value.empty()) return problem(row.name, "needs a value: FILE");
        line.config_file = value;
        return;
      case Option::listen:
        return take_listen(row, value);
      case Option::force_rollback:
        line.force_rollback = true;
        return;
      case Option::pool_size:
        return take_pool_size(row, value);
      case Option::log_level:
        return take_log_level(row, value);
      case Option::check_config:
        return set_action(CommandLine::Action::check_config);
      case Option::print_config:
        return set_action(CommandLine::Action::print_config);
      case Option::iterations:
        return take_iterations(row, value);
      case Option::version:
        return set_action(CommandLine::Action::version);
      case Option::help:
        return set_action(CommandLine::Action::help);
    }
  }

  // The later enumerator wins: who asks for help gets it.
  void set_action(CommandLine::Action action) {
    parsed_.line.action = std::max(parsed_.line.action, action);
  }

  void take_listen(const OptionRow& row, std::string_view value) {
    auto address = parse_address(value);
    if (!address)
      return problem(row.name, "'" + std::string(value) + "': " + address.error().message);
    if (parsed_.line.listen.size() == listen_max) return problem(row.name, "is given too often");
    parsed_.line.listen.push_back(std::move(*address));
  }

  void take_iterations(const OptionRow& row, std::string_view value) {
    const auto read =
        std::from_chars(value.data(), value.data() + value.size(), parsed_.line.iterations);
    const bool whole = read.ec == std::errc{} && read.ptr == value.data() + value.size();
    if (!whole || parsed_.line.iterations < 4096 || parsed_.line.iterations > 10'000'000)
      problem(row.name, "'" + std::string(value) + "' is not a number from 4096 to 10000000");
  }

  void take_pool_size(const OptionRow& row, std::string_view value) {
    std::uint32_t size = 0;
    const auto read = std::from_chars(value.data(), value.data() + value.size(), size);
    const bool whole = read.ec == std::errc{} && read.ptr == value.data() + value.size();
    if (!whole || size < 1 || size > 10'000)
      return problem(row.name, "'" + std::string(value) + "' is not a number from 1 to 10000");
    parsed_.line.pool_size = size;
  }

  void take_log_level(const OptionRow& row, std::string_view value) {
    for (const SettingRow& setting : server_rows()) {
      if (setting.key != "log_level") continue;
      const auto levels = choice_list(setting);
      const auto found = std::find(levels.begin(), levels.end(), value);
      if (found != levels.end()) {
        parsed_.line.log_level = static_cast<LogLevelSetting>(found - levels.begin());
        return;
      }
      return problem(row.name, "'" + std::string(value) + "' is not one of " +
                                   std::string(setting.choices) + did_you_mean(value, levels));
    }
  }

  std::span<const char* const> arguments_;
  std::size_t next_ = 0;
  ParsedCommandLine parsed_;
};

}  // namespace

ParsedCommandLine parse_command_line(std::span<const char* const> arguments) {
  return Parser(arguments).parse();
}

std::string usage_text() {
  constexpr std::size_t help_column = 24;
  std::string text =
      "usage: based [URL...] [OPTION...]\n"
      "       based hash-password [--iterations N]\n"
      "       based sandbox [--host HOST] [--port N] DATABASE[#NAME] COMMAND\n"
      "\n"
      "One daemon in front of PostgreSQL and SQLite that pools, nests transactions and, with\n"
      "--force-rollback, forgets.\n"
      "\n"
      "  URL is sqlite:///relative.db, sqlite:////absolute.db, sqlite::memory: or\n"
      "  postgresql://user@host/database. Without a URL or --config: a SQLite database of the\n"
      "  daemon's own, in $STATE_DIRECTORY, $XDG_STATE_HOME/based or the working folder.\n"
      "  $BASED_PASSWORD is the password of PostgreSQL URLs that have none.\n"
      "  hash-password reads a password and prints its verifier for [users].\n"
      "\n";
  for (const OptionRow& row : options) {
    std::string left = "  ";
    if (row.letter != 0) left += std::string("-") + row.letter + ", ";
    left += row.name;
    if (!row.argument.empty()) left += " " + std::string(row.argument);
    left.append(left.size() < help_column ? help_column - left.size() : 1, ' ');
    text += left + std::string(row.help) + "\n";
  }
  text +=
      "\n"
      "Exit codes: 0 ended as asked, 1 a further signal while ending, 64 wrong command line,\n"
      "69 cannot listen, 70 internal error, 78 wrong settings.\n";
  return text;
}

}  // namespace based
