// Fuzzes what becomes of a PostgreSQL server's bytes on their way to clients; see server_target.h.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/server_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  based::postgres::fuzz_server({reinterpret_cast<const char*>(data), size});
  return 0;
}
