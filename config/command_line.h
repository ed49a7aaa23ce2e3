// The command line of the daemon, read into plain values. Any thread, pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/problem.h"
#include "config/settings.h"

namespace based {

// sysexits.h's numbers, which service managers know by name.
enum class ExitCode : std::uint8_t {
  ok = 0,
  usage = 64,        // the command line cannot be read
  unavailable = 69,  // a listener cannot be opened
  internal = 70,     // a fault of ours
  config = 78,       // the configuration is wrong
};

struct CommandLine {
  enum class Action : std::uint8_t {
    serve,
    check_config,
    print_config,
    hash_password,
    version,
    help
  };

  Action action = Action::serve;
  std::vector<std::string> urls;  // each known to be one that parse_database_url takes
  std::optional<std::string> config_file;
  std::vector<ListenAddress> listen;  // not empty: instead of the file's
  bool force_rollback = false;
  std::optional<std::uint32_t> pool_size;  // max_size of every postgresql database
  std::optional<LogLevelSetting> log_level;
  std::uint32_t iterations = 4096;  // hash_password: of the key derivation
};

struct ParsedCommandLine {
  CommandLine line;
  ConfigProblems problems;  // not empty: exit with ExitCode::usage
};

// `arguments` without the program's name. --help and --version win over everything, problems too.
ParsedCommandLine parse_command_line(std::span<const char* const> arguments);

// What --help prints.
std::string usage_text();

}  // namespace based
