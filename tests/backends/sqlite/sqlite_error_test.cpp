// What SQLite's codes and messages become, those included that a test cannot make SQLite report.
#include "backends/sqlite/sqlite_error.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace based;
using namespace based::sqlite;

namespace {

std::string state_of(int code, std::string_view message = "what happened",
                     FailedIn where = FailedIn::step, int offset = -1) {
  return std::string(error_from(code, message, offset, where).sqlstate.text());
}

}  // namespace

TEST_CASE("each of SQLite's codes has its SQLSTATE and its name") {
  struct Row {
    int code;
    std::string_view sqlstate, name;
  };
  // The numbers are SQLite's ABI, and what a client of the native protocol is told.
  constexpr std::array rows = {
      Row{2067, "23505", "SQLITE_CONSTRAINT_UNIQUE"},
      Row{1555, "23505", "SQLITE_CONSTRAINT_PRIMARYKEY"},
      Row{2579, "23505", "SQLITE_CONSTRAINT_ROWID"},
      Row{1299, "23502", "SQLITE_CONSTRAINT_NOTNULL"},
      Row{787, "23503", "SQLITE_CONSTRAINT_FOREIGNKEY"},
      Row{275, "23514", "SQLITE_CONSTRAINT_CHECK"},
      Row{1811, "P0001", "SQLITE_CONSTRAINT_TRIGGER"},
      Row{3091, "42804", "SQLITE_CONSTRAINT_DATATYPE"},
      Row{531, "25006", "SQLITE_CONSTRAINT_COMMITHOOK"},
      Row{19, "23000", "SQLITE_CONSTRAINT"},
      Row{5, "55P03", "SQLITE_BUSY"},
      Row{261, "55P03", "SQLITE_BUSY_RECOVERY"},
      Row{517, "40001", "SQLITE_BUSY_SNAPSHOT"},
      Row{6, "55P03", "SQLITE_LOCKED"},
      Row{7, "53200", "SQLITE_NOMEM"},
      Row{3082, "53200", "SQLITE_IOERR_NOMEM"},
      Row{8, "25006", "SQLITE_READONLY"},
      Row{1544, "25006", "SQLITE_READONLY_DIRECTORY"},
      Row{9, "57014", "SQLITE_INTERRUPT"},
      Row{10, "58030", "SQLITE_IOERR"},
      Row{11, "XX001", "SQLITE_CORRUPT"},
      Row{26, "XX001", "SQLITE_NOTADB"},
      Row{13, "53100", "SQLITE_FULL"},
      Row{14, "58P01", "SQLITE_CANTOPEN"},
      Row{4, "40000", "SQLITE_ABORT"},
      Row{516, "40000", "SQLITE_ABORT_ROLLBACK"},
      Row{18, "54000", "SQLITE_TOOBIG"},
      Row{20, "42804", "SQLITE_MISMATCH"},
      Row{23, "42501", "SQLITE_AUTH"},
      Row{25, "08P01", "SQLITE_RANGE"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const Error error = error_from(row.code, "what happened", -1, FailedIn::step);
    CHECK(error.sqlstate.text() == row.sqlstate);
    CHECK(error.native_code == row.code);
    CHECK(error.native_name == row.name);
    CHECK(error.message == "what happened");
    CHECK_FALSE(error.position);
  }
}

TEST_CASE("an extended code that has no row goes by its primary one, and keeps its number") {
  constexpr int locked_shared_cache = 262, corrupt_index = 779, constraint_vtab = 2323;
  CHECK(state_of(locked_shared_cache) == "55P03");
  CHECK(state_of(corrupt_index) == "XX001");
  CHECK(state_of(constraint_vtab) == "23000");
  const Error error = error_from(corrupt_index, "", -1, FailedIn::step);
  CHECK(error.native_code == corrupt_index);
  CHECK(error.native_name == "SQLITE_CORRUPT");
}

TEST_CASE("a code that nobody knows is our internal error, without a name") {
  const Error error = error_from(99, "strange", -1, FailedIn::step);
  CHECK(error.sqlstate.text() == "XX000");
  CHECK(error.native_name == "");
  CHECK(error.message == "strange");
}

TEST_CASE("SQLITE_ERROR without a message that is known is 42000; at prepare with a place, 42601") {
  CHECK(state_of(1, "never heard of") == "42000");
  CHECK(state_of(1, "never heard of", FailedIn::prepare) == "42000");
  CHECK(state_of(1, "never heard of", FailedIn::step, 7) == "42000");
  CHECK(state_of(1, "never heard of", FailedIn::prepare, 7) == "42601");
  CHECK(error_from(1, "never heard of", 7, FailedIn::prepare).position == 7);
  CHECK(state_of(1, "no such table: t", FailedIn::prepare, 7) == "42P01");
}

TEST_CASE("a lock of another process is said to be one, and a stale snapshot is not") {
  CHECK(error_from(5, "database is locked", -1, FailedIn::step).detail.find("another process") !=
        std::string::npos);
  CHECK(error_from(517, "database is locked", -1, FailedIn::step).detail == "");
}
