// The table [users]: who may be a client, and what they may do. Loop thread, before the loop runs.
#pragma once

#include "config/problem.h"
#include "config/rules.h"
#include "config/setting_reader.h"
#include "config/settings.h"
#include "config/toml_file.h"

namespace based {

// Each entry is a verifier, NAME = "SCRAM-SHA-256$...", or a table of the rows of user_rows().
// REQUIRES a table. What is wrong is added to the problems, and such a user is left out.
std::vector<UserSettings> read_users(const TomlNode& users, const Expand& expand, Written& written,
                                     ConfigProblems& problems);

}  // namespace based
