// Ordinary: the quick look at a text that most of a client's statements need no more than. Pure,
// any thread, allocates nothing.
#pragma once

#include <string_view>

namespace based::sql {

// One PostgreSQL statement that reads or writes rows and does nothing else that Based would have to
// know of: no transaction control, setting, COPY, or state left on the connection. False: look
// again (backends/sql/script.h), since it may be ordinary all the same.
bool is_ordinary(std::string_view text);

// Has the text a literal that may stand for the time at which the server parses it ('now', 'today',
// 'tomorrow', 'yesterday')? True where it cannot be told.
bool names_moving_time(std::string_view text);

// Is SELECT its first word?
bool begins_with_select(std::string_view text);

}  // namespace based::sql
