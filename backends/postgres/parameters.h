// A client's values as parameters of PostgreSQL. Pure.
//
// Types are declared by the value's kind: int64 is int4 where it fits, else int8; float64 is
// float8; bool and bytes are bool and bytea; text and null are left to the server, which infers
// them from the statement. Values travel as text, bytes as they are.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "backends/unit.h"
#include "protocol/postgres/frontend.h"
#include "protocol/result.h"
#include "protocol/value.h"

namespace based::postgres {

std::vector<std::uint32_t> parameter_types(std::span<const ValueView> values);

// Appends Bind with these values.
void write_bind(FrontendWriter& writer, std::string_view statement,
                std::span<const ValueView> values);

// What must never be sent, or cannot be: NUL in a text (22021), too many or too large parameters
// (54000), COPY, LISTEN and PREPARE TRANSACTION's kin where they are not possible (0A000). Nothing
// of the unit is executed then.
Result<void> check_unit(const Unit& unit);

}  // namespace based::postgres
