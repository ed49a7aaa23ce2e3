// libFuzzer's way in.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/native_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  based::native::fuzz_native({reinterpret_cast<const char*>(data), size});
  return 0;
}
