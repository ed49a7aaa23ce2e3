// Classify: what kind of statement this is, by its first tokens and the traits of the rest.
//
// Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "backends/sql/traits.h"
#include "backends/sql/words.h"
#include "backends/statement.h"
#include "protocol/result.h"

namespace based::sql {

// Fills kind, the flags and what belongs to transaction control and settings. `last_end` is where
// the last token ends. 42601 for transaction control that cannot be read.
std::optional<Error> classify(const Cursor& cursor, const Traits& traits, std::uint32_t last_end,
                              Statement& statement);

}  // namespace based::sql
