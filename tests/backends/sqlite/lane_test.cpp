// The queue in front of the lane: order, deadlines, leases that rest, readers that do not read.
#include <functional>

#include "fixture.h"

using namespace based;
using namespace based::test;
using std::chrono::milliseconds;

namespace {

struct Lanes : Fixture {
  void start(const std::function<void(SqliteOptions&)>& change = [](SqliteOptions&) {}) {
    auto made = options();
    change(made);
    open(made);
    one = client(SessionOptions{.session_id = 11, .label = "importer", .client = "127.0.0.1:9"});
    two = client();
    REQUIRE(one->sql("CREATE TABLE t(v)").ok());
  }
  static Unit with_deadline(const std::string& sql, Duration within) {
    auto unit = Client::unit_of(sql);
    unit.queue_deadline = Clock::now() + within;
    return unit;
  }
  const LaneStatus status() const { return database->status().lanes.front(); }
  std::unique_ptr<Client> one, two;
};

constexpr auto many_rows =
    "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 200000) "
    "SELECT i, 'some text to make it wide' FROM n";

}  // namespace

TEST_CASE_FIXTURE(Lanes, "units wait in order of arrival") {
  start();
  one->control("BEGIN IMMEDIATE");
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<int> order;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(client());
    clients.back()->when_done = [&order, i] { order.push_back(i); };
    clients.back()->begin_unit(Client::unit_of("INSERT INTO t VALUES(1)"));
  }
  CHECK(status().waiting == 8);
  CHECK(status().state == "leased");
  CHECK(status().holder == 11);
  one->control("COMMIT");
  REQUIRE(reactor.run_until([&] { return order.size() == 8; }));
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE_FIXTURE(Lanes, "who waits longer than his deadline hears who holds the lane") {
  start();
  one->control("BEGIN IMMEDIATE");
  one->sql("INSERT INTO   t\n VALUES('of the holder')");
  auto& reply = two->run(with_deadline("SELECT 1", milliseconds(60)));
  CHECK(reply.code() == "55P03");
  CHECK(reply.outcome.error->executed == Executed::no);
  CHECK(reply.outcome.error->retryable);
  CHECK(reply.outcome.phase == UnitPhase::queue);
  CAPTURE(reply.detail());
  CHECK(
      reply.detail().find("session 11 \"importer\" of 127.0.0.1:9, in a transaction, idle for ") !=
      std::string::npos);
  CHECK(reply.detail().find("INSERT INTO t VALUES('of the holder')") != std::string::npos);
  CHECK(one->control("COMMIT").ok());
  CHECK(two->sql("SELECT count(*) FROM t").value() == "1");
}

TEST_CASE_FIXTURE(Lanes, "a full queue refuses at once") {
  start([](auto& made) { made.waiting_max = 1; });
  one->control("BEGIN IMMEDIATE");
  two->begin_unit(Client::unit_of("SELECT 1"));
  auto three = client();
  CHECK(three->sql("SELECT 1").code() == "53300");
  one->control("COMMIT");
  CHECK(two->finish().ok());
}

TEST_CASE_FIXTURE(Lanes, "a waiting unit is cancelled at once and has not run") {
  start();
  one->control("BEGIN IMMEDIATE");
  two->begin_unit(Client::unit_of("INSERT INTO t VALUES(1)"));
  two->session().cancel("");
  auto& reply = two->finish();
  CHECK(reply.code() == "57014");
  CHECK(reply.outcome.error->executed == Executed::no);
  CHECK(status().waiting == 0);
  two->begin_unit(Client::unit_of("INSERT INTO t VALUES(2)"));
  two->close();
  CHECK(status().waiting == 0);
  one->control("COMMIT");
  CHECK(one->sql("SELECT count(*) FROM t").value() == "0");
}

TEST_CASE_FIXTURE(Lanes, "a resting lease is taken away only when somebody waits") {
  start([](auto& made) { made.idle_in_transaction = milliseconds(60); });
  one->control("BEGIN IMMEDIATE");
  one->sql("INSERT INTO t VALUES('lost')");
  reactor.run_for(milliseconds(200));
  CHECK(one->lost.empty());
  auto& reply = two->sql("SELECT count(*) FROM t");
  CHECK(reply.value() == "0");
  REQUIRE(one->lost.size() == 1);
  CHECK(one->lost[0].sqlstate == sqlstate::idle_in_transaction_session_timeout);
  CHECK(status().leases_expired == 1);
  CHECK(log.text().find("session 11 loses its transaction") != std::string::npos);
  CHECK(one->sql("SELECT 1").value() == "1");
}

TEST_CASE_FIXTURE(Lanes, "a session's own idle time replaces the database's") {
  start([](auto& made) { made.idle_in_transaction = milliseconds(20); });
  SessionOptions patient;
  patient.idle_in_transaction = std::chrono::seconds(30);
  auto three = client(patient);
  three->control("BEGIN IMMEDIATE");
  auto& reply = two->run(with_deadline("SELECT 1", milliseconds(150)));
  CHECK(reply.code() == "55P03");
  CHECK(three->lost.empty());
}

TEST_CASE_FIXTURE(Lanes, "a lease never rests longer than the cap") {
  start([](auto& made) {
    made.idle_in_transaction = milliseconds(10);
    made.idle_in_transaction_cap = milliseconds(80);
  });
  one->control("BEGIN IMMEDIATE");
  REQUIRE(reactor.run_until([&] { return !one->lost.empty(); }));
  CHECK(one->lost[0].sqlstate.text() == "25P03");
}

TEST_CASE_FIXTURE(Lanes, "a transaction has an end although it is busy") {
  start([](auto& made) { made.transaction_max = milliseconds(80); });
  one->control("BEGIN IMMEDIATE");
  one->sql("INSERT INTO t VALUES(1)");
  auto unit = Client::unit_of(
      "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n");
  unit.keep_lease = true;
  one->begin_unit(std::move(unit));
  auto& reply = one->finish();
  CHECK(reply.code() == "57014");
  REQUIRE(reactor.run_until([&] { return !one->lost.empty(); }));
  CHECK(two->sql("SELECT count(*) FROM t").value() == "0");
}

TEST_CASE_FIXTURE(Lanes, "what comes after a lost lease is refused until the session knows") {
  start([](auto& made) { made.idle_in_transaction = milliseconds(30); });
  one->control("BEGIN IMMEDIATE");
  two->begin_unit(Client::unit_of("SELECT 1"));
  // The lane takes the lease in one turn; this unit comes before the listener was told.
  bool sent = false;
  two->when_done = [&] {
    if (one->lost.empty()) {
      one->begin_unit(Client::unit_of("INSERT INTO t VALUES('leak')"));
      sent = true;
    }
  };
  two->finish();
  if (sent) {
    CHECK(one->finish().code() == "25P03");
    CHECK(one->reply.outcome.transaction == TransactionStatus::lost);
  }
  REQUIRE(reactor.run_until([&] { return !one->lost.empty(); }));
  CHECK(two->sql("SELECT count(*) FROM t").value() == "0");
}

TEST_CASE_FIXTURE(Lanes, "a reader that stops holds the lane, and loses when somebody waits") {
  start([](auto& made) { made.slow_reader = milliseconds(80); });
  one->pause_after = 10;
  one->begin_unit(Client::unit_of(many_rows));
  REQUIRE(reactor.run_until([&] { return one->rows_seen >= 10; }));
  reactor.run_for(milliseconds(200));
  CHECK_FALSE(one->done);
  CHECK(one->rows_seen == 10);
  auto& other = two->sql("SELECT 1");
  CHECK(other.ok());
  auto& slow = one->finish();
  CHECK(slow.code() == "57014");
  CHECK(slow.message().find("not read") != std::string::npos);
  CHECK(one->rows_seen == 10);
}

TEST_CASE_FIXTURE(Lanes, "a paused result goes on where it stopped, all rows once") {
  start();
  one->pause_after = 1;
  one->rows_kept = 0;
  one->begin_unit(Client::unit_of(many_rows));
  std::uint64_t seen = 0;
  while (!one->done) {
    REQUIRE(reactor.run_until([&] { return one->rows_seen > seen || one->done; }));
    seen = one->rows_seen;
    if (seen > 2000) one->pause_after = 0;
    one->session().resume();
  }
  CHECK(one->rows_seen == 200000);
  CHECK(one->reply.steps[0].rows_told == 200000);
}

TEST_CASE_FIXTURE(Lanes, "a result that is done holds the lane no longer than its last row") {
  start();
  one->pause_after = 1;
  one->begin_unit(Client::unit_of("SELECT 1 UNION ALL SELECT 2"));
  REQUIRE(reactor.run_until([&] { return one->rows_seen == 1; }));
  CHECK(two->sql("SELECT 3").value() == "3");
  CHECK_FALSE(one->done);
  SUBCASE("it is resumed") {
    one->pause_after = 0;
    one->session().resume();
    CHECK(one->finish().ok());
    CHECK(one->rows_seen == 2);
  }
  SUBCASE("it is cancelled: it has run, and its rows are not given") {
    one->session().cancel("");
    auto& reply = one->finish();
    CHECK(reply.code() == "57014");
    CHECK(reply.outcome.error->executed == Executed::yes);
    CHECK(one->rows_seen == 1);
  }
  SUBCASE("its session goes") { one->close(); }
}

TEST_CASE_FIXTURE(Lanes, "an error waits behind the rows in front of it, a cancel does not") {
  start();
  Unit unit = Client::unit_of("VALUES(1), (2), (3)");
  Unit failing = Client::unit_of("SELECT abs(-9223372036854775808)");
  unit.steps.push_back(std::move(failing.steps.front()));
  one->pause_after = 1;
  one->begin_unit(std::move(unit));
  REQUIRE(reactor.run_until([&] { return one->rows_seen == 1; }));
  CHECK(two->sql("SELECT 3").value() == "3");
  reactor.run_for(milliseconds(10));
  CHECK_FALSE(one->done);
  SUBCASE("it is resumed") {
    one->pause_after = 0;
    one->session().resume();
    CHECK(one->finish().code() == "22003");
    CHECK(one->rows_seen == 3);
    CHECK(one->reply.steps.front().tag == "SELECT");
  }
  SUBCASE("it is cancelled") {
    one->session().cancel("");
    CHECK(one->finish().code() == "22003");
    CHECK(one->rows_seen == 1);
  }
}

TEST_CASE_FIXTURE(Lanes, "a result that nobody takes stays within its limit") {
  start([](auto& made) { made.result_buffer_bytes = 256 * 1024; });
  one->pause_after = 1;
  one->begin_unit(Client::unit_of(many_rows));
  REQUIRE(reactor.run_until([&] { return one->rows_seen == 1; }));
  reactor.run_for(milliseconds(50));
  // It is still running: what fits is far less than the whole.
  CHECK(status().state == "running");
  one->session().cancel("");
  CHECK(one->finish().code() == "57014");
}

TEST_CASE_FIXTURE(Lanes, "a long statement stops neither the loop nor other databases") {
  start();
  auto made = options();
  made.name = "other";
  made.path = dir.file("other.db");
  auto opened = open_sqlite(made, reactor, log);
  REQUIRE(opened.ok());
  auto other = std::move(opened).value();
  {
    Client elsewhere{*other, reactor, {}};
    one->begin_unit(Client::unit_of(
        "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"));
    for (int i = 0; i < 20; ++i) CHECK(elsewhere.sql("SELECT 1").ok());
    CHECK_FALSE(one->done);
    one->session().cancel("");
    CHECK(one->finish().code() == "57014");
  }
}

TEST_CASE_FIXTURE(Lanes, "shut_down ends what is left and reports nothing for a plain database") {
  start();
  one->control("BEGIN IMMEDIATE");
  one->sql("INSERT INTO t VALUES(1)");
  one->close();
  two->close();
  CHECK(shut_down().empty());
  CHECK(dir.names() == std::vector<std::string>{"main.db"});
  open(options());
  one = client();
  CHECK(one->sql("SELECT count(*) FROM t").value() == "0");
}

TEST_CASE_FIXTURE(Lanes, "a Database may be destroyed while its lane is busy") {
  start();
  one->begin_unit(Client::unit_of(
      "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"));
  two->begin_unit(Client::unit_of("SELECT 1"));
  reactor.run_for(milliseconds(10));
  one->close();
  two->close();
  database.reset();
  reactor.run_for(milliseconds(10));
  CHECK_FALSE(one->done);
}
