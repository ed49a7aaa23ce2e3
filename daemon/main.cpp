#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>

#include "config/start.h"

namespace {

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace

int main(int argc, char** argv) {
  const auto count = static_cast<std::size_t>(argc > 0 ? argc - 1 : 0);
  const std::span<const char* const> arguments(argv + (argc > 0 ? 1 : 0), count);
  const based::Start begun = based::start(arguments, environment_variable, BASED_VERSION);
  std::fputs(begun.output.c_str(), stdout);
  std::fputs(begun.errors.c_str(), stderr);
  return static_cast<int>(begun.code);
}
