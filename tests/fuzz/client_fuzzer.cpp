// Fuzzes what reads a PostgreSQL client's bytes; see client_target.h.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/client_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  based::postgres::fuzz_client({reinterpret_cast<const char*>(data), size});
  return 0;
}
