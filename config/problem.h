// ConfigProblem: one thing wrong with the configuration. All of them are reported at once.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace based {

struct ConfigProblem {
  std::string place;    // "based.toml:3:7" (line and column from 1), "--listen", or a URL, masked
  std::string message;  // what is wrong and what would be right; never a password
};

using ConfigProblems = std::vector<ConfigProblem>;

// "based.toml:3:7: unknown key ...".
inline std::string format_problem(const ConfigProblem& problem) {
  return problem.place.empty() ? problem.message : problem.place + ": " + problem.message;
}

}  // namespace based
