// ${NAME} in the texts of the file: only for the variables that the file lists, never silently.
//
// Loop thread, before the loop runs.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace based {

// The value of an environment variable, if it is set. getenv in the daemon, a map in tests.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// "${NAME}" becomes the variable's value, "$${" a plain "${"; any other '$' stays. 22023 with the
// reason for a variable that is not listed or not set, and for a "${" that does not end. The error
// never holds the text, which may be a password.
Result<std::string> expand(std::string_view text, const std::vector<std::string>& listed,
                           const Environment& environment);

}  // namespace based
