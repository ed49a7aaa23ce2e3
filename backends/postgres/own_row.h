// OwnRow: a statement with one row of one column that Based answers for a client of a sandbox, as
// the server would not know: SHOW, SELECT current_setting('...') and nothing else, and SELECT
// set_config('...', '...', ...) of a transaction's mode. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "backends/statement.h"

namespace based::postgres {

struct OwnRow {
  std::string column;
  std::string setting;  // empty: the row of a function without a result
  std::string_view tag;
  BeginOptions sets = {};  // set_config: the mode
};

// SELECT pg_advisory_unlock_all(), which is one as well: the locks of others are not its business.
bool asks_unlock_all(const Statement& statement);
// Cheap: false where the text cannot be one of these SELECTs.
bool may_ask_setting(std::string_view text);
std::optional<OwnRow> own_row_of(const Statement& statement);

}  // namespace based::postgres
