// Fuzzes the SQL layer: any bytes are cut, classified and translated without a crash, offsets stay
// inside the text, and the translated text reads the same again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/backends/sql/script_properties.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  based::sql::check_text({reinterpret_cast<const char*>(data), size});
  return 0;
}
