// One value of the file, checked against its row. Loop thread, before the loop runs.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "config/problem.h"
#include "config/schema.h"
#include "config/toml_file.h"

namespace based {

// Undoes ${NAME}; the identity where nothing is expanded.
using Expand = std::function<Result<std::string>(std::string_view text)>;

// The value that `row` takes; nothing when there are problems, each with the place of its value.
std::optional<SettingValue> read_setting(const SettingRow& row, const TomlNode& node,
                                         const Expand& expand, ConfigProblems& problems);

}  // namespace based
