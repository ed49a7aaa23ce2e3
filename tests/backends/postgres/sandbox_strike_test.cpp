// What a cancel of a client's may strike in a sandbox, with a server that stops where it is told
// to.
#include <algorithm>
#include <string>
#include <vector>

#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_root.h"
#include "tests/support/fake_postgres.h"
#include "tests/support/memory_log.h"
#include "tests/support/wire_probe.h"

namespace based::postgres {
namespace {

constexpr const char* guard = "SAVEPOINT _based_t1";
constexpr const char* back = "ROLLBACK TO SAVEPOINT _based_turn";
constexpr const char* turn = "RELEASE SAVEPOINT _based_turn";

struct Sandboxed {
  Sandboxed() {
    static_cast<void>(types.load());  // the fake server has no catalogue
    context.stack = {.rooted = true};
    probe = std::make_unique<WireProbe>([this](WireClient& client) {
      return std::make_unique<Relay>(context, WireOptions{.session_id = 1}, client);
    });
    cluster.settle_all();
  }
  ~Sandboxed() { probe.reset(); }
  FakeServer& server() { return *cluster.servers.front(); }
  long count(std::string_view text) { return std::ranges::count(server().texts, text); }
  void say(std::string_view text) {
    probe->query(text);
    cluster.settle();
  }
  void pass(int ms) {
    reactor.advance(std::chrono::milliseconds(ms));
    cluster.settle();
  }

  FakeReactor reactor;
  MemoryLog log;
  TypeCatalogue types;
  Pins pins;
  sql::StatementTable texts{Dialect::postgres};
  FakeCluster cluster{reactor};
  SandboxRoot root{{.name = "app",
                    .link = {.start_timeout = std::chrono::seconds(10),
                             .cleanup_timeout = std::chrono::seconds(5),
                             .statements_cached_max = 8,
                             .message_bytes_max = 1 << 20}},
                   cluster,
                   types,
                   reactor,
                   log};
  RelayContext context{.leases = root,
                       .pins = pins,
                       .reactor = reactor,
                       .log = log,
                       .texts = texts,
                       .lease_timeout = std::chrono::seconds(5),
                       .connect_timeout = std::chrono::seconds(5),
                       .settings_timeout = std::chrono::seconds(5),
                       .prepared_max = 8};
  std::unique_ptr<WireProbe> probe;
};

}  // namespace

TEST_CASE("a cancel waits until the guard is made, and then strikes the client's statement") {
  Sandboxed app;
  REQUIRE(app.probe->started);
  app.say("select");
  app.probe->take();
  app.server().sleeps_at = turn;  // in front of this unit, and again behind its COMMIT
  app.say("begin; insert; commit; sleep");
  REQUIRE(app.server().texts.back() == turn);
  app.server().wake();
  app.cluster.settle();
  REQUIRE(app.server().texts.back() == turn);
  app.probe->session->cancel("enough");
  app.reactor.run_off_loop_jobs();
  CHECK(app.server().cancels == 0);
  app.server().wake();
  app.cluster.settle_all();
  CHECK(app.server().cancels == 1);
  CHECK(app.probe->take() == "C:BEGIN C:insert C:COMMIT E:57014 Z:I");
  CHECK(app.server().alive());
  CHECK(app.root.losses() == 0);
}

TEST_CASE("a COMMIT through the extended protocol asks whether constraints are deferred") {
  Sandboxed app;
  std::string bytes;
  FrontendWriter writer(bytes);
  for (const char* text : {"begin", "insert", "commit"}) {
    writer.parse("", text, {});
    writer.begin_bind("", "", {});
    writer.end_bind();
    writer.execute("", 0);
  }
  writer.sync();
  app.probe->send_messages(bytes);
  app.cluster.settle();
  CHECK(app.probe->take() == "1 2 C:BEGIN 1 2 C:insert 1 2 C:COMMIT Z:I");
  const auto runs = [&](std::string_view begins) {
    return std::ranges::any_of(app.server().texts,
                               [&](const std::string& text) { return text.starts_with(begins); });
  };
  CHECK(runs("SELECT FROM (SELECT pg_catalog.pg_current_snapshot()"));
  CHECK_FALSE(runs("DO "));
}

TEST_CASE("what comes behind a release is struck by no cancel") {
  Sandboxed app;
  app.say("begin; insert; commit; begin");
  app.probe->take();
  app.server().sleeps_at = guard;
  app.say("commit and chain");
  REQUIRE(app.server().texts.back() == guard);
  app.probe->session->cancel("enough");
  app.reactor.run_off_loop_jobs();
  CHECK(app.server().cancels == 0);
  app.server().sleeps_at.clear();
  app.server().wake();
  app.cluster.settle_all();
  CHECK(app.probe->take() == "C:COMMIT Z:T");
  app.say("sleep");
  app.probe->session->cancel("enough");
  app.cluster.settle_all();
  CHECK(app.probe->take() == "E:57014 Z:E");
  CHECK(app.root.losses() == 0);
}

TEST_CASE("a limit that strikes too late is the next statement's anew") {
  Sandboxed app;
  app.say("set statement_timeout = '300ms'");
  app.server().sleeps_at = "sleep a little";
  app.say("insert; sleep a little; sleep; insert");
  app.pass(300);
  CHECK(app.reactor.off_loop_jobs() == 1);
  app.server().wake();
  app.cluster.settle_all();
  REQUIRE(app.server().cancels == 1);
  REQUIRE(app.server().texts.back() == "sleep");
  app.pass(299);
  CHECK(app.reactor.off_loop_jobs() == 0);
  app.pass(1);
  app.cluster.settle_all();
  CHECK(app.server().cancels == 2);
  CHECK(app.probe->take() == "C:SET Z:I C:insert C:sleep a little E:57014 Z:I");
  CHECK(app.root.losses() == 0);
}

TEST_CASE("a cancel that strikes too late strikes what the client's text goes on with") {
  Sandboxed app;
  app.server().sleeps_at = "sleep a little";
  app.say("begin; sleep a little; commit; sleep; insert");
  app.probe->session->cancel("enough");
  app.server().wake();
  app.cluster.settle_all();
  CHECK(app.probe->take().ends_with("E:57014 Z:I"));
  app.say("sleep");
  app.pass(1000);
  CHECK(app.reactor.off_loop_jobs() == 0);
  app.probe->session->cancel("enough");
  app.cluster.settle_all();
  CHECK(app.probe->take() == "E:57014 Z:I");
  CHECK(app.root.losses() == 0);
}

TEST_CASE("a limit is of what runs, and not of a client that waits within its batch") {
  Sandboxed app;
  app.say("set statement_timeout = '300ms'");
  app.probe->take();
  const auto send = [&](std::string_view text) {
    std::string bytes;
    FrontendWriter writer(bytes);
    writer.parse("", text, {});
    writer.begin_bind("", "", {});
    writer.end_bind();
    writer.execute("", 0);
    writer.flush();
    app.probe->send_messages(bytes);
    app.cluster.settle_all();
  };
  send("insert");
  app.pass(299);
  send("sleep");
  app.pass(299);
  CHECK(app.reactor.off_loop_jobs() == 0);
  app.pass(1);
  app.cluster.settle_all();
  CHECK(app.probe->take() == "1 2 C:insert 1 2 E:57014");
  std::string bytes;
  FrontendWriter(bytes).sync();
  app.probe->send_messages(bytes);
  app.cluster.settle_all();
  CHECK(app.probe->take() == "Z:I");
  send("insert");
  app.pass(1000);
  send("sleep");
  app.pass(300);
  app.cluster.settle_all();
  CHECK(app.probe->take() == "1 2 C:insert 1 2 E:57014");
}

TEST_CASE("who goes when it was told of its COMMIT undoes nothing") {
  Sandboxed app;
  const auto before = app.count(back);
  app.server().sleeps_at = "SET CONSTRAINTS ALL IMMEDIATE";
  app.say("begin; insert; commit; sleep");
  app.probe->session->cancel("too late");
  app.server().wake();
  app.cluster.settle();
  REQUIRE(app.probe->take() == "C:BEGIN C:insert C:COMMIT");  // the cancel is still on its way
  app.probe.reset();
  app.reactor.run_off_loop_jobs();
  app.cluster.settle_all();
  CHECK(app.count(back) == before);
  CHECK(app.count("sleep") == 0);
  CHECK(app.root.losses() == 0);
}

TEST_CASE("who goes while the turn begins again behind a COMMIT goes back to that at most") {
  for (const char* ending : {"commit; sleep", "commit and chain; sleep"}) {
    CAPTURE(ending);
    Sandboxed app;
    const auto before = app.count(back);
    app.say("begin");
    app.say("insert");
    app.server().sleeps_at = turn;
    app.say(ending);
    REQUIRE(app.server().texts.back() == turn);
    app.probe.reset();
    app.reactor.run_off_loop_jobs();
    CHECK(app.server().cancels == 0);
    CHECK(app.count(back) == before);
    app.server().wake();
    app.cluster.settle_all();
    CHECK(app.server().cancels == 1);
    CHECK(app.count(back) == before + 1);
    CHECK(app.root.losses() == 0);
  }
}

}  // namespace based::postgres
