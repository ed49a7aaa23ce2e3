// From a command line, a file and the environment to Settings. Loop thread, before the loop runs;
// reads files.
#pragma once

#include <string>

#include "config/command_line.h"
#include "config/expansion.h"
#include "config/problem.h"
#include "config/settings.h"

namespace based {

struct LoadedSettings {
  Settings settings;
  ConfigProblems problems;  // not empty: settings are not to be used; exit with ExitCode::config
};

// Databases of the command line come before those of the file. Everything that is wrong is found in
// one go.
LoadedSettings load_settings(const CommandLine& line, const Environment& environment);

// The settings in force as TOML, defaults included, every secret masked: what --print-config
// prints.
std::string print_settings(const Settings& settings);

}  // namespace based
