#include "backends/wait_graph.h"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>

#include "tests/support/fake_reactor.h"

namespace based {
namespace {

using std::chrono::milliseconds;

// A session that can be told that it waits in vain, as the real ones are.
class Party final : public WaitListener {
 public:
  Party(WaitOwner& owner, WaitResource& resource, std::uint64_t number)
      : part_(&owner, resource, number, *this) {}
  void works() { part_.become(WaitState::working); }
  void waits() { part_.become(WaitState::waiting); }
  void rests() { part_.become(WaitState::resting); }
  void leaves() { part_.become(WaitState::absent); }
  bool refused() const { return refusal.has_value(); }

  void on_vain_wait(Error error) override {
    REQUIRE_FALSE(refusal);
    refusal = std::move(error);
    part_.become(WaitState::working);
  }

  std::optional<Error> refusal;

 private:
  WaitMember part_;
};

struct World {
  FakeReactor reactor;
  WaitGraph graph{reactor};
  WaitResource x{.name = "x"}, y{.name = "y"}, z{.name = "z"};
  WaitOwner alice{graph, "alice"}, bob{graph, "bob"}, carol{graph, "carol"};

  void pass(Duration time = milliseconds(0)) { reactor.advance(time); }
};

TEST_CASE("a ring of two clients over two databases is refused at once, the last wait of it") {
  World world;
  Party a1(world.alice, world.x, 1), a2(world.alice, world.y, 2);
  Party b1(world.bob, world.y, 3), b2(world.bob, world.x, 4);
  a1.rests();
  b1.rests();
  a2.waits();
  world.pass(milliseconds(500));
  CHECK_FALSE(a2.refused());
  b2.waits();
  world.pass();
  REQUIRE(b2.refused());
  CHECK_FALSE(a2.refused());
  CHECK(b2.refusal->sqlstate == sqlstate::deadlock_detected);
  CHECK(b2.refusal->message ==
        "deadlock detected: 2 clients wait for each other, one of them for x");
  CHECK(b2.refusal->detail ==
        "bob waits for x (session 4) and rests in a transaction on y (session 3); "
        "alice waits for y (session 2) and rests in a transaction on x (session 1).");
  CHECK_FALSE(b2.refusal->hint.empty());
  world.pass(milliseconds(5000));
  CHECK_FALSE(a2.refused());
}

TEST_CASE("a ring of three is found too, also when a holder's coming to rest closes it") {
  World world;
  Party a1(world.alice, world.x, 1), a2(world.alice, world.y, 2);
  Party b1(world.bob, world.y, 3), b2(world.bob, world.z, 4);
  Party c1(world.carol, world.z, 5), c2(world.carol, world.x, 6);
  a1.rests();
  b1.rests();
  a2.waits();
  b2.waits();
  c1.works();
  c2.waits();
  world.pass(milliseconds(5000));
  CHECK_FALSE((a2.refused() || b2.refused() || c2.refused()));
  c1.rests();
  world.pass();
  CHECK(c2.refused());
  CHECK_FALSE((a2.refused() || b2.refused()));
}

TEST_CASE("a client that waits for itself has its time to end the transaction elsewhere") {
  World world;
  Party holder(world.alice, world.x, 1), waiter(world.alice, world.x, 2);
  holder.rests();
  waiter.waits();
  world.pass(milliseconds(999));
  CHECK_FALSE(waiter.refused());
  SUBCASE("the transaction goes on: the time begins anew") {
    holder.works();
    holder.rests();
    world.pass(milliseconds(999));
    CHECK_FALSE(waiter.refused());
    world.pass(milliseconds(1));
    CHECK(waiter.refused());
  }
  SUBCASE("the transaction ends: the wait is over") {
    holder.leaves();
    waiter.works();
    world.pass(milliseconds(5000));
    CHECK_FALSE(waiter.refused());
  }
  SUBCASE("nothing happens: the wait is in vain") {
    world.pass(milliseconds(1));
    REQUIRE(waiter.refused());
    CHECK(waiter.refusal->message ==
          "deadlock detected: the client waits for x, which it holds itself");
    CHECK(waiter.refusal->detail ==
          "alice waits for x (session 2) and rests in a transaction on x (session 1).");
  }
}

TEST_CASE("a client that has a unit at work can go on, and with it all who wait for it") {
  World world;
  Party a1(world.alice, world.x, 1), a2(world.alice, world.y, 2), a3(world.alice, world.z, 7);
  Party b1(world.bob, world.y, 3), b2(world.bob, world.x, 4);
  a1.rests();
  b1.rests();
  a3.works();
  a2.waits();
  b2.waits();
  world.pass(milliseconds(5000));
  CHECK_FALSE((a2.refused() || b2.refused()));
  a3.leaves();
  world.pass();
  CHECK((a2.refused() != b2.refused()));
}

TEST_CASE("who waits behind a ring is not in it") {
  World world;
  Party a1(world.alice, world.x, 1), a2(world.alice, world.x, 2);
  Party c1(world.carol, world.z, 5), c2(world.carol, world.x, 6);
  c1.rests();
  a1.rests();
  a2.waits();
  c2.waits();
  world.pass(milliseconds(5000));
  CHECK(a2.refused());
  CHECK_FALSE(c2.refused());
}

TEST_CASE("a pool is waited for in vain when every link of it rests with those who wait") {
  World world;
  world.x.places = 2;
  Party a1(world.alice, world.x, 1), a2(world.alice, world.x, 2), a3(world.alice, world.x, 3);
  a1.rests();
  a3.waits();
  world.pass(milliseconds(5000));
  CHECK_FALSE(a3.refused());  // the other link may come back
  SUBCASE("another client, which does not wait, rests with the other") {
    Party b1(world.bob, world.x, 4);
    b1.rests();
    world.pass(milliseconds(5000));
    CHECK_FALSE(a3.refused());
  }
  SUBCASE("the same client rests with both") {
    a2.rests();
    world.pass(milliseconds(5000));
    CHECK(a3.refused());
  }
}

TEST_CASE("clients with several waits each are given time: one of their threads may end it") {
  World world;
  Party a1(world.alice, world.x, 1), a2(world.alice, world.y, 2), a3(world.alice, world.y, 5);
  Party b1(world.bob, world.y, 3), b2(world.bob, world.x, 4);
  a1.rests();
  b1.rests();
  a2.waits();
  a3.waits();
  b2.waits();
  world.pass(milliseconds(999));
  CHECK_FALSE((a2.refused() || a3.refused() || b2.refused()));
  world.pass(milliseconds(1));
  CHECK(b2.refused());
}

TEST_CASE("a session that goes takes its part out of the graph") {
  World world;
  auto holder = std::make_unique<Party>(world.alice, world.x, 1);
  Party waiter(world.alice, world.x, 2);
  holder->rests();
  waiter.waits();
  holder.reset();
  world.pass(milliseconds(5000));
  CHECK_FALSE(waiter.refused());
}

}  // namespace
}  // namespace based
