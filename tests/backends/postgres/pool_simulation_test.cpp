// A seeded simulation: sessions come, work, cancel and vanish; servers refuse, die, fall silent;
// time jumps; helper threads finish in any order. Whatever happens, the rules hold.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <random>
#include <set>

#include "tests/backends/postgres/pool_fixture.h"

namespace based::postgres {
namespace {

using namespace std::chrono_literals;

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : random_(seed), pool_(settings(seed)) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      check();
    }
    end();
  }

 private:
  struct Client {
    std::unique_ptr<SessionProbe> probe;
    bool busy = false;
    bool in_transaction = false;
    std::size_t submitted = 0;
  };

  static PoolSettings settings(std::uint64_t seed) {
    PoolSettings made = small_pool(1 + seed % 4);
    made.min_size = seed % 2;
    made.max_waiting = seed % 3 == 0 ? 4 : 0;
    made.max_lifetime = 50s;
    made.max_idle = 20s;
    made.check_interval = 10s;
    made.reconnect_timeout = 120s;
    made.seed = seed;
    return made;
  }

  std::size_t pick(std::size_t count) {
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_);
  }
  bool chance(unsigned percent) { return pick(100) < percent; }

  void step() {
    switch (pick(14)) {
      case 0:
      case 1:
        if (clients_.size() < 12) clients_.push_back({std::make_unique<SessionProbe>(pool_)});
        break;
      case 2:
      case 3:
      case 4:
      case 5:
        if (!clients_.empty()) submit(clients_[pick(clients_.size())]);
        break;
      case 6:
        if (!clients_.empty()) clients_[pick(clients_.size())].probe->session().cancel("cancelled");
        break;
      case 7:  // a client vanishes, whatever it was doing
        if (!clients_.empty() && chance(50)) {
          clients_.erase(clients_.begin() + static_cast<std::ptrdiff_t>(pick(clients_.size())));
        }
        break;
      case 8:
        if (pool_.reactor.off_loop_jobs() > 0) {
          pool_.reactor.run_off_loop_job(pick(pool_.reactor.off_loop_jobs()));
        }
        break;
      case 9:
        disturb();
        break;
      case 10:
        pool_.reactor.advance(std::chrono::milliseconds(1 + pick(chance(10) ? 20'000 : 200)));
        break;
      case 11:
        if (!pool_.cluster.servers.empty()) {
          pool_.cluster.servers[pick(pool_.cluster.servers.size())]->step();
        }
        pool_.reactor.poll_once();
        break;
      default:
        pool_.cluster.settle();
        break;
    }
  }

  void submit(Client& client) {
    if (client.probe->done_count < client.submitted) return;
    ++client.submitted;
    const bool open = client.probe->outcome && client.probe->outcome->lease_held;
    const char* text = "SELECT";
    if (open && !client.probe->lease_lost) {
      text = chance(50) ? "COMMIT" : chance(30) ? "error" : "SELECT";
    } else if (chance(30)) {
      text = "BEGIN";
    } else if (chance(20)) {
      text = "sleep";
    } else if (chance(20)) {
      text = "error";
    }
    client.probe->lease_lost.reset();
    const bool keep =
        std::string_view(text) == "BEGIN" || (open && std::string_view(text) != "COMMIT");
    Unit unit = client.probe->unit(text);
    unit.keep_lease = keep;
    unit.statement_timeout = chance(50) ? Duration(3s) : Duration();
    if (chance(20)) {
      unit.profile =
          std::make_shared<const Profile>(Profile{{{"work_mem", std::to_string(pick(3))}}});
    }
    SessionProbe* probe = client.probe.get();
    if (chance(10)) {  // it vanishes when it hears the answer
      probe->then = [this, probe] {
        std::erase_if(clients_, [probe](const Client& c) { return c.probe.get() == probe; });
      };
    }
    probe->submit(std::move(unit));
  }

  void disturb() {
    const std::size_t kind = pick(6);
    if (kind == 0) pool_.cluster.refusal = Error::make(sqlstate::cannot_connect, "refused");
    if (kind == 1) pool_.cluster.refusal = Error::make(sqlstate::invalid_password, "wrong");
    if (kind >= 4) pool_.cluster.refusal.reset();
    if (pool_.cluster.servers.empty()) return;
    FakeServer& server = *pool_.cluster.servers[pick(pool_.cluster.servers.size())];
    if (kind == 2) server.die(chance(50) ? "terminating" : "");
    if (kind == 3) server.silent = chance(50);
    if (kind == 5 && chance(10)) server.garble();
  }

  void check() {
    const PoolStatus status = pool_.pool.status();
    REQUIRE(status.pool_size <= status.pool_max);
    REQUIRE(status.pool_available + status.leased <= status.pool_size);
    REQUIRE(status.requests_waiting <= clients_.size());
    for (const Client& client : clients_) REQUIRE(client.probe->done_count <= client.submitted);
  }

  // Peace: everything that was asked is answered, and every link is idle and clean, or gone.
  void end() {
    pool_.cluster.refusal.reset();
    for (const auto& server : pool_.cluster.servers) server->silent = false;
    for (int i = 0; i < 20; ++i) {
      pool_.cluster.settle_all();
      for (const Client& client : clients_) {
        client.probe->then = nullptr;
        client.probe->session().cancel("the end");
      }
      pool_.cluster.settle_all();
      pool_.reactor.advance(5s);
    }
    for (const Client& client : clients_) REQUIRE(client.probe->done_count == client.submitted);
    clients_.clear();
    pool_.cluster.settle_all();
    pool_.reactor.advance(10s);
    pool_.cluster.settle_all();
    const PoolStatus status = pool_.pool.status();
    REQUIRE(status.requests_waiting == 0);
    REQUIRE(status.leased == 0);
    REQUIRE(status.cleaning == 0);
    REQUIRE(pool_.cluster.alive() == status.pool_size);
    for (const auto& server : pool_.cluster.servers) REQUIRE(server->status == 'I');
    SessionProbe last(pool_);
    pool_.run(last, "SELECT");
    pool_.reactor.advance(15s);
    pool_.cluster.settle_all();
    REQUIRE(last.sqlstate() == "");
    last.drop();
    pool_.pool.stop();
    pool_.cluster.settle_all();
    REQUIRE(pool_.pool.empty());
    REQUIRE(pool_.cluster.alive() == 0);
  }

  std::mt19937_64 random_;
  PoolFixture pool_;
  std::vector<Client> clients_;
};

}  // namespace

TEST_CASE("no waiter is lost, no link leaked, none handed out dirty, whatever fails when") {
  const char* chosen = ::getenv("BASED_TEST_SEED");
  const std::uint64_t first = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  const char* wanted = ::getenv("BASED_TEST_SEEDS");
  const std::uint64_t most = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 60;
  const std::uint64_t count = chosen != nullptr ? 1 : most;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    CAPTURE(seed);
    Simulation(seed).run(600);
  }
}

}  // namespace based::postgres
