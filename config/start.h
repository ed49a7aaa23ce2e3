// What the daemon does before it serves: read the command line and the settings, and answer the
// options that only ask. Loop thread, before the loop runs.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/command_line.h"
#include "config/expansion.h"
#include "config/settings.h"

namespace based {

struct Start {
  std::optional<std::uint32_t> hash_iterations;  // a password is to be hashed, and no more
  std::optional<Settings> settings;              // to serve with; without them: exit with `code`
  ExitCode code = ExitCode::ok;
  std::string output;  // for standard output
  std::string errors;  // for standard error: one line for each problem
};

// `arguments` without the program's name.
Start start(std::span<const char* const> arguments, const Environment& environment,
            std::string_view version);

}  // namespace based
