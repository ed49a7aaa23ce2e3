// Sessions of a group on the lane: whose transaction is inside of whose, and what ends them.
#include <algorithm>

#include "backends/envelope.h"
#include "fixture.h"

using namespace based;
using namespace based::test;
using std::chrono::milliseconds;

namespace {

// A session of a group, with the stack and the envelopes that a front end gives it.
class Member {
 public:
  Member(Fixture& fixture, std::uint64_t group) : client(fixture.client({.group = group})) {}

  Unit unit_of(const std::string& text) {
    Unit unit = Client::unit_of(text);
    unit.envelope = envelopes_.around(stack_, {});
    unit.keep_lease = !stack_.empty();
    return unit;
  }
  Reply& sql(const std::string& text) { return ended(client->run(unit_of(text))); }
  void begin() {
    REQUIRE(stack_.begin({}, LevelKind::transaction, TimePoint{}, nullptr).ok());
    REQUIRE(sql("SELECT 1").ok());
  }
  Reply& end(const LevelsEnd& plan) {
    Unit unit;
    unit.envelope = envelopes_.ending(stack_, plan);
    auto& reply = client->run(std::move(unit));
    if (reply.ok()) stack_.finish(plan);
    return ended(reply);
  }
  Reply& commit() { return end(stack_.plan_commit_transaction().value()); }
  Reply& roll_back() { return end(stack_.plan_rollback_transaction().value()); }
  void rest(bool sound) { client->session().rest(sound ? Resting::sound : Resting::failed); }

  std::unique_ptr<Client> client;

 private:
  Reply& ended(Reply& reply) {
    if (reply.ok()) stack_.entered();
    if (!stack_.empty()) rest(reply.ok());
    return reply;
  }
  TransactionStack stack_{{.dialect = Dialect::sqlite}};
  EnvelopeMaker envelopes_{stack_.rules()};
};

struct Joins : Fixture {
  void start(const std::function<void(SqliteOptions&)>& change = [](SqliteOptions&) {}) {
    auto made = options();
    change(made);
    open(made);
    REQUIRE(client()->sql("CREATE TABLE t(v)").ok());
  }
  // Each inside of the one before.
  std::vector<std::unique_ptr<Member>> chain(std::size_t count) {
    std::vector<std::unique_ptr<Member>> members;
    for (std::size_t i = 0; i < count; ++i) {
      members.push_back(std::make_unique<Member>(*this, 1));
      members.back()->begin();
      CHECK(members.back()->sql("INSERT INTO t VALUES(" + std::to_string(i) + ")").ok());
    }
    return members;
  }
  std::string rows() {
    return client()
        ->sql("SELECT coalesce(group_concat(v), '') FROM (SELECT v FROM t ORDER BY v)")
        .value();
  }
  LaneStatus status() const { return database->status().lanes.front(); }
};

}  // namespace

TEST_CASE_FIXTURE(Joins, "what is inside stays or goes with its own end") {
  start();
  auto members = chain(3);
  CHECK(members[2]->roll_back().ok());
  CHECK(members[1]->commit().ok());
  CHECK(members[2]->sql("INSERT INTO t VALUES(9)").ok());
  CHECK(members[0]->commit().ok());
  CHECK(rows() == "'0,1,9'");
}

TEST_CASE_FIXTURE(Joins, "sessions may go in any order") {
  start();
  std::vector<std::size_t> order{0, 1, 2};
  do {
    auto members = chain(3);
    for (const std::size_t i : order) members[i].reset();
    CHECK(rows() == "''");
    CHECK(status().state == "idle");
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE_FIXTURE(Joins, "one that goes while a unit runs inside of it is ended behind that unit") {
  start();
  auto members = chain(1);
  Member inner(*this, 1);
  inner.client->begin_unit(inner.unit_of("INSERT INTO t VALUES(7)"));
  members.clear();
  CHECK(inner.client->finish().ok());
  CHECK(rows() == "''");
}

TEST_CASE_FIXTURE(Joins, "one that waits and goes is ended, too") {
  start();
  auto members = chain(2);
  auto& outer = *members[0];
  outer.client->begin_unit(outer.unit_of("SELECT 1"));
  CHECK(status().waiting == 1);
  members[0].reset();
  CHECK(status().waiting == 0);
  CHECK(members[1]->client->finish().ok());
  REQUIRE(reactor.run_until([&] { return !members[1]->client->lost.empty(); }));
  CHECK(members[1]->client->lost.front().sqlstate == sqlstate::serialization_failure);
  CHECK(rows() == "''");
}

TEST_CASE_FIXTURE(Joins, "a wait in vain leaves the transaction as it was") {
  start();
  auto members = chain(2);
  auto unit = members[0]->unit_of("SELECT 1");
  unit.queue_deadline = Clock::now() + milliseconds(30);
  auto& reply = members[0]->client->run(std::move(unit));
  CHECK(reply.code() == "55P03");
  CHECK(reply.outcome.transaction == TransactionStatus::open);
  CHECK(members[1]->commit().ok());
  CHECK(members[0]->commit().ok());
  CHECK(rows() == "'0,1'");
}

TEST_CASE_FIXTURE(Joins, "nobody joins one that has not said that it rests, nor another group's") {
  start();
  auto members = chain(1);
  Member same(*this, 1);
  Member other(*this, 2);
  Member none(*this, 0);
  for (Member* stranger : {&other, &none}) {
    auto unit = stranger->unit_of("SELECT 1");
    unit.queue_deadline = Clock::now() + milliseconds(20);
    CHECK(stranger->client->run(std::move(unit)).code() == "55P03");
  }
  members[0]->rest(false);
  same.client->begin_unit(same.unit_of("INSERT INTO t VALUES(5)"));
  CHECK(status().waiting == 1);
  members[0]->rest(true);
  CHECK(same.client->finish().ok());
  CHECK(members[0]->roll_back().ok());
  CHECK(rows() == "''");
}

TEST_CASE_FIXTURE(Joins, "so many are inside of each other, and one more waits") {
  start();
  auto members = chain(17);
  Member more(*this, 1);
  auto unit = more.unit_of("SELECT 1");
  unit.queue_deadline = Clock::now() + milliseconds(20);
  CHECK(more.client->run(std::move(unit)).code() == "55P03");
  while (!members.empty()) {
    CHECK(members.back()->commit().ok());
    members.pop_back();
  }
  CHECK(more.sql("SELECT count(*) FROM t").value() == "17");
}

TEST_CASE_FIXTURE(Joins, "shut down with sessions inside of each other") {
  start();
  {
    auto members = chain(4);
    std::ranges::reverse(members);
    members.clear();
  }
  CHECK(shut_down().empty());
}
