// sandbox_command: `based sandbox`, a client of a daemon that runs, within the daemon's program.
#pragma once

#include <span>

namespace based {

// `arguments` behind the word. Prints what the command answers as COPY's text format does, the
// names of the columns first. The exit code: 0; 1 where the daemon refuses; 64 where the arguments
// cannot be read; 69 where no daemon answers, or it (or its server) is away, going or full. The
// error is on standard error, as the daemon says it.
int sandbox_command(std::span<const char* const> arguments);

}  // namespace based
