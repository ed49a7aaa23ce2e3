#include <doctest/doctest.h>

#include <initializer_list>

#include "backends/postgres/subtransactions.h"

namespace based::postgres {
namespace {

Subtransactions after(std::initializer_list<std::string_view> tags) {
  Subtransactions counted;
  for (const std::string_view tag : tags) counted.note(tag);
  return counted;
}

}  // namespace

TEST_CASE("a savepoint is a subtransaction once it has written, with those around it") {
  CHECK(after({"INSERT 0 1"}).count() == 0);  // the root itself
  CHECK(after({"SAVEPOINT", "SELECT 1", "SET", "SHOW", "UPDATE 0", "INSERT 0 0"}).count() == 0);
  CHECK(after({"SAVEPOINT", "INSERT 0 1", "DELETE 10", "TRUNCATE TABLE"}).count() == 1);
  CHECK(after({"SAVEPOINT", "SAVEPOINT", "CREATE TABLE"}).count() == 2);
  CHECK(after({"SAVEPOINT", "SAVEPOINT", "RELEASE", "COPY 3"}).count() == 1);
}

TEST_CASE("those that are released count, and those that were gone back to") {
  Subtransactions counted;
  for (int turn = 0; turn < 5; ++turn) {
    for (const char* tag : {"SAVEPOINT", "MERGE 1", "RELEASE", "SAVEPOINT", "SELECT 1", "RELEASE"})
      counted.note(tag);
  }
  CHECK(counted.count() == 5);
  for (const char* tag : {"SAVEPOINT", "INSERT 0 1", "ROLLBACK", "INSERT 0 1"}) counted.note(tag);
  CHECK(counted.count() == 7);
  counted.go_back(2);
  CHECK(counted.count() == 2);
}

TEST_CASE("of a release of several no more are left than there can be") {
  Subtransactions counted = after({"SAVEPOINT", "SAVEPOINT", "SAVEPOINT", "RELEASE"});
  counted.bound(1);
  counted.note("INSERT 0 1");
  CHECK(counted.count() == 1);
}

TEST_CASE("what was more than the server keeps at hand stays so until another root begins") {
  Subtransactions counted;
  for (std::uint64_t i = 0; i < subtransactions_at_hand; ++i) {
    for (const char* tag : {"SAVEPOINT", "INSERT 0 1", "RELEASE"}) counted.note(tag);
  }
  CHECK_FALSE(counted.overflowed());
  for (const char* tag : {"SAVEPOINT", "INSERT 0 1"}) counted.note(tag);
  CHECK(counted.overflowed());
  counted.go_back(1);
  CHECK(counted.overflowed());
  counted.note("BEGIN");
  CHECK_FALSE(counted.overflowed());
  CHECK(counted.count() == 0);
}

}  // namespace based::postgres
