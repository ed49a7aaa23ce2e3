// Command tag: the name that PostgreSQL gives to a statement which has run ("INSERT",
// "CREATE TABLE"), read from the text of one that has not. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

namespace based::sql {

// Of the text's first statement. "" where it does not begin with a word.
std::string command_tag(std::string_view text);

}  // namespace based::sql
