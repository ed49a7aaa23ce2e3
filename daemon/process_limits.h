// What the operating system lets this process have, and how far it can be raised.
#pragma once

#include <cstddef>

namespace based {

// Raises RLIMIT_NOFILE to its hard limit (a sandboxed service may be forbidden to: then it stays)
// and answers the limit in force.
std::size_t raise_descriptor_limit();

}  // namespace based
