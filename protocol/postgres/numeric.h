// PostgreSQL's numeric between decimal texts and its binary format. Pure.
//
// Binary: the count of digits, the weight of the first (a power of 10,000), the sign, the scale for
// display, then the digits in base 10,000, each 16 bits big-endian.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace based::postgres {

// A plain decimal or one with an exponent, as SQLite and PostgreSQL write them; also NaN and
// Infinity. The binary form is appended; false (and nothing appended) for all other texts and for
// more than 1,000 digits on either side of the point.
bool append_numeric(std::string& out, std::string_view text);

// nullopt where the bytes are not one numeric.
std::optional<std::string> numeric_text(std::string_view bytes);

}  // namespace based::postgres
