// The committed corpus runs in every build, also where there is no libFuzzer.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/native_target.h"

TEST_CASE("every input of the fuzzer's corpus keeps the codec's promises") {
  std::size_t inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(BASED_FUZZ_CORPUS)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string input(std::istreambuf_iterator<char>(file), {});
    CAPTURE(entry.path().string());
    based::native::fuzz_native(input);
    ++inputs;
  }
  CHECK(inputs > 40);
}
