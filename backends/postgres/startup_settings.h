// Start-up settings: what a client's start-up packet sets, as SET says it. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "backends/postgres/link_settings.h"

namespace based::postgres {

// 'text', with quotes and backslashes as SQL needs them.
std::string quote_literal(std::string_view text);
std::string quote_name(std::string_view name);

// Values are plain text. Of two of one name the later one counts. Lists of names (search_path) are
// taken apart as the server does it.
Settings startup_settings(std::span<const std::pair<std::string, std::string>> given);

}  // namespace based::postgres
