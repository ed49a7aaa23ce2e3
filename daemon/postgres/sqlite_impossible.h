// What PostgreSQL has and SQLite has not: which statements, and what is said of them. Pure.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "daemon/postgres/sqlite_tokens.h"
#include "protocol/result.h"

namespace based {

// Does a statement with this first word never reach SQLite?
bool is_impossible(std::string_view first_word);
// 0A000 with a hint, for a statement that begins with these tokens; none: SQLite may know it.
std::optional<Error> impossible_error(std::span<const ClientToken> statement);

// For what asks PostgreSQL's catalogue.
Error catalogue_error();
// A function that does, which may be called without its schema.
bool asks_catalogue(std::string_view function);

}  // namespace based
