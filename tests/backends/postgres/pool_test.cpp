#include "backends/postgres/pool.h"

#include "tests/backends/postgres/pool_fixture.h"

namespace based::postgres {
namespace {

using namespace std::chrono_literals;
using Probe = std::unique_ptr<SessionProbe>;

}  // namespace

TEST_CASE("links are opened when they are needed, one at a time, up to max_size") {
  PoolFixture pool(small_pool(3));
  CHECK(pool.cluster.attempts == 0);
  std::vector<Probe> probes;
  for (int i = 0; i < 10; ++i) {
    probes.push_back(std::make_unique<SessionProbe>(pool));
    pool.submit(*probes.back(), "sleep");
  }
  CHECK(pool.reactor.off_loop_jobs() == 1);
  for (int i = 0; i < 5; ++i) {
    if (pool.reactor.off_loop_jobs() > 0) pool.reactor.run_off_loop_job();
    pool.cluster.settle();
  }
  CHECK(pool.cluster.attempts == 3);
  CHECK(pool.pool.status().leased == 3);
  CHECK(pool.pool.status().requests_waiting == 7);
  probes.clear();
  pool.cluster.settle_all();
  CHECK(pool.pool.status().pool_available == 3);
  CHECK(pool.pool.status().requests_waiting == 0);
}

TEST_CASE("a freed link goes to the oldest waiter, and a waiter that gave up is passed over") {
  PoolFixture pool(small_pool(1));
  SessionProbe holder(pool), first(pool), second(pool), third(pool);
  pool.run(holder, "BEGIN", true);
  std::string order;
  pool.submit(first, "one");
  pool.submit(second, "two");
  pool.submit(third, "three");
  first.then = [&] { order += "1"; };
  third.then = [&] { order += "3"; };
  second.session().cancel("gone");
  pool.run(holder, "COMMIT");
  CHECK(order == "13");
  CHECK(second.sqlstate() == "57014");
  CHECK(second.outcome->error->executed == Executed::no);
  CHECK(pool.cluster.servers[0]->texts ==
        std::vector<std::string>{"BEGIN", "COMMIT", "one", "three"});
}

TEST_CASE("the newest used link is taken first, so that the surplus goes after max_idle") {
  PoolSettings settings = small_pool(4);
  settings.max_idle = 10s;
  settings.min_size = 1;
  PoolFixture pool(std::move(settings));
  std::vector<Probe> probes;
  for (int i = 0; i < 4; ++i) {
    probes.push_back(std::make_unique<SessionProbe>(pool));
    pool.run(*probes.back(), "BEGIN", true);
  }
  for (const Probe& probe : probes) pool.run(*probe, "COMMIT");
  CHECK(pool.cluster.alive() == 4);
  for (int i = 0; i < 20; ++i) {
    pool.reactor.advance(1s);
    pool.run(*probes[0], "SELECT");
  }
  CHECK(pool.cluster.alive() == 1);
  CHECK(pool.pool.status().pool_size == 1);
  pool.reactor.advance(1h);
  pool.cluster.settle_all();
  CHECK(pool.pool.status().pool_size == 1);
  CHECK(pool.pool.status().connections_lost == 0);
}

TEST_CASE("a link ends with its lifetime, while it rests and when it comes back, never in use") {
  PoolSettings settings = small_pool(1);
  settings.max_lifetime = 60s;
  PoolFixture pool(std::move(settings));
  SessionProbe probe(pool);
  pool.run(probe, "SELECT");
  pool.reactor.advance(61s);
  pool.cluster.settle_all();
  CHECK(pool.cluster.alive() == 0);
  pool.run(probe, "BEGIN", true);
  pool.reactor.advance(59s);
  pool.reactor.advance(0s);
  CHECK(pool.cluster.alive() == 1);
  pool.reactor.advance(500ms);
  pool.run(probe, "again", true);
  CHECK(probe.sqlstate() == "");
  pool.reactor.advance(10s);
  pool.run(probe, "COMMIT");
  pool.cluster.settle_all();
  CHECK(pool.cluster.alive() == 0);
}

TEST_CASE("links that were opened together end one by one, at 95 to 100 % of their lifetime") {
  PoolSettings settings = small_pool(8);
  settings.max_lifetime = 100s;
  settings.seed = 1;
  PoolFixture pool(std::move(settings));
  std::vector<Probe> probes;
  for (std::size_t i = 0; i < 8; ++i) {
    probes.push_back(std::make_unique<SessionProbe>(pool));
    pool.run(*probes.back(), "BEGIN", true);
  }
  for (const Probe& probe : probes) pool.run(*probe, "COMMIT");
  pool.reactor.advance(94'999ms);
  pool.cluster.settle_all();
  REQUIRE(pool.cluster.alive() == 8);
  std::size_t ticks_with_an_end = 0;
  for (int tick = 0; tick <= 50; ++tick) {
    const std::size_t before = pool.cluster.alive();
    pool.reactor.advance(tick == 0 ? 1ms : 100ms);
    pool.cluster.settle_all();
    if (pool.cluster.alive() < before) ++ticks_with_an_end;
  }
  CHECK(pool.cluster.alive() == 0);
  CHECK(ticks_with_an_end >= 4);
}

TEST_CASE(
    "a link that rested long is asked before it is used, and one that is silent is replaced") {
  PoolSettings settings = small_pool(1);
  settings.check_interval = 30s;
  PoolFixture pool(std::move(settings));
  SessionProbe probe(pool);
  pool.run(probe, "SELECT");
  pool.reactor.advance(31s);
  pool.run(probe, "SELECT");
  CHECK(pool.cluster.servers[0]->texts == std::vector<std::string>{"SELECT", "", "SELECT"});
  pool.reactor.advance(31s);
  pool.cluster.servers[0]->silent = true;
  pool.submit(probe, "SELECT");
  pool.cluster.settle_all();
  CHECK_FALSE(probe.done());
  pool.reactor.advance(5s);
  pool.cluster.settle_all();
  CHECK(probe.sqlstate() == "");
  CHECK(probe.done());
  CHECK(pool.pool.status().connections_lost == 1);
}

TEST_CASE("an idle link whose server died is gone at once, and nobody hears of it") {
  PoolFixture pool(small_pool(2));
  SessionProbe probe(pool);
  pool.run(probe, "SELECT");
  pool.cluster.servers[0]->die("terminating connection");
  pool.reactor.advance(2ms);
  pool.run(probe, "SELECT");
  CHECK(probe.sqlstate() == "");
  CHECK(pool.cluster.attempts == 2);
  CHECK(pool.pool.status().connections_lost == 1);
}

TEST_CASE(
    "a full server is asked again with growing pauses, while waiters wait for their deadline") {
  PoolFixture pool(small_pool(1));
  pool.cluster.refusal = Error::make(sqlstate::too_many_connections, "too many clients");
  SessionProbe probe(pool);
  pool.submit(probe, "SELECT");
  for (int i = 0; i < 29; ++i) {
    pool.cluster.settle_all();
    pool.reactor.advance(1s);
  }
  CHECK_FALSE(probe.done());
  CHECK(pool.cluster.attempts > 4);
  CHECK(pool.cluster.attempts < 12);
  pool.reactor.advance(2s);
  pool.cluster.settle_all();
  CHECK(probe.sqlstate() == "53300");
  CHECK(probe.outcome->error->message.find("too many clients") != std::string::npos);
  pool.cluster.refusal.reset();
  pool.submit(probe, "SELECT");
  pool.reactor.advance(12s);
  pool.cluster.settle_all();
  CHECK(probe.sqlstate() == "");
  CHECK(probe.done());
}

TEST_CASE("a server that cannot be reached is 08001 at the waiter's deadline, with the reason") {
  PoolFixture pool(small_pool(1));
  pool.cluster.refusal = Error::make(sqlstate::cannot_connect, "Connection refused");
  SessionProbe probe(pool);
  pool.submit(probe, "SELECT");
  for (int i = 0; i < 31; ++i) {
    pool.cluster.settle_all();
    pool.reactor.advance(1s);
  }
  CHECK(probe.sqlstate() == "08001");
  CHECK(probe.outcome->error->message.find("Connection refused") != std::string::npos);
  CHECK(probe.outcome->error->retryable);
}

TEST_CASE("a server that does not answer the first attempt in time is 08001, not a lack of links") {
  PoolFixture pool(small_pool(1));
  SessionProbe probe(pool);
  pool.submit(probe, "SELECT");
  pool.reactor.advance(31s);  // nobody runs the attempt
  CHECK(probe.sqlstate() == "08001");
  CHECK(probe.outcome->error->message.find("has not answered yet") != std::string::npos);
  CHECK(probe.outcome->error->retryable);
  pool.cluster.settle_all();
  pool.run(probe, "SELECT");
  CHECK(probe.sqlstate() == "");
}

TEST_CASE("after reconnect_timeout requests fail at once, until the server is back") {
  PoolSettings settings = small_pool(1);
  settings.reconnect_timeout = 60s;
  PoolFixture pool(std::move(settings));
  pool.cluster.refusal = Error::make(sqlstate::cannot_connect, "Connection refused");
  SessionProbe probe(pool);
  for (int i = 0; i < 100; ++i) {
    if (!probe.outcome || probe.done()) pool.submit(probe, "SELECT");
    for (int s = 0; s < 32 && !probe.done(); ++s) {
      pool.cluster.settle_all();
      pool.reactor.advance(1s);
    }
  }
  pool.submit(probe, "SELECT");
  pool.cluster.settle_all();
  CHECK(probe.sqlstate() == "08001");  // without waiting
  pool.cluster.refusal.reset();
  pool.reactor.advance(12s);
  pool.submit(probe, "SELECT");  // this one makes the pool look
  pool.cluster.settle_all();
  pool.submit(probe, "SELECT");
  pool.cluster.settle_all();
  CHECK(probe.sqlstate() == "");
}

TEST_CASE("a wrong password fails every waiter at once, and is not tried for each of them") {
  PoolFixture pool(small_pool(5));
  pool.cluster.refusal = Error::make(sqlstate::invalid_password, "password authentication failed");
  std::vector<Probe> probes;
  for (int i = 0; i < 20; ++i) {
    probes.push_back(std::make_unique<SessionProbe>(pool));
    pool.submit(*probes.back(), "SELECT");
  }
  pool.cluster.settle_all();
  for (const Probe& probe : probes) CHECK(probe->sqlstate() == "28P01");
  pool.run(*probes[0], "SELECT");
  CHECK(probes[0]->sqlstate() == "28P01");
  CHECK(pool.cluster.attempts == 1);
  pool.cluster.refusal.reset();
  pool.reactor.advance(1s);
  pool.run(*probes[0], "SELECT");
  CHECK(probes[0]->sqlstate() == "");
}

TEST_CASE("init SQL that fails is the error of those who wait") {
  PoolSettings settings = small_pool(1);
  settings.init_texts = {"SELECT", "syntax error"};
  PoolFixture pool(std::move(settings));
  SessionProbe probe(pool);
  pool.run(probe, "SELECT");
  CHECK(probe.sqlstate() == "42601");
  CHECK(pool.cluster.alive() == 0);
}

TEST_CASE("min_size links are opened without being asked for, and opened again when they die") {
  PoolSettings settings = small_pool(5);
  settings.min_size = 3;
  PoolFixture pool(std::move(settings));
  pool.cluster.settle_all();
  CHECK(pool.cluster.alive() == 3);
  pool.cluster.servers[1]->die();
  pool.cluster.settle_all();
  CHECK(pool.cluster.alive() == 3);
  CHECK(pool.pool.status().pool_available == 3);
}

TEST_CASE("a server that speaks nonsense loses its link, not somebody else's rows") {
  PoolFixture pool(small_pool(1));
  SessionProbe probe(pool);
  pool.submit(probe, "sleep");
  pool.cluster.settle_all();
  pool.cluster.servers[0]->garble();
  pool.cluster.settle_all();
  CHECK(probe.sqlstate() == "08006");
  CHECK(probe.outcome->error->executed == Executed::unknown);
  CHECK(pool.cluster.servers[0]->closed_by_peer);
}

TEST_CASE("a lost link in a COMMIT is 08007, before it 08006, and says what may have run") {
  PoolFixture pool(small_pool(1));
  SessionProbe probe(pool);
  pool.run(probe, "BEGIN", true);
  pool.cluster.servers[0]->on_execute = [&](const std::string& text) {
    if (text == "COMMIT") pool.cluster.servers[0]->die();
  };
  pool.run(probe, "COMMIT");
  CHECK(probe.sqlstate() == "08007");
  CHECK(probe.outcome->error->executed == Executed::unknown);
  CHECK(probe.outcome->transaction == TransactionStatus::lost);
  CHECK_FALSE(probe.outcome->lease_held);
  pool.run(probe, "BEGIN", true);
  pool.cluster.servers[1]->die("terminating connection");
  pool.cluster.settle_all();
  REQUIRE(probe.lease_lost);
  CHECK(probe.lease_lost->sqlstate.text() == "08006");
}

TEST_CASE("a COMMIT that the server answers with ROLLBACK is 40000, and nothing is left open") {
  PoolFixture pool(small_pool(1));
  SessionProbe probe(pool);
  pool.run(probe, "BEGIN", true);
  const auto commit = [&pool, &probe] {
    Unit unit;
    unit.envelope.epilogue = {statement_of("COMMIT", StatementKind::commit)};
    probe.submit(std::move(unit));
    pool.cluster.settle_all();
  };
  pool.cluster.servers[0]->fails_silently = true;
  commit();
  CHECK(probe.sqlstate() == "40000");
  CHECK(probe.outcome->error->scope == ErrorScope::transaction);
  CHECK(probe.outcome->error->executed == Executed::no);
  CHECK(probe.outcome->phase == UnitPhase::epilogue);
  CHECK(probe.outcome->transaction == TransactionStatus::idle);
  CHECK_FALSE(probe.outcome->lease_held);
  pool.cluster.servers[0]->fails_silently = false;
  pool.run(probe, "BEGIN", true);
  commit();
  CHECK(probe.sqlstate().empty());
}

TEST_CASE("a cancel that comes before the statement was read is sent again until it strikes") {
  PoolFixture pool(small_pool(1));
  SessionProbe probe(pool);
  pool.run(probe, "SELECT");
  FakeServer& server = *pool.cluster.servers[0];
  server.silent = true;
  pool.submit(probe, "sleep");
  probe.session().cancel("enough");
  pool.reactor.run_off_loop_jobs();  // too early: nothing runs yet
  CHECK(server.cancels == 1);
  server.silent = false;
  pool.cluster.settle();
  CHECK_FALSE(probe.done());
  pool.reactor.advance(50ms);
  pool.cluster.settle_all();
  CHECK(server.cancels == 2);
  CHECK(probe.sqlstate() == "57014");
  CHECK(probe.outcome->error->message == "enough");
}

TEST_CASE("while a cancel is in flight the link is nobody's, though its unit has ended") {
  PoolFixture pool(small_pool(1));
  SessionProbe probe(pool), next(pool);
  pool.run(probe, "SELECT");
  pool.submit(probe, "sleep");
  pool.cluster.settle();
  pool.cluster.servers[0]->cancel();  // it ends by itself, as it were
  probe.session().cancel("late");
  pool.submit(next, "next");
  pool.cluster.settle();
  CHECK_FALSE(probe.done());
  CHECK_FALSE(next.done());
  pool.cluster.settle_all();
  CHECK(probe.done());
  CHECK(next.done());
  CHECK(next.sqlstate() == "");
}

TEST_CASE("a server that answers neither a statement nor its cancel loses its link in time") {
  PoolFixture pool(small_pool(1));
  SessionProbe probe(pool);
  pool.run(probe, "SELECT");
  pool.cluster.servers[0]->silent = true;
  pool.submit(probe, "SELECT");
  probe.session().cancel("enough");
  pool.cluster.settle_all();
  CHECK_FALSE(probe.done());
  pool.reactor.advance(6s);
  CHECK(probe.sqlstate() == "57014");
  CHECK(probe.outcome->error->executed == Executed::unknown);
}

TEST_CASE("an abandoned transaction is rolled back before the link is anybody else's") {
  PoolFixture pool(small_pool(1));
  auto gone = std::make_unique<SessionProbe>(pool);
  SessionProbe next(pool);
  pool.run(*gone, "BEGIN", true);
  pool.submit(next, "next");
  gone.reset();
  pool.cluster.settle_all();
  CHECK(pool.cluster.servers[0]->texts == std::vector<std::string>{"BEGIN", "ROLLBACK", "next"});
}

TEST_CASE("an abandoned statement is cancelled, drained and rolled back, or its link is closed") {
  PoolFixture pool(small_pool(1));
  auto gone = std::make_unique<SessionProbe>(pool);
  SessionProbe next(pool);
  pool.run(*gone, "BEGIN", true);
  pool.submit(*gone, "sleep", true);
  pool.cluster.settle();
  gone.reset();
  pool.run(next, "next");
  CHECK(pool.cluster.attempts == 1);
  CHECK(pool.cluster.servers[0]->texts ==
        std::vector<std::string>{"BEGIN", "sleep", "ROLLBACK", "next"});
  auto silent = std::make_unique<SessionProbe>(pool);
  pool.submit(*silent, "sleep");
  pool.cluster.settle();
  pool.cluster.servers[0]->silent = true;
  silent.reset();
  pool.submit(next, "next");
  pool.cluster.settle_all();
  pool.reactor.advance(6s);
  pool.cluster.settle_all();
  CHECK(next.sqlstate() == "");
  CHECK(next.done());
  CHECK(pool.cluster.attempts == 2);
}

}  // namespace based::postgres
