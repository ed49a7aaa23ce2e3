// Diagnostic notation of MessagePack, as the examples of PROTOCOL.md write it. Test code only.
#pragma once

#include <string>
#include <string_view>

namespace based::native {

// `encoded` must be one whole, valid value.
std::string diagnostic(std::string_view encoded);

// The bytes of hexadecimal digits; white space is skipped. Fails the test on anything else.
std::string from_hex(std::string_view digits);

}  // namespace based::native
