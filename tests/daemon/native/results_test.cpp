// Rows: frames, credit, slow readers, cancel.
#include "protocol/native/rows_writer.h"
#include "tests/daemon/native/native_fixture.h"

using namespace based;
using namespace based::native;

namespace {

struct Fixture {
  explicit Fixture(FakeDatabase::Options options = {}, NativeLimits limits = {},
                   std::uint32_t frame_bytes_max = 0)
      : daemon(std::move(options), limits), c(daemon, true, frame_bytes_max) {
    c.open(1);
    c.run();
  }
  std::uint32_t with_credit(std::string_view sql, std::uint64_t credit) {
    RunOptions options;
    options.credit = credit;
    return c.exec(1, sql, 0, options);
  }
  FakeDatabase& db() { return *daemon.database; }

  Daemon daemon;
  Client c;
};

}  // namespace

TEST_CASE("with a credit of one each row waits for its FETCH") {
  for (const int overrun : {0, 1, 5}) {
    CAPTURE(overrun);
    Fixture f;
    f.db().overrun = overrun;
    const auto request = f.with_credit("select 3", 1);
    CHECK(f.c.run() == Lines{"#3 COLS n", "#3 ROWS 1"});
    CHECK(f.c.run() == Lines{});
    f.c.fetch(1, request, 1);
    CHECK(f.c.run() == Lines{"#4 END idle found", "#3 ROWS 2"});
    f.c.fetch(1, request, 1);
    f.c.fetch(1, request, 1);
    const Lines rest = f.c.run();
    CHECK(f.c.answers_to(request, rest) == Lines{"ROWS 3", "END idle [SELECT 3]"});
    f.c.fetch(1, request, 1);
    CHECK(f.c.run() == Lines{"#7 END idle not found"});
  }
}

TEST_CASE("credit counts the rows of the request, whatever their step") {
  for (const int overrun : {0, 2, 100}) {
    CAPTURE(overrun);
    Fixture f;
    f.db().overrun = overrun;
    const auto request = f.with_credit("begin; select 2; select 3; commit", 3);
    CHECK(f.c.run() == Lines{"#3 COLS.1 n", "#3 ROWS.1 1 2", "#3 COLS.2 n", "#3 ROWS.2 1"});
    f.c.fetch(1, request, 100);
    CHECK(f.c.run() == Lines{"#4 END open/1 found", "#3 ROWS.2 2 3",
                             "#3 END idle [BEGIN, SELECT 2, SELECT 3, COMMIT]"});
  }
}

TEST_CASE("FETCH 0 discards the rest and ends the request, which says truncated") {
  for (const int overrun : {0, 3}) {
    Fixture f;
    f.db().overrun = overrun;
    const auto request = f.with_credit("select 100; insert a; select 2", 2);
    f.c.run();
    f.c.fetch(1, request, 0);
    CHECK(f.c.run() == Lines{"#4 END idle found", "#3 COLS.2 n",
                             "#3 END idle [SELECT 2 truncated, INSERT +1, SELECT truncated]"});
    CHECK(f.db().committed == Lines{"a"});
  }
}

TEST_CASE("FETCH may come before the request has begun") {
  Fixture f;
  f.db().queue_closed = true;
  f.c.exec(1, "insert a");
  const auto request = f.with_credit("select 5", 1);
  f.c.fetch(1, request, 2);
  CHECK(f.c.run() == Lines{"#5 END idle found"});
  f.db().open_queue();
  CHECK(f.c.run() == Lines{"#3 END idle [INSERT +1]", "#4 COLS n", "#4 ROWS 1 2 3"});
  f.c.fetch(1, request, INT64_MAX);
  f.c.fetch(1, request, INT64_MAX);
  f.c.fetch(1, request, INT64_MAX);
  CHECK(f.c.answers_to(request, f.c.run()) == Lines{"ROWS 4 5", "END idle [SELECT 5]"});
}

TEST_CASE("an error does not wait until the client asks for rows") {
  Fixture f;
  f.db().overrun = 2;
  f.with_credit("begin; select 5", 1);
  f.c.run();
  f.c.cancel(1, {.request = 3});
  CHECK(f.c.run() == Lines{"#4 END open/1 found", "#3 ERROR 57014 failed/1 step=1 [BEGIN]"});
}

TEST_CASE("rows travel in frames of about 64 KiB, cut between rows") {
  Fixture f;
  f.c.exec(1, "select 100000");
  const Lines lines = f.c.run();
  CHECK(lines.size() > 5);
  CHECK(lines.back() == "#3 END idle [SELECT 100000]");
  std::size_t largest = 0;
  std::size_t place = preface_bytes;
  const std::string& sent = f.c.transport().sent;
  while (place < sent.size()) {
    const FrameHeader header = decode_header(sent.data() + place);
    largest = std::max<std::size_t>(largest, header.payload_bytes);
    place += header_bytes + header.payload_bytes;
  }
  CHECK(largest < rows_frame_bytes + 100);
}

TEST_CASE("a client that does not read pauses its result, and nothing piles up") {
  NativeLimits limits;
  limits.output_bytes = 256 << 10;
  Fixture f({}, limits);
  f.c.transport().stalled = true;
  f.c.exec(1, "select 1000000");
  f.c.run();
  CHECK(f.c.transport().unsent() < limits.output_bytes + 2 * rows_frame_bytes);
  CHECK(f.db().busy());
  f.c.ping();  // it is heard all the same
  const Lines heard = f.c.run();
  CHECK(f.c.answers_to(f.c.last_request(), heard).size() == 1);
  int turns = 0;
  Lines lines;
  while (f.db().busy() && ++turns < 1000) {
    f.c.transport().take_all();
    lines = f.c.run();
    CHECK(f.c.transport().unsent() < limits.output_bytes + 2 * rows_frame_bytes);
  }
  CHECK(lines.back() == "#3 END idle [SELECT 1000000]");
}

TEST_CASE("one session's slow reader does not stop what another asks for") {
  NativeLimits limits;
  limits.output_bytes = 64 << 10;
  Fixture f({}, limits);
  f.c.open(2);
  f.with_credit("select 100", 1);
  f.c.run();
  f.c.exec(2, "insert a");
  CHECK(f.c.run().back() == "#5 END idle [INSERT +1]");
}

TEST_CASE("a row larger than the client takes costs its request only") {
  Fixture f({}, {}, client_payload_min);
  f.c.exec(1, "select 1; big 70000; insert a");
  CHECK(f.c.run() ==
        Lines{"#3 COLS n", "#3 ROWS 1", "#3 COLS.1 n", "#3 ERROR 54000 idle step=1 [SELECT 1]"});
  f.c.exec(1, "begin; big 70000");
  CHECK(f.c.run().back() == "#4 ERROR 54000 failed/1 step=1 [BEGIN]");
  f.c.exec(1, "rollback; big 60000");
  CHECK(f.c.run().back() == "#5 END idle [ROLLBACK, SELECT 1]");
}

TEST_CASE("a larger single row makes a larger frame where the client takes it") {
  Fixture f;
  f.c.exec(1, "big 1000000");
  CHECK(f.c.run() == Lines{"#3 COLS n", "#3 ROWS <1000000>", "#3 END idle [SELECT 1]"});
}

TEST_CASE("results larger than the client takes become an error that it can take") {
  Fixture f({}, {}, client_payload_min);
  f.db().fault = [](UnitPhase, std::string_view) -> std::optional<Error> {
    return Error::make(sqlstate::unique_violation, std::string(100'000, 'x'))
        .with_detail(std::string(100'000, 'y'));
  };
  f.c.exec(1, "select 1");
  CHECK(f.c.run() == Lines{"#3 ERROR 23505 idle"});
  f.c.batch(1, {{"insert a"}, {"insert b"}}, false);
  CHECK(f.c.run() == Lines{"#4 ERROR 54000 idle executed"});
}

TEST_CASE("max_rows cuts each step and says so") {
  Fixture f;
  RunOptions options;
  options.max_rows = 2;
  f.c.exec(1, "select 5; select 2", 0, options);
  CHECK(f.c.run().back() == "#3 END idle [SELECT 2 truncated, SELECT 2]");
}

TEST_CASE("cancel of a waiting request answers it at once, and its place in the chain has failed") {
  Fixture f;
  f.c.exec(1, "slow");
  f.c.exec(1, "insert a");
  f.c.exec(1, "insert b", flags::chain);
  f.c.run();
  f.c.cancel(1, {.request = 4});
  CHECK(f.c.run() == Lines{"#4 ERROR 57014 idle", "#6 END idle found"});
  f.db().run_on();
  CHECK(f.c.run() == Lines{"#3 END idle [SLOW]", "#5 ERROR 25S01 idle"});
  CHECK(f.db().committed.empty());
}

TEST_CASE("cancel of a running request ends it, and in a transaction fails the level") {
  for (const Dialect dialect : {Dialect::postgres, Dialect::sqlite}) {
    Fixture f({.dialect = dialect});
    f.c.exec(1, "slow");
    f.c.run();
    f.c.cancel(0, {.request = 3});
    CHECK(f.c.run() == Lines{"#4 END idle found", "#3 ERROR 57014 idle"});
    f.c.exec(1, "begin; slow");
    f.c.run();
    f.c.cancel(1, {.request = 0});
    CHECK(f.c.run() == Lines{"#6 END open/1 found", "#5 ERROR 57014 failed/1 step=1 [BEGIN]"});
    f.c.exec(1, "rollback");
    CHECK(f.c.run() == Lines{"#7 END idle [ROLLBACK]"});
  }
}

TEST_CASE("cancel while a unit waits for its turn leaves the level as it is") {
  Fixture f;
  f.c.tx(1, TxOp::begin);
  f.db().queue_closed = true;
  f.c.exec(1, "insert a");
  f.c.run();
  f.c.cancel(1, {.request = 4});
  CHECK(f.c.run() == Lines{"#5 END open/1 found", "#4 ERROR 57014 open/1"});
  f.db().open_queue();
  f.c.exec(1, "insert b; commit");
  CHECK(f.c.run() == Lines{"#6 END idle [INSERT +1, COMMIT]"});
  CHECK(f.db().committed == Lines{"b"});
}

TEST_CASE("cancel 0 means the session's, and with session 0 everybody's of the connection") {
  Fixture f;
  f.c.open(2);
  f.c.exec(1, "slow");
  f.c.exec(2, "slow");
  f.c.exec(2, "insert a");
  f.c.run();
  f.c.cancel(1, {.request = 0});
  CHECK(f.c.run() == Lines{"#7 END idle found", "#4 ERROR 57014 idle"});
  f.c.cancel(0, {.request = 0});
  CHECK(f.c.run() == Lines{"#6 ERROR 57014 idle", "#8 END idle found", "#5 ERROR 57014 idle"});
  f.c.cancel(0, {.request = 0});
  CHECK(f.c.run() == Lines{"#9 END idle not found"});
}

TEST_CASE("a cancelled script does not go on with its next step, not even with stop false") {
  Fixture f;
  f.c.exec(1, "slow; insert a");
  f.c.run();
  f.c.cancel(1, {.request = 3});
  CHECK(f.c.run() == Lines{"#4 END idle found", "#3 ERROR 57014 idle step=0"});
  f.c.batch(1, {{"slow"}, {"insert b"}}, false);
  f.c.run();
  f.c.cancel(1, {.request = 5});
  CHECK(f.c.run() == Lines{"#6 END idle found", "#5 ERROR 57014 idle step=0"});
  CHECK(f.db().committed.empty());
}

TEST_CASE("a cancelled result never ends as if it were whole") {
  for (const int overrun : {0, 1, 100}) {
    CAPTURE(overrun);
    Fixture f;
    f.db().overrun = overrun;
    f.with_credit("select 5", 2);
    f.c.run();
    f.c.cancel(1, {.request = 3});
    const Lines lines = f.c.answers_to(3, f.c.run());
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].substr(0, 16) == "ERROR 57014 idle");
  }
}

TEST_CASE("a lease lost while rows are held leaves the rows and aborts the transaction") {
  Fixture f;
  f.db().overrun = 100;
  const auto request = f.with_credit("begin; select 3", 1);
  f.c.run();
  f.db().lose_leases(Error::make(sqlstate::connection_failure, "gone"));
  CHECK(f.c.run() == Lines{"NOTICE transaction_lost 08006 aborted/1"});
  f.c.fetch(1, request, 10);
  CHECK(f.c.run() ==
        Lines{"#4 END aborted/1 found", "#3 ROWS.1 2 3", "#3 END aborted/1 [BEGIN, SELECT 3]"});
  f.c.tx(1, TxOp::rollback_all);
  CHECK(f.c.run() == Lines{"#5 END idle"});
}

TEST_CASE("rows that come slowly are not kept until a frame is full") {
  Fixture f;
  f.c.exec(1, "begin; select 2; slow");
  CHECK(f.c.run() == Lines{"#3 COLS.1 n", "#3 ROWS.1 1 2"});
  f.db().run_on();
  f.c.run();
}
