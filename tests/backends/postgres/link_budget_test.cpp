#include "backends/postgres/link_budget.h"

#include "tests/backends/postgres/pool_fixture.h"

namespace based::postgres {
namespace {

using namespace std::chrono_literals;

// Two users' pools under one budget, each with a loop of its own that moves when settle() says so.
struct TwoPools {
  explicit TwoPools(std::size_t links_max) : budget(links_max), a(settings()), b(settings()) {}
  PoolSettings settings() {
    PoolSettings settings = small_pool(4);
    settings.budget = &budget;
    return settings;
  }
  void settle() {
    for (int i = 0; i < 20; ++i) {
      a.cluster.settle_all();
      b.cluster.settle_all();
    }
    CHECK(budget.used() == a.pool.status().pool_size + b.pool.status().pool_size);
  }
  void submit(PoolFixture& pool, SessionProbe& probe, std::string_view text, bool keep = false) {
    pool.submit(probe, text, keep);
    settle();
  }

  LinkBudget budget;
  PoolFixture a, b;
};

}  // namespace

TEST_CASE("the pools of a database have no more links together than its budget") {
  TwoPools pools(3);
  std::vector<std::unique_ptr<SessionProbe>> probes;
  for (int i = 0; i < 4; ++i) {
    probes.push_back(std::make_unique<SessionProbe>(pools.a));
    pools.submit(pools.a, *probes.back(), "BEGIN", true);
  }
  CHECK(pools.a.cluster.alive() == 3);
  CHECK(pools.budget.used() == 3);
  CHECK_FALSE(probes.back()->done());
}

TEST_CASE("a user who waits gets the place of another's idle link") {
  TwoPools pools(1);
  SessionProbe one(pools.a), two(pools.b);
  pools.submit(pools.a, one, "SELECT");
  CHECK(pools.a.cluster.alive() == 1);
  pools.submit(pools.b, two, "SELECT");
  CHECK(two.done());
  CHECK(pools.a.cluster.alive() == 0);
  CHECK(pools.b.cluster.alive() == 1);
  CHECK(pools.a.pool.status().connections_lost == 0);
}

TEST_CASE("a user whose links are always in demand gives one up for a user who has none") {
  TwoPools pools(2);
  SessionProbe one(pools.a), two(pools.a), three(pools.a), other(pools.b);
  pools.submit(pools.a, one, "BEGIN", true);
  pools.submit(pools.a, two, "BEGIN", true);
  pools.submit(pools.a, three, "waits", false);
  pools.submit(pools.b, other, "SELECT");
  CHECK_FALSE(three.done());
  CHECK_FALSE(other.done());
  pools.submit(pools.a, one, "COMMIT");
  CHECK(other.done());
  CHECK_FALSE(three.done());
  pools.submit(pools.a, two, "COMMIT");
  CHECK(three.done());
}

TEST_CASE("a link that could not be opened leaves its place to others") {
  TwoPools pools(1);
  pools.a.cluster.refusal = Error::make(sqlstate::cannot_connect, "away");
  SessionProbe one(pools.a), two(pools.b);
  pools.submit(pools.a, one, "SELECT");
  CHECK(pools.budget.used() == 0);
  pools.submit(pools.b, two, "SELECT");
  CHECK(two.done());
}

}  // namespace based::postgres
