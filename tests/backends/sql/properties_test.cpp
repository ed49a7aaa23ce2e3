#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/backends/sql/script_properties.h"

namespace based::sql {
namespace {

TEST_CASE("any soup of fragments is read, and its translation reads the same again") {
  const std::vector<std::string> fragments{"select",    "begin",    "atomic",   "end",
                                           "case",      "create",   "function", "trigger",
                                           "or",        "replace",  "commit",   "to",
                                           "set",       "local",    "explain",  "analyze",
                                           "prepare",   "$1",       "?",        "??",
                                           ":a",        "::",       ":",        "[",
                                           "]",         "(",        ")",        ";",
                                           "'",         "\"",       "`",        "$$",
                                           "$a$",       "E'",       "\\",       "--",
                                           "/*",        "*/",       "\n",       " ",
                                           "1",         "1e",       "x",        "U&",
                                           "@",         "#",        "$",        ",",
                                           ".",         "..",       "->",       "\xEF\xBB\xBF",
                                           "\xC3\xA9",  "=",        "?1",       ":=",
                                           "savepoint", "rollback", "as",       "?|",
                                           "pragma",    "into"};
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (std::size_t length = random() % 14; length > 0; --length) {
      text += fragments[random() % fragments.size()];
      if (random() % 2 == 0) text += ' ';
    }
    INFO(text);
    check_text(text);
  }
}

TEST_CASE("every input of the fuzzer's corpus is read, and its translation reads the same again") {
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(BASED_SQL_CORPUS)) {
    std::ifstream file(entry.path(), std::ios::binary);
    check_text(std::string(std::istreambuf_iterator<char>(file), {}));
    ++inputs;
  }
  CHECK(inputs >= 9);
}

}  // namespace
}  // namespace based::sql
