// Decodes a payload and encodes what was understood: for examples, round trips and the fuzzer.
#pragma once

#include <string>
#include <string_view>

#include "protocol/native/frame.h"
#include "protocol/result.h"

namespace based::native {

// The canonical payload of the same meaning, or why it is none. Walks everything that a decoded
// message offers. AUTH and unknown types: 0A000.
Result<std::string> recode(MessageType type, std::string_view payload);

}  // namespace based::native
