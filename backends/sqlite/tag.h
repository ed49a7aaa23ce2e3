// The command tag of a SQLite statement, in PostgreSQL's words. Pure.
#pragma once

#include <string>
#include <string_view>

#include "backends/sqlite/authorizer.h"

namespace based::sqlite {

// "INSERT" for REPLACE and for WITH ... INSERT, "SELECT" for VALUES, "CREATE TABLE" for CREATE
// VIRTUAL TABLE, else the first word; "" for a text without one.
std::string command_tag(std::string_view text, const StatementFacts& facts);

// The first words of a text, for messages that name what somebody last ran: at most `bytes_max`
// bytes, white space folded, cut between characters.
std::string first_words(std::string_view text, std::size_t bytes_max);

}  // namespace based::sqlite
