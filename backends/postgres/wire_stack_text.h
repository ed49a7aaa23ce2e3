// What the parts of WireStack (wire_stack.h) share: reading a statement's words, and its errors.
// Pure.
#pragma once

#include <string>
#include <string_view>

#include "protocol/result.h"

namespace based::postgres {

// In lower case; empty where that token is no word.
std::string word_at(std::string_view text, int index);

Error outside(std::string_view what);
Error aborted();

}  // namespace based::postgres
