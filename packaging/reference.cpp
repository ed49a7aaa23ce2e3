// Writes the man page of the configuration file to standard output, for the build.
#include <cstdio>

#include "config/reference.h"

int main() {
  const std::string page = based::reference_page();
  return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
}
