// hash_password: `based hash-password`, a program of its own within the daemon's.
#pragma once

#include <cstdint>

namespace based {

// Reads a password from standard input, without showing it where that is a terminal, and prints its
// verifier for [users]. The exit code: 0, or 64 with the reason on standard error.
int hash_password(std::uint32_t iterations);

}  // namespace based
