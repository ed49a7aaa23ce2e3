// What a pool counts, under a hand-cranked clock: exact times, and each event once.
#include "backends/postgres/pool.h"
#include "tests/backends/postgres/pool_fixture.h"

namespace based::postgres {
namespace {

using namespace std::chrono_literals;

// What is counted, in one comparable line.
struct Counted {
  explicit Counted(const PoolStatus& status)
      : requests(std::to_string(status.requests_num) + " queued " +
                 std::to_string(status.requests_queued) + " waited " +
                 std::to_string(status.requests_wait_ms) + " errors " +
                 std::to_string(status.requests_errors)),
        usage(std::to_string(status.usage_ms) + " bad " + std::to_string(status.returns_bad)),
        connections(std::to_string(status.connections_num) + " took " +
                    std::to_string(status.connections_ms) + " errors " +
                    std::to_string(status.connections_errors) + " lost " +
                    std::to_string(status.connections_lost)) {}
  std::string requests, usage, connections;
};

}  // namespace

TEST_CASE("a pool counts its requests, their waiting, the links' use and their opening") {
  PoolSettings settings = small_pool(1);
  settings.max_waiting = 2;
  PoolFixture pool(std::move(settings));
  const auto counted = [&] { return Counted(pool.pool.status()); };
  CHECK(counted().requests == "0 queued 0 waited 0 errors 0");
  CHECK(counted().usage == "0 bad 0");
  CHECK(counted().connections == "0 took 0 errors 0 lost 0");

  SessionProbe holder(pool), second(pool), third(pool), fourth(pool);
  pool.submit(holder, "BEGIN", true);
  pool.reactor.advance(40ms);  // the attempt takes as long
  pool.cluster.settle_all();
  CHECK(counted().connections == "1 took 40 errors 0 lost 0");
  CHECK(counted().requests == "1 queued 1 waited 40 errors 0");

  pool.reactor.advance(100ms);
  pool.submit(second, "two");
  pool.reactor.advance(200ms);
  pool.submit(third, "three");
  pool.submit(fourth, "four");  // max_waiting
  REQUIRE(pool.reactor.settle());
  CHECK(fourth.sqlstate() == "53300");
  CHECK(counted().requests == "4 queued 3 waited 40 errors 1");
  pool.reactor.advance(300ms);
  third.session().cancel("gone");  // after 300 ms
  CHECK(counted().requests == "4 queued 3 waited 340 errors 2");
  CHECK(counted().usage == "0 bad 0");  // it counts when a link comes back
  pool.run(holder, "COMMIT");           // second waited 500 ms, the link was used for 600
  CHECK(second.done());
  CHECK(counted().requests == "4 queued 3 waited 840 errors 2");
  CHECK(counted().usage == "600 bad 0");

  pool.run(holder, "BEGIN", true);  // at once: it is not queued
  CHECK(counted().requests == "5 queued 3 waited 840 errors 2");
  pool.reactor.advance(50ms);
  pool.cluster.refusal = Error::make(sqlstate::cannot_connect, "Connection refused");
  pool.cluster.servers[0]->die("terminating connection");
  pool.cluster.settle_all();
  CHECK(counted().usage == "650 bad 1");
  CHECK(counted().connections == "1 took 40 errors 0 lost 1");
}

TEST_CASE("an attempt that fails is an error of its own and takes no time; a timeout counts once") {
  PoolFixture pool(small_pool(1));
  const auto counted = [&] { return Counted(pool.pool.status()); };
  pool.cluster.refusal = Error::make(sqlstate::invalid_password, "wrong password");
  SessionProbe probe(pool);
  pool.submit(probe, "SELECT");
  pool.reactor.advance(70ms);
  pool.cluster.settle_all();
  CHECK(probe.sqlstate() == "28P01");
  CHECK(counted().connections == "1 took 0 errors 1 lost 0");
  CHECK(counted().requests == "1 queued 1 waited 70 errors 1");
  pool.run(probe, "SELECT");  // answered from memory
  CHECK(probe.sqlstate() == "28P01");
  CHECK(counted().connections == "1 took 0 errors 1 lost 0");
  CHECK(counted().requests == "2 queued 1 waited 70 errors 2");

  pool.cluster.refusal.reset();
  pool.reactor.advance(1s);
  SessionProbe waiter(pool);
  pool.run(probe, "BEGIN", true);
  CHECK(counted().connections == "2 took 0 errors 1 lost 0");
  pool.submit(waiter, "SELECT");
  pool.reactor.advance(31s);
  CHECK(waiter.sqlstate() == "53300");
  CHECK(counted().requests == "4 queued 3 waited 30070 errors 3");
  pool.run(probe, "COMMIT");
  CHECK(counted().usage == "31000 bad 0");
}

}  // namespace based::postgres
