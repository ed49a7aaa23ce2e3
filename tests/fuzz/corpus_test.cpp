// The committed corpus runs in every build, also where there is no libFuzzer.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/client_target.h"
#include "tests/fuzz/native_target.h"
#include "tests/fuzz/server_target.h"

namespace {

std::size_t run_corpus(const std::string& name, void (*target)(std::string_view)) {
  std::size_t inputs = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(BASED_FUZZ) + "/" + name)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string input(std::istreambuf_iterator<char>(file), {});
    CAPTURE(entry.path().string());
    target(input);
    ++inputs;
  }
  return inputs;
}

}  // namespace

TEST_CASE("every input of the native fuzzer's corpus keeps the codec's promises") {
  CHECK(run_corpus("corpus", [](std::string_view input) { based::native::fuzz_native(input); }) >
        40);
}

TEST_CASE("every input of the client fuzzer's corpus keeps the promises of start-up and messages") {
  CHECK(run_corpus("client_corpus", based::postgres::fuzz_client) > 20);
}

TEST_CASE("every input of the server fuzzer's corpus keeps what the relay promises its clients") {
  CHECK(run_corpus("server_corpus", based::postgres::fuzz_server) > 45);
}
