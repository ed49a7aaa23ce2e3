#include <doctest/doctest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "backends/postgres/savepoints.h"

namespace based::postgres {
namespace {

// Each of them by itself.
struct Plain {
  std::vector<std::pair<std::string, int>> all;

  std::size_t find(const std::string& name) const {
    for (std::size_t i = all.size(); i-- > 0;) {
      if (all[i].first == name) return i;
    }
    return all.size();
  }
  void keep(std::size_t count) {
    if (count < all.size()) all.erase(all.begin() + static_cast<std::ptrdiff_t>(count), all.end());
  }
};

}  // namespace

TEST_CASE("savepoints of one name and state in a row are as good as each by itself") {
  std::mt19937 random(7);
  const auto one_of = [&random](unsigned count) {
    return std::uniform_int_distribution<unsigned>(0, count - 1)(random);
  };
  for (int round = 0; round < 200; ++round) {
    Savepoints<int> savepoints;
    Plain plain;
    for (int i = 0; i < 100; ++i) {
      const std::string name(1, static_cast<char>('a' + one_of(3)));
      switch (one_of(8)) {
        case 0:
          savepoints.release(name);
          plain.keep(plain.find(name));
          break;
        case 1:
          savepoints.go_back_to(name);
          plain.keep(plain.find(name) + 1);
          break;
        default: {
          const int state = static_cast<int>(one_of(2));
          savepoints.add(name, state);
          plain.all.emplace_back(name, state);
        }
      }
      REQUIRE(savepoints.empty() == plain.all.empty());
      REQUIRE(savepoints.size() <= plain.all.size());
      if (plain.all.empty()) continue;
      CHECK(savepoints.oldest() == plain.all.front().second);
      CHECK(savepoints.newest() == plain.all.back().second);
      for (const char* each : {"a", "b", "c"}) {
        const int* found = savepoints.find(each);
        const std::size_t there = plain.find(each);
        REQUIRE((found == nullptr) == (there == plain.all.size()));
        if (found != nullptr) CHECK(*found == plain.all[there].second);
      }
    }
  }
}

TEST_CASE("those of one name and state in a row take the room of one") {
  Savepoints<std::string> savepoints;
  for (int i = 0; i < 1000; ++i) savepoints.add("autosave", "before");
  savepoints.add("autosave", "behind");
  savepoints.add("other", "behind");
  savepoints.add("autosave", "behind");
  CHECK(savepoints.size() == 4);
  savepoints.release("other");
  savepoints.release("autosave");
  CHECK(savepoints.newest() == "before");
  for (int i = 0; i < 999; ++i) savepoints.release("autosave");
  CHECK(savepoints.size() == 1);
  savepoints.release("autosave");
  CHECK(savepoints.empty());
}

}  // namespace based::postgres
