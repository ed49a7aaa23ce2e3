// DateStyle: the one setting of PostgreSQL whose SET changes only what it names, the style or the
// order of day and month. Pure.
//
// check_datestyle() in src/backend/commands/variable.c is the source.
#pragma once

#include <string>
#include <string_view>

namespace based::postgres {

// What the setting is after SET datestyle TO `set`, where it was `before` (empty: not set). Both
// are texts as they follow SET datestyle TO; what cannot be read is taken as it is.
std::string changed_date_style(std::string_view before, std::string_view set);

}  // namespace based::postgres
