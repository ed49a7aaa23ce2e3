// A PostgreSQL client's session on pooled links, against a real server.
#include <string>

#include "tests/backends/postgres/live_fixture.h"
#include "tests/support/wire_probe.h"

namespace based {
namespace {

using postgres::FrontendWriter;

class RelayFixture : public LiveFixture {
 public:
  RelayFixture() : LiveFixture(options()) {}
  static PostgresOptions options() {
    PostgresOptions options;
    options.max_size = 1;  // every session has the same link
    return options;
  }
  std::unique_ptr<WireProbe> probe(std::vector<std::pair<std::string, std::string>> settings = {}) {
    auto made = std::make_unique<WireProbe>(*database, std::move(settings));
    run_until([&] { return made->started || made->ended; });
    return made;
  }
  std::string run(WireProbe& probe, std::string_view text) {
    probe.query(text);
    run_until([&] { return probe.ready() == 1; });
    return probe.take();
  }
  std::string send(WireProbe& probe, const std::string& bytes, int ready = 1) {
    probe.send_messages(bytes);
    run_until([&] { return probe.ready() == ready || probe.ended; });
    return probe.take();
  }
};

std::string parsed(std::string_view name, std::string_view text) {
  std::string bytes;
  FrontendWriter(bytes).parse(name, text, {});
  return bytes;
}

std::string executed(std::string_view name, std::uint32_t rows = 0) {
  std::string bytes;
  FrontendWriter writer(bytes);
  writer.begin_bind("", name, {});
  writer.end_bind();
  writer.execute("", rows);
  return bytes;
}

std::string synced(std::string bytes) {
  FrontendWriter(bytes).sync();
  return bytes;
}

}  // namespace

TEST_CASE_FIXTURE(RelayFixture, "a simple query's answer comes back as the server gave it") {
  const auto one = probe();
  REQUIRE(one->started);
  CHECK(run(*one, "select 1 as a, 'x'") == "T D:1|x C:SELECT 1 Z:I");
  CHECK(run(*one, "select 1; select 2") == "T D:1 C:SELECT 1 T D:2 C:SELECT 1 Z:I");
  CHECK(run(*one, "") == "I Z:I");
  CHECK(run(*one, "selec") == "E:42601 Z:I");
  CHECK(run(*one, "begin") == "C:BEGIN Z:T");
  CHECK(run(*one, "select 1/0") == "E:22012 Z:E");
  CHECK(run(*one, "select 1") == "E:25P02 Z:E");
  CHECK(run(*one, "commit") == "C:ROLLBACK Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "two sessions on one link have settings of their own") {
  const auto one = probe({{"application_name", "one"}});
  const auto two = probe({{"application_name", "it's two"}, {"search_path", "\"$user\", Pub"}});
  CHECK(run(*one, "set work_mem to '3MB'") == "C:SET Z:I");
  CHECK(run(*two, "show work_mem") == "T D:4MB C:SHOW Z:I");
  CHECK(run(*two, "show application_name") == "T D:it's two C:SHOW Z:I");
  CHECK(run(*two, "show search_path") == "T D:\"$user\", pub C:SHOW Z:I");
  CHECK(run(*one, "show work_mem") == "T D:3MB C:SHOW Z:I");
  CHECK(run(*one, "show application_name") == "T D:one C:SHOW Z:I");
  SUBCASE("what was rolled back is undone") {
    CHECK(run(*one, "begin") == "C:BEGIN Z:T");
    CHECK(run(*one, "set work_mem to '5MB'") == "C:SET Z:T");
    CHECK(run(*one, "rollback") == "C:ROLLBACK Z:I");
    CHECK(run(*two, "select 1") == "T D:1 C:SELECT 1 Z:I");
    CHECK(run(*one, "show work_mem") == "T D:3MB C:SHOW Z:I");
  }
  SUBCASE("RESET goes back to what the start-up packet said") {
    CHECK(run(*one, "set application_name to 'other'") == "C:SET S:application_name=other Z:I");
    CHECK(run(*one, "reset application_name; reset work_mem").starts_with("C:RESET C:RESET"));
    CHECK(run(*two, "show work_mem") == "T D:4MB C:SHOW Z:I");
    CHECK(run(*one, "show application_name").find("D:one") != std::string::npos);
  }
}

TEST_CASE_FIXTURE(RelayFixture, "a setting that the server refuses refuses the client") {
  const auto one = probe({{"work_mem", "nonsense"}});
  REQUIRE(one->ended);
  CHECK(one->ended->sqlstate.text() == "22023");
  const auto two = probe({{"no_such_setting", "1"}});
  REQUIRE(two->ended);
  CHECK(two->ended->sqlstate.text() == "42704");
}

TEST_CASE_FIXTURE(RelayFixture, "the client is told of its own settings, and of nobody else's") {
  const auto one = probe();
  const auto two = probe();
  CHECK(run(*one, "set datestyle to german") == "C:SET S:DateStyle=German, DMY Z:I");
  CHECK(run(*two, "select 1") == "T D:1 C:SELECT 1 Z:I");
  CHECK(run(*one, "select 1") == "T D:1 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "named statements are each session's own, and shared on the link") {
  const auto one = probe();
  const auto two = probe();
  CHECK(send(*one, synced(parsed("s", "select 1"))) == "1 Z:I");
  CHECK(send(*two, synced(parsed("s", "select 2"))) == "1 Z:I");
  CHECK(send(*one, synced(executed("s"))) == "2 D:1 C:SELECT 1 Z:I");
  CHECK(send(*two, synced(executed("s"))) == "2 D:2 C:SELECT 1 Z:I");
  CHECK(send(*two, synced(parsed("t", "select 1") + executed("t"))) == "1 2 D:1 C:SELECT 1 Z:I");
  CHECK(send(*one, synced(parsed("s", "select 3"))) == "E:42P05 Z:I");
  CHECK(send(*one, synced(executed("nothing"))) == "E:26000 Z:I");
  CHECK(send(*one, synced(parsed("bad", "selec"))) == "E:42601 Z:I");
  CHECK(send(*one, synced(executed("bad"))) == "E:26000 Z:I");
  std::string close;
  FrontendWriter(close).close_statement("s");
  CHECK(send(*one, synced(close)) == "3 Z:I");
  CHECK(send(*one, synced(executed("s"))) == "E:26000 Z:I");
  CHECK(send(*one, synced(parsed("s", "select 3") + executed("s"))) == "1 2 D:3 C:SELECT 1 Z:I");
  CHECK(send(*two, synced(executed("s"))) == "2 D:2 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "the unnamed statement outlives the Sync, whoever used the link") {
  const auto one = probe();
  const auto two = probe();
  CHECK(send(*one, synced(parsed("", "select 1"))) == "1 Z:I");
  CHECK(send(*two, synced(parsed("", "select 2"))) == "1 Z:I");
  CHECK(send(*one, synced(executed(""))) == "2 D:1 C:SELECT 1 Z:I");
  CHECK(send(*two, synced(executed(""))) == "2 D:2 C:SELECT 1 Z:I");
  const auto three = probe();
  CHECK(send(*three, synced(executed(""))) == "E:26000 Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "statements of PREPARE follow their session too") {
  const auto one = probe();
  const auto two = probe();
  CHECK(run(*one, "prepare p(int) as select $1 + 1") == "C:PREPARE Z:I");
  CHECK(run(*two, "execute p(1)") == "E:26000 Z:I");
  CHECK(run(*two, "prepare p as select 'two'") == "C:PREPARE Z:I");
  CHECK(run(*one, "execute p(41)") == "T D:42 C:SELECT 1 Z:I");
  CHECK(run(*two, "execute p") == "T D:two C:SELECT 1 Z:I");
  CHECK(run(*one, "deallocate p") == "C:DEALLOCATE Z:I");
  CHECK(run(*one, "execute p(1)") == "E:26000 Z:I");
  CHECK(run(*two, "execute p; deallocate all; select 1").find("C:DEALLOCATE ALL") !=
        std::string::npos);
  CHECK(run(*two, "execute p") == "E:26000 Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "a pipeline has one ready status per Sync, whatever fails in it") {
  const auto one = probe();
  const std::string good = synced(parsed("", "select 1") + executed(""));
  const std::string bad = synced(parsed("", "select 1/0") + executed("") + executed(""));
  CHECK(send(*one, good + bad + good, 3) ==
        "1 2 D:1 C:SELECT 1 Z:I 1 E:22012 Z:I 1 2 D:1 C:SELECT 1 Z:I");
  std::string query;
  FrontendWriter(query).query("select 5");
  CHECK(send(*one, parsed("", "selec") + query + synced(""), 1) == "E:42601 Z:I");
  CHECK(send(*one, parsed("", "select 1") + query + synced(""), 2) == "1 T D:5 C:SELECT 1 Z:I Z:I");
}

TEST_CASE_FIXTURE(RelayFixture,
                  "a Flush behind a unit that fails begins the next one, and no more") {
  const auto one = probe();
  std::string flush;
  FrontendWriter(flush).flush();
  const std::string bad = synced(parsed("", "set no_such = 1") + executed(""));
  const std::string good = synced(parsed("", "select 1") + executed(""));
  CHECK(send(*one, bad + flush) == "1 2 E:42704 Z:I");
  CHECK(send(*one, good) == "1 2 D:1 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "a portal with a row limit is continued, and ends with its Sync") {
  const auto one = probe();
  std::string more;
  FrontendWriter(more).execute("", 1);
  CHECK(send(*one, synced(parsed("", "select generate_series(1, 3)") + executed("", 1) + more)) ==
        "1 2 D:1 s D:2 s Z:I");
  CHECK(send(*one, synced(more)) == "E:34000 Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "COPY goes both ways, and what comes too late is dropped") {
  const auto one = probe();
  CHECK(run(*one, "drop table if exists relay_copy; create table relay_copy (a int)")
            .find("CREATE TABLE") != std::string::npos);
  one->query("copy relay_copy from stdin");
  run_until([&] { return one->received.size() > 5; });
  CHECK(one->take() == "G");
  std::string data;
  data += "d";
  data.append("\0\0\0\x06", 4).append("7\n");
  data.append("c\0\0\0\x04", 5);
  CHECK(send(*one, data) == "C:COPY 1 Z:I");
  CHECK(run(*one, "copy relay_copy to stdout") == "H d c C:COPY 1 Z:I");
  one->query("copy relay_copy from stdin");
  run_until([&] { return one->received.size() > 5; });
  one->take();
  std::string wrong = "d";
  wrong.append("\0\0\0\x06", 4).append("x\n");
  wrong.append("c\0\0\0\x04", 5);
  CHECK(send(*one, wrong) == "E:22P02 Z:I");
  one->send_messages(data);
  CHECK(run(*one, "select count(*) from relay_copy") == "T D:1 C:SELECT 1 Z:I");
  one->send_messages(synced(parsed("", "copy relay_copy from stdin") + executed("")));
  run_until([&] { return one->received.size() > 15; });
  CHECK(one->take() == "1 2 G");
  CHECK(send(*one, synced(data)) == "C:COPY 1 Z:I");
  CHECK(run(*one, "drop table relay_copy") == "C:DROP TABLE Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "state that cannot be moved keeps the link until it is gone") {
  const auto one = probe();
  CHECK(run(*one, "create temp table mine (a int)") == "C:CREATE TABLE Z:I");
  CHECK(pool().pinned == 1);
  CHECK(run(*one, "select * from mine") == "T C:SELECT 0 Z:I");
  const auto two = std::make_unique<WireProbe>(*database);
  two->query("select 1");
  CHECK(run(*one, "drop table mine") == "C:DROP TABLE Z:I");
  run_until([&] { return two->ready() == 1; });
  CHECK(two->take() == "T D:1 C:SELECT 1 Z:I");
  CHECK(pool().pinned == 0);
}

TEST_CASE_FIXTURE(RelayFixture, "lastval is never that of another session") {
  const auto one = probe();
  const auto two = probe();
  CHECK(run(*one, "create sequence relay_seq") == "C:CREATE SEQUENCE Z:I");
  CHECK(run(*one, "select nextval('relay_seq')") == "T D:1 C:SELECT 1 Z:I");
  CHECK(run(*two, "select lastval()") == "T E:55000 Z:I");
  CHECK(run(*two, "discard all") == "C:DISCARD ALL Z:I");
  CHECK(run(*one, "begin; select nextval('relay_seq'); select lastval(); commit") ==
        "C:BEGIN T D:2 C:SELECT 1 T D:2 C:SELECT 1 C:COMMIT Z:I");
  CHECK(run(*one, "discard all; drop sequence relay_seq").find("E:") != std::string::npos);
  CHECK(run(*one, "discard all") == "C:DISCARD ALL Z:I");
  CHECK(run(*one, "drop sequence relay_seq") == "C:DROP SEQUENCE Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "a row of many megabytes goes through in parts") {
  const auto one = probe();
  one->query("select repeat('x', 3000000) union all select 'y'");
  run_until([&] { return one->ready() == 1; });
  const std::string row = one->take();
  CHECK(row.size() > 3000000);
  CHECK(row.ends_with("x D:y C:SELECT 2 Z:I"));
  CHECK(run(*one, "select length('" + std::string(300000, 'z') + "')") ==
        "T D:300000 C:SELECT 1 Z:I");
}

TEST_CASE("where the URL names no user each client has links of its own name, under one limit") {
  std::string anonymous = LiveFixture::conninfo();
  const std::size_t user = anonymous.find("user=");
  anonymous.erase(user, anonymous.find(' ', user) - user);
  LiveFixture live;
  {
    WireProbe maker(*live.database);
    live.run_until([&] { return maker.started; });
    maker.query("select 1 from pg_roles where rolname = 'relay_other'");
    live.run_until([&] { return maker.ready() == 1; });
    if (maker.take().find("D:1") == std::string::npos) {
      maker.query("create role relay_other superuser login");
      live.run_until([&] { return maker.ready() == 1; });
    }
  }
  if (live.conninfo().find("sslmode") != std::string::npos) return;  // the role has no password
  live.close();
  PostgresOptions options;
  options.conninfo = anonymous;
  options.max_size = 1;
  live.open(std::move(options));
  WireProbe one(*live.database, {}, "postgres");
  WireProbe two(*live.database, {}, "relay_other");
  live.run_until([&] { return one.started && two.started; });
  for (int round = 0; round < 3; ++round) {
    one.query("select current_user");
    two.query("select current_user");
    live.run_until([&] { return one.ready() == 1 && two.ready() == 1; });
    CHECK(one.take() == "T D:postgres C:SELECT 1 Z:I");
    CHECK(two.take() == "T D:relay_other C:SELECT 1 Z:I");
  }
  CHECK(live.database->status().pools.size() == 2);
}

TEST_CASE("a session that listens keeps its link, hears while it is idle, and may stop") {
  PostgresOptions options;
  options.max_size = 2;
  options.max_pinned = 1;
  options.listen = ListenMode::pin;
  LiveFixture live(std::move(options));
  WireProbe one(*live.database);
  live.run_until([&] { return one.started; });
  one.query("listen here");
  live.run_until([&] { return one.ready() == 1; });
  CHECK(one.take() == "C:LISTEN Z:I");
  WireProbe two(*live.database);
  live.run_until([&] { return two.started; });
  two.query("notify here, 'news'");
  live.run_until([&] { return two.ready() == 1 && !one.received.empty(); });
  CHECK(one.take() == "A");
  two.take();
  two.query("create temp table too_many (a int)");
  live.run_until([&] { return two.ready() == 1; });
  CHECK(two.take() == "E:53300 Z:I");
  CHECK(live.pool().pinned == 1);
  one.query("unlisten *");
  live.run_until([&] { return one.ready() == 1 && live.pool().pinned == 0; });
}

TEST_CASE_FIXTURE(RelayFixture, "a plan whose result has changed its type is made again unseen") {
  const auto one = probe();
  const auto two = probe();
  run(*one, "drop table if exists relay_plan; create table relay_plan (a int)");
  CHECK(send(*one, synced(parsed("s", "select * from relay_plan") + executed("s"))) ==
        "1 2 C:SELECT 0 Z:I");
  CHECK(run(*two, "alter table relay_plan add b int") == "C:ALTER TABLE Z:I");
  CHECK(send(*one, synced(executed("s"))) == "2 C:SELECT 0 Z:I");
  CHECK(run(*two, "drop table relay_plan") == "C:DROP TABLE Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "a lost link is one error, and in a transaction a failed one") {
  const auto one = probe();
  const auto killer = [&] {
    PostgresOptions options;
    options.name = "killer";
    options.conninfo = conninfo();
    return *open_postgres(std::move(options), reactor, log);
  }();
  const auto kill = [&](const std::string& pid) {
    WireProbe probe(*killer);
    run_until([&] { return probe.started; });
    probe.query("select pg_terminate_backend(" + pid + ")");
    run_until([&] { return probe.ready() == 1; });
  };
  const auto pid = [&] {
    const std::string row = run(*one, "select pg_backend_pid()");
    return row.substr(4, row.find(' ', 4) - 4);
  };
  SUBCASE("an idle client notices nothing") {
    kill(pid());
    run_until([&] { return pool().connections_lost == 1; });
    CHECK(run(*one, "select 1") == "T D:1 C:SELECT 1 Z:I");
  }
  SUBCASE("between the statements of a transaction") {
    run(*one, "begin");
    kill(pid());
    run_until([&] { return pool().leased == 0; });
    CHECK(run(*one, "select 1") == "E:57P01 Z:E");
    CHECK(run(*one, "select 1") == "E:25P02 Z:E");
    CHECK(run(*one, "commit") == "C:ROLLBACK Z:I");
    CHECK(run(*one, "select 1") == "T D:1 C:SELECT 1 Z:I");
  }
  SUBCASE("in a statement") {
    const std::string mine = pid();
    one->query("select pg_sleep(30)");
    kill(mine);
    run_until([&] { return one->ready() == 1; });
    CHECK(one->take() == "T E:57P01 Z:I");
    CHECK(run(*one, "select 1") == "T D:1 C:SELECT 1 Z:I");
  }
  bool closed = false;
  killer->shut_down([&](std::vector<std::string>) { closed = true; });
  run_until([&] { return closed; });
}

TEST_CASE_FIXTURE(RelayFixture, "a cancel ends what runs or waits, and never what comes next") {
  const auto one = probe();
  const auto two = probe();
  one->query("select pg_sleep(30)");
  two->query("select 1");
  two->session->cancel("canceling statement due to user request");
  run_until([&] { return two->ready() == 1; });
  CHECK(two->take() == "E:57014 Z:I");
  one->session->cancel("canceling statement due to user request");
  run_until([&] { return one->ready() == 1; });
  CHECK(one->take().ends_with("E:57014 Z:I"));  // it may not have begun
  CHECK(run(*one, "select 1") == "T D:1 C:SELECT 1 Z:I");
  one->session->cancel("nothing runs");
  CHECK(run(*one, "select 1") == "T D:1 C:SELECT 1 Z:I");
}

TEST_CASE_FIXTURE(RelayFixture, "an abandoned session leaves a clean link") {
  auto one = probe();
  run(*one, "begin; set local work_mem to '7MB'");
  one->send_messages(parsed("", "select pg_sleep(30)") + executed(""));
  one.reset();
  const auto two = probe();
  CHECK(run(*two, "show work_mem") == "T D:4MB C:SHOW Z:I");
  CHECK(run(*two, "commit") == "N:25P01 C:COMMIT Z:I");
  CHECK(pool().connections_num == 1);
}

}  // namespace based
