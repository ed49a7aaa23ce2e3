// Transaction control of a PostgreSQL client in a sandbox, and with nested transactions, against a
// real server.
#include <string>

#include "tests/backends/postgres/live_fixture.h"
#include "tests/support/wire_probe.h"

namespace based {
namespace {

using postgres::FrontendWriter;

PostgresOptions sandbox_options() {
  PostgresOptions options;
  options.force_rollback = true;
  return options;
}
PostgresOptions nested_options() {
  PostgresOptions options;
  options.max_size = 1;
  options.nested_transactions = true;
  return options;
}

class StackFixture : public LiveFixture {
 public:
  using LiveFixture::LiveFixture;
  std::unique_ptr<WireProbe> probe() {
    auto made = std::make_unique<WireProbe>(*database);
    run_until([&] { return made->started || made->ended; });
    return made;
  }
  std::string run(WireProbe& probe, std::string_view text) {
    probe.query(text);
    run_until([&] { return probe.ready() == 1 || probe.ended; });
    return probe.take();
  }
  // Through the extended protocol, each text a statement of one Sync group.
  std::string extended(WireProbe& probe, std::vector<std::string> texts) {
    std::string bytes;
    FrontendWriter writer(bytes);
    for (const std::string& text : texts) {
      writer.parse("", text, {});
      writer.begin_bind("", "", {});
      writer.end_bind();
      writer.describe_portal("");
      writer.execute("", 0);
    }
    writer.sync();
    probe.send_messages(bytes);
    run_until([&] { return probe.ready() == 1 || probe.ended; });
    return probe.take();
  }
};

class SandboxFixture : public StackFixture {
 public:
  SandboxFixture() : StackFixture(sandbox_options()) {}
};
class NestedFixture : public StackFixture {
 public:
  NestedFixture() : StackFixture(nested_options()) {}
};

}  // namespace

TEST_CASE_FIXTURE(SandboxFixture, "in a sandbox a client sees PostgreSQL's own transactions") {
  const auto one = probe();
  REQUIRE(one->started);
  CHECK(run(*one, "create table box (a int unique)") == "C:CREATE TABLE Z:I");
  CHECK(run(*one, "insert into box values (1)") == "C:INSERT 0 1 Z:I");
  CHECK(run(*one, "insert into box values (1)") == "E:23505 Z:I");
  CHECK(run(*one, "select count(*) from box") == "T D:1 C:SELECT 1 Z:I");
  CHECK(run(*one, "begin") == "C:BEGIN Z:T");
  CHECK(run(*one, "begin") == "N:25001 C:BEGIN Z:T");
  CHECK(run(*one, "insert into box values (2)") == "C:INSERT 0 1 Z:T");
  CHECK(run(*one, "savepoint s") == "C:SAVEPOINT Z:T");
  CHECK(run(*one, "insert into box values (2)") == "E:23505 Z:E");
  CHECK(run(*one, "select 1") == "E:25P02 Z:E");
  CHECK(run(*one, "release s") == "E:25P02 Z:E");
  CHECK(run(*one, "rollback to s") == "C:ROLLBACK Z:T");
  CHECK(run(*one, "release s") == "C:RELEASE Z:T");
  CHECK(run(*one, "rollback to s") == "E:3B001 Z:E");
  CHECK(run(*one, "commit") == "C:ROLLBACK Z:I");
  CHECK(run(*one, "select count(*) from box") == "T D:1 C:SELECT 1 Z:I");
  CHECK(run(*one, "start transaction read only") == "C:START TRANSACTION Z:T");
  CHECK(run(*one, "insert into box values (3)") == "E:25006 Z:E");
  CHECK(run(*one, "rollback") == "C:ROLLBACK Z:I");
  CHECK(run(*one, "commit") == "N:25P01 C:COMMIT Z:I");
  CHECK(run(*one, "rollback and chain") == "E:25P01 Z:I");
  CHECK(run(*one, "savepoint s") == "E:25P01 Z:I");
  CHECK(run(*one, "set local work_mem to '3MB'") == "N:25P01 C:SET Z:I");
  CHECK(run(*one, "lock table box") == "E:25P01 Z:I");
  CHECK(run(*one, "vacuum box") == "N:01000 C:VACUUM Z:I");
  CHECK(run(*one, "begin; prepare transaction 'x'") == "C:BEGIN E:0A000 Z:I");
}

TEST_CASE_FIXTURE(SandboxFixture, "the extended protocol gets the same answers in one Sync group") {
  const auto one = probe();
  CHECK(extended(*one, {"create table box (a int unique)", "insert into box values (1)"}) ==
        "1 2 n C:CREATE TABLE 1 2 n C:INSERT 0 1 Z:I");
  CHECK(extended(*one, {"insert into box values (2)", "insert into box values (1)"}) ==
        "1 2 n C:INSERT 0 1 1 2 n E:23505 Z:I");
  CHECK(run(*one, "select count(*) from box") == "T D:1 C:SELECT 1 Z:I");
  CHECK(extended(*one, {"begin", "insert into box values (3)"}) ==
        "1 2 n C:BEGIN 1 2 n C:INSERT 0 1 Z:T");
  CHECK(extended(*one, {"rollback"}) == "1 2 n C:ROLLBACK Z:I");
  CHECK(run(*one, "select count(*) from box") == "T D:1 C:SELECT 1 Z:I");
  CHECK(extended(*one, {"begin", "insert into box values (3)", "commit", "select 7"}) ==
        "1 2 n C:BEGIN 1 2 n C:INSERT 0 1 1 2 n C:COMMIT 1 2 T D:7 C:SELECT 1 Z:I");
  CHECK(run(*one, "select count(*) from box") == "T D:2 C:SELECT 1 Z:I");
  CHECK(extended(*one, {"begin"}) == "1 2 n C:BEGIN Z:T");
  CHECK(extended(*one, {"select 1/0"}) == "1 E:22012 Z:E");
  CHECK(extended(*one, {"commit"}) == "1 2 n C:ROLLBACK Z:I");
}

TEST_CASE_FIXTURE(SandboxFixture, "a string of several statements keeps PostgreSQL's rules") {
  const auto one = probe();
  CHECK(run(*one, "create table box (a int unique); insert into box values (1)") ==
        "C:CREATE TABLE C:INSERT 0 1 Z:I");
  CHECK(run(*one, "insert into box values (2); select 1/0; insert into box values (3)") ==
        "C:INSERT 0 1 E:22012 Z:I");
  CHECK(run(*one, "select count(*) from box") == "T D:1 C:SELECT 1 Z:I");
  CHECK(run(*one, "begin; insert into box values (2); commit; select count(*) from box") ==
        "C:BEGIN C:INSERT 0 1 C:COMMIT T D:2 C:SELECT 1 Z:I");
  CHECK(run(*one, "insert into box values (4); begin; insert into box values (5)") ==
        "C:INSERT 0 1 C:BEGIN C:INSERT 0 1 Z:T");
  CHECK(run(*one, "rollback; select count(*) from box") == "C:ROLLBACK T D:2 C:SELECT 1 Z:I");
  CHECK(run(*one, "") == "I Z:I");
}

TEST_CASE_FIXTURE(SandboxFixture, "a deferred constraint fails the COMMIT, and that ends it") {
  const auto one = probe();
  run(*one, "create table box (a int unique deferrable initially deferred)");
  CHECK(run(*one, "begin; insert into box values (1); insert into box values (1)") ==
        "C:BEGIN C:INSERT 0 1 C:INSERT 0 1 Z:T");
  CHECK(run(*one, "commit") == "E:23505 Z:I");
  CHECK(run(*one, "select count(*) from box") == "T D:0 C:SELECT 1 Z:I");
  CHECK(run(*one, "insert into box values (1), (1)") == "E:23505 Z:I");
  CHECK(run(*one, "select count(*) from box") == "T D:0 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SandboxFixture, "two clients take turns, and one's failure is its own") {
  const auto one = probe();
  const auto two = probe();
  run(*one, "create table box (a int unique)");
  CHECK(run(*one, "begin; insert into box values (1)") == "C:BEGIN C:INSERT 0 1 Z:T");
  two->query("insert into box values (2)");
  CHECK(run(*one, "commit") == "C:COMMIT Z:I");
  run_until([&] { return two->ready() == 1; });
  CHECK(two->take() == "C:INSERT 0 1 Z:I");
  CHECK(run(*two, "begin; insert into box values (1)") == "C:BEGIN E:23505 Z:E");
  CHECK(run(*two, "rollback") == "C:ROLLBACK Z:I");
  CHECK(run(*one, "select count(*) from box") == "T D:2 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(SandboxFixture,
                  "COPY and settings work in a sandbox, and its resets are harmless") {
  const auto one = probe();
  run(*one, "create table box (a int)");
  one->query("copy box from stdin");
  run_until([&] { return one->received.size() > 5; });
  CHECK(one->take() == "G");
  std::string data = "d";
  data.append("\0\0\0\x06", 4).append("7\n");
  data.append("c\0\0\0\x04", 5);
  one->send_messages(data);
  run_until([&] { return one->ready() == 1; });
  CHECK(one->take() == "C:COPY 1 Z:I");
  CHECK(run(*one, "set work_mem to '3MB'") == "C:SET Z:I");
  CHECK(run(*one, "begin; set work_mem to '5MB'; rollback; show work_mem") ==
        "C:BEGIN C:SET C:ROLLBACK T D:3MB C:SHOW Z:I");
  CHECK(run(*one, "discard all") == "C:DISCARD ALL Z:I");
  CHECK(run(*one, "show work_mem") == "T D:4MB C:SHOW Z:I");
  CHECK(run(*one, "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;")
            .ends_with("C:CLOSE CURSOR ALL C:UNLISTEN C:RESET Z:I"));
  CHECK(run(*one, "select count(*) from box") == "T D:1 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(NestedFixture, "BEGIN pushes, COMMIT and ROLLBACK pop, beside real savepoints") {
  const auto one = probe();
  run(*one, "drop table if exists nest; create table nest (a int unique)");
  CHECK(run(*one, "begin") == "C:BEGIN Z:T");
  CHECK(run(*one, "insert into nest values (1)") == "C:INSERT 0 1 Z:T");
  CHECK(run(*one, "begin") == "C:BEGIN Z:T");
  CHECK(run(*one, "insert into nest values (2)") == "C:INSERT 0 1 Z:T");
  CHECK(run(*one, "savepoint s") == "C:SAVEPOINT Z:T");
  CHECK(run(*one, "insert into nest values (1)") == "E:23505 Z:E");
  CHECK(run(*one, "rollback to s") == "C:ROLLBACK Z:T");
  CHECK(extended(*one, {"begin", "insert into nest values (3)", "rollback"}) ==
        "1 2 n C:BEGIN 1 2 n C:INSERT 0 1 1 2 n C:ROLLBACK Z:T");
  CHECK(run(*one, "commit") == "C:COMMIT Z:T");
  CHECK(run(*one, "begin; select 1/0") == "C:BEGIN E:22012 Z:E");
  CHECK(run(*one, "commit") == "C:ROLLBACK Z:T");
  CHECK(run(*one, "commit") == "C:COMMIT Z:I");
  CHECK(run(*one, "commit") == "N:25P01 C:COMMIT Z:I");
  CHECK(run(*one, "select string_agg(a::text, ',') from nest") == "T D:1,2 C:SELECT 1 Z:I");
  CHECK(run(*one, "begin isolation level serializable; show transaction_isolation; rollback") ==
        "C:BEGIN T D:serializable C:SHOW C:ROLLBACK Z:I");
  CHECK(run(*one, "drop table nest") == "C:DROP TABLE Z:I");
}

}  // namespace based
