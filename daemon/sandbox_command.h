// sandbox_command: `based sandbox`, a client of a daemon that runs, within the daemon's program.
#pragma once

#include <span>

namespace based {

// `arguments` behind the word. Prints what the command answers as COPY's text format does, the
// names of the columns first. The exit code: 0; 1 with the daemon's error on standard error; 64
// where the arguments cannot be read; 69 where no daemon answers.
int sandbox_command(std::span<const char* const> arguments);

}  // namespace based
