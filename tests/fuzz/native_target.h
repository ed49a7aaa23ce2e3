// What the fuzzer does with an input, and the unit tests with each of the committed corpus.
#pragma once

#include <string_view>

namespace based::native {

// Reads the input as a client's bytes, preface and all, in pieces whose sizes the first byte
// chooses. Aborts where a promise of the codec is broken.
void fuzz_native(std::string_view input);

}  // namespace based::native
