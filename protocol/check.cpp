#include "protocol/check.h"

#include <cstdio>
#include <cstdlib>

namespace based {

void check_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "based: invariant broken: %s (%s:%d)\n", expression, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace based
