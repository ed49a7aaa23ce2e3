// Setting value: what the text behind SET name TO says, as PostgreSQL reads it. Pure, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace based::sql {

// Without what quotes it.
std::string plain_value(std::string_view value);

// Any beginning of a word that tells it from the others; nullopt: the server would not take it.
std::optional<bool> bool_of(std::string_view value);

}  // namespace based::sql
