// LISTEN of sessions that share one link, against a real server.
#include <string>

#include "tests/backends/postgres/live_fixture.h"
#include "tests/support/wire_probe.h"

namespace based {
namespace {

using postgres::FrontendWriter;

class ListenFixture : public LiveFixture {
 public:
  ListenFixture() : LiveFixture(options()) {}
  static PostgresOptions options() {
    PostgresOptions options;
    options.max_size = 1;  // nobody may keep it
    return options;
  }
  std::unique_ptr<WireProbe> probe() {
    auto made = std::make_unique<WireProbe>(*database);
    run_until([&] { return made->started; });
    return made;
  }
  std::string run(WireProbe& probe, std::string_view text) {
    probe.query(text);
    run_until([&] { return probe.ready() == 1; });
    return probe.take();
  }
  // What comes to a client that says nothing.
  std::string hear(WireProbe& probe) {
    run_until([&] { return !probe.received.empty(); });
    return probe.take();
  }
  void notify(std::string_view channel) {
    const auto other = probe();
    CHECK(run(*other, "notify " + std::string(channel)) == "C:NOTIFY Z:I");
  }
  // Whatever was notified before has come when this has.
  void settle(WireProbe& probe) {
    CHECK(run(probe, "listen fence") == "C:LISTEN Z:I");
    notify("fence");
    CHECK(hear(probe) == "A");
  }
};

}  // namespace

TEST_CASE_FIXTURE(ListenFixture, "many sessions listen with one link more, and keep none") {
  const auto one = probe();
  const auto two = probe();
  CHECK(run(*one, "listen news") == "C:LISTEN Z:I");
  CHECK(run(*two, "LISTEN \"news\"") == "C:LISTEN Z:I");
  CHECK(pool().pinned == 0);
  CHECK(pool().leased == 0);
  CHECK(pool().listener == "up");
  CHECK(pool().channels == 1);
  CHECK(pool().subscriptions == 2);
  notify("News");
  CHECK(hear(*one) == "A");
  CHECK(hear(*two) == "A");
  CHECK(pool().notifications_delivered == 2);
  CHECK(run(*one, "select count(*) from pg_listening_channels()") == "T D:0 C:SELECT 1 Z:I");
  CHECK(run(*one, "unlisten news") == "C:UNLISTEN Z:I");
  CHECK(run(*two, "discard all") == "C:DISCARD ALL Z:I");
  CHECK(pool().subscriptions == 0);
}

TEST_CASE_FIXTURE(ListenFixture, "LISTEN is effective at the commit, and not where it was undone") {
  const auto one = probe();
  CHECK(run(*one, "begin") == "C:BEGIN Z:T");
  CHECK(run(*one, "listen a") == "C:LISTEN Z:T");
  CHECK(pool().subscriptions == 0);
  CHECK(run(*one, "rollback") == "C:ROLLBACK Z:I");
  CHECK(run(*one, "listen a; select 1/0") == "C:LISTEN E:22012 Z:I");
  CHECK(run(*one, "begin; savepoint s; listen a; rollback to s; listen b; commit") ==
        "C:BEGIN C:SAVEPOINT C:LISTEN C:ROLLBACK C:LISTEN C:COMMIT Z:I");
  CHECK(pool().subscriptions == 1);
  notify("a");
  notify("b");
  CHECK(hear(*one) == "A");
  settle(*one);
  CHECK(pool().notifications_delivered == 2);  // b and the fence
}

TEST_CASE_FIXTURE(ListenFixture, "a notification waits for the end of the client's transaction") {
  PostgresOptions options;
  options.max_size = 2;
  close();
  open(std::move(options));
  const auto one = probe();
  CHECK(run(*one, "listen a") == "C:LISTEN Z:I");
  CHECK(run(*one, "begin") == "C:BEGIN Z:T");
  notify("a");
  run_until([&] { return pool().notifications_delivered == 1; });
  CHECK(one->received == "");
  CHECK(run(*one, "select 1") == "T D:1 C:SELECT 1 Z:T");
  CHECK(run(*one, "commit") == "C:COMMIT A Z:I");
}

TEST_CASE_FIXTURE(ListenFixture, "LISTEN in a pipeline, and of a session that keeps its link") {
  const auto one = probe();
  std::string bytes;
  FrontendWriter writer(bytes);
  for (const char* text : {"listen a", "select 1", "listen b"}) {
    writer.parse("", text, {});
    writer.begin_bind("", "", {});
    writer.end_bind();
    writer.execute("", 0);
    writer.sync();
  }
  one->send_messages(bytes);
  run_until([&] { return one->ready() == 3; });
  CHECK(one->take() == "1 2 C:LISTEN Z:I 1 2 D:1 C:SELECT 1 Z:I 1 2 C:LISTEN Z:I");
  CHECK(run(*one, "create temp table keeps (a int)") == "C:CREATE TABLE Z:I");
  CHECK(run(*one, "listen c") == "C:LISTEN Z:I");
  for (const char* channel : {"c", "b"}) {
    const std::uint64_t before = pool().notifications_delivered;
    one->query("notify " + std::string(channel));
    run_until([&] { return one->ready() == 1 && pool().notifications_delivered > before; });
    const std::string heard = one->take();  // before the ReadyForQuery or behind it
    CHECK((heard == "C:NOTIFY A Z:I" || heard == "C:NOTIFY Z:I A"));
  }
  CHECK(run(*one, "drop table keeps") == "C:DROP TABLE Z:I");
  run_until([&] { return pool().pinned == 0; });
  settle(*one);
  CHECK(pool().notifications_delivered == 3);
}

TEST_CASE_FIXTURE(ListenFixture, "who listens is told when the listening link was lost") {
  const auto one = probe();
  CHECK(run(*one, "listen a") == "C:LISTEN Z:I");
  const auto two = probe();
  CHECK(run(*two,
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like "
            "'LISTEN%' and pid <> pg_backend_pid()") == "T D:1 C:SELECT 1 Z:I");
  CHECK(hear(*one) == "N:01000");
  notify("a");
  CHECK(hear(*one) == "A");
}

TEST_CASE_FIXTURE(ListenFixture, "a client that goes is subscribed no more") {
  auto one = probe();
  CHECK(run(*one, "listen a") == "C:LISTEN Z:I");
  one.reset();
  CHECK(pool().subscriptions == 0);
  auto two = probe();
  two->query("listen b");
  two.reset();  // before it was effective
  const auto three = probe();
  CHECK(run(*three, "listen b") == "C:LISTEN Z:I");
  notify("b");
  CHECK(hear(*three) == "A");
}

}  // namespace based
