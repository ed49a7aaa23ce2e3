#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "tests/backends/postgres/live_fixture.h"

namespace based {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

}  // namespace

TEST_CASE("a session holds no link before its first unit and none after an autocommit unit") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  CHECK(live.pool().pool_size == 0);
  live.run(probe, "SELECT 1 AS one, 'x' AS t");
  CHECK(probe.columns == "one int4;t text;");
  CHECK(probe.rows == "1,'x',;");
  CHECK(probe.tags == "SELECT;");
  CHECK(probe.outcome->transaction == TransactionStatus::idle);
  CHECK_FALSE(probe.outcome->lease_held);
  CHECK(live.pool().pool_available == 1);
}

TEST_CASE("a step that is described is checked, shows its columns and its tag, and does not run") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  const auto described = [&](std::string_view text) {
    Unit unit = probe.unit(text);
    for (Step& step : unit.steps) step.describe = true;
    live.run(probe, std::move(unit));
    return probe.sqlstate() + probe.columns + probe.tags;
  };
  live.run(probe, "CREATE TABLE described (n int)");
  CHECK(described("INSERT INTO described VALUES ($1) RETURNING n, $2::text AS t") ==
        "n int4;t text;INSERT 0;");
  CHECK(described("WITH a AS (SELECT 1) DELETE FROM described") == "DELETE 0;");
  CHECK(described("SELECT $1 + n AS sum FROM described") == "sum int4;SELECT;");
  CHECK(described("TRUNCATE described; SET work_mem = '99MB'; CREATE TEMP TABLE u (n int)") ==
        "TRUNCATE TABLE;SET;CREATE TABLE;");
  CHECK(described("INSERT INTO missing VALUES ($1)") == "42P01");
  CHECK(probe.outcome->phase == UnitPhase::step);
  CHECK(probe.outcome->error->position == 12);
  CHECK(described("INSERT INTO INTO described") == "42601");
  live.run(probe, "SELECT count(*) FROM described; SELECT current_setting('work_mem') = '99MB'");
  CHECK(probe.rows == "0,;1:false,;");
  CHECK(described("SET work_mem = '98MB'") == "SET;");
  auto profile = std::make_shared<Profile>();
  profile->settings["work_mem"] = "'98MB'";
  Unit with_setting = probe.unit("SHOW work_mem");
  with_setting.profile = profile;
  live.run(probe, std::move(with_setting));
  CHECK(probe.rows == "'98MB',;");
  CHECK_FALSE(probe.outcome->lease_held);
  live.run(probe, "DROP TABLE described");
}

TEST_CASE("the tag of a statement that stops at its row limit is the one that it would have") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  Unit unit = probe.unit("/* rows */ WITH a AS (SELECT generate_series(1, 3) n) SELECT n FROM a");
  unit.steps[0].max_rows = 1;
  live.run(probe, std::move(unit));
  CHECK(probe.tags == "SELECT truncated;");
}

TEST_CASE("the six kinds of value cross exactly, in both directions, with their types declared") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  const std::string bytes = "\0\xff\\x"s;
  for (int i = 0; i < 3; ++i) {  // unnamed, named, and named again
    live.run(probe, "SELECT $1, $2, $3::text, $4, $5, $6, $7, $8::float4, $1 + 1",
             {ValueView::of(std::int64_t{7}), ValueView::of(most),
              ValueView::text("grün\xf0\x9f\x98\x80"), ValueView::bytes(bytes), ValueView::of(true),
              ValueView::of(0.1), ValueView::null(), ValueView::of(0.5)});
    CHECK(probe.sqlstate() == "");
    CHECK(probe.columns ==
          "?column? int4;?column? int8;text text;?column? bytea;?column? bool;?column? "
          "float8;?column? text;float4 float4;?column? int4;");
    CHECK(probe.rows == "7,9223372036854775807,'grün\xf0\x9f\x98\x80',x'" + bytes +
                            "',true,f0.100000,null,f0.500000,8,;");
  }
  CHECK(live.pool().pool_size == 1);
}

TEST_CASE("floats come back with every bit, infinities and NaN included") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  live.run(probe,
           "SELECT $1::float8 = 5e-324, $2::float8 = 'Infinity', $3::float8 = 'NaN', $4::float8 = "
           "'-Infinity'",
           {ValueView::of(5e-324), ValueView::of(std::numeric_limits<double>::infinity()),
            ValueView::of(std::numeric_limits<double>::quiet_NaN()),
            ValueView::of(-std::numeric_limits<double>::infinity())});
  CHECK(probe.rows == "true,true,true,true,;");
  live.run(probe,
           "SELECT 'NaN'::float8, '-Infinity'::float4, 5e-324::float8 = 0, 0.1::float4::float8 = "
           "0.1::float4");
  CHECK(probe.rows == "fnan,f-inf,false,true,;");
}

TEST_CASE("an error has the server's fields, and its position in bytes of the statement") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  live.run(probe, "SELECT 'ü', nope");
  REQUIRE(probe.outcome->error);
  CHECK(probe.sqlstate() == "42703");
  CHECK(probe.outcome->error->position == 13);
  CHECK(probe.outcome->phase == UnitPhase::step);
  CHECK(probe.outcome->error->executed == Executed::no);
  live.run(probe, "CREATE TABLE named (id int CONSTRAINT small CHECK (id < 10))");
  CHECK(probe.tags == "CREATE TABLE;");
  live.run(probe, "INSERT INTO named VALUES (11)");
  CHECK(probe.outcome->error->constraint == "small");
  CHECK(probe.outcome->error->table == "named");
  live.run(probe, "INSERT INTO named VALUES (1), (2)");
  CHECK(probe.tags == "INSERT 2;");
  live.run(probe, "DROP TABLE named");
  CHECK(live.pool().pool_size == 1);
}

TEST_CASE("an error has the server's own detail and hint") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  live.run(probe,
           "DO $$ BEGIN RAISE 'no tea' USING ERRCODE = 'UE123', DETAIL = 'the pot is cold', HINT = "
           "'boil water', COLUMN = 'leaf', CONSTRAINT = 'hot', TABLE = 'pots', SCHEMA = 'kitchen'; "
           "END $$");
  CHECK(probe.sqlstate() == "UE123");
  const Error raised = probe.outcome->error.value();
  CHECK(raised.message == "no tea");
  // What the server calls the context comes behind it.
  CHECK(raised.detail.starts_with("the pot is cold\nCONTEXT: PL/pgSQL function"));
  CHECK(raised.hint == "boil water");
  CHECK(raised.column == "leaf");
  CHECK(raised.constraint == "hot");
  CHECK(raised.table == "pots");
  live.run(probe, "CREATE TABLE keyed (id int PRIMARY KEY)");
  live.run(probe, "INSERT INTO keyed VALUES (7)");
  live.run(probe, "INSERT INTO keyed VALUES (7)");
  CHECK(probe.sqlstate() == "23505");
  CHECK(probe.outcome->error->detail == "Key (id)=(7) already exists.");
  CHECK(probe.outcome->error->hint == "");
  CHECK(probe.outcome->error->constraint == "keyed_pkey");
  live.run(probe, "SELECT key FROM keyed");
  CHECK(probe.sqlstate() == "42703");
  CHECK(probe.outcome->error->detail == "");
  live.run(probe, "DROP TABLE keyed");
}

TEST_CASE("what PostgreSQL cannot take is refused before anything is executed") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  live.run(probe, "SELECT $1::text", {ValueView::text("a\0b"s)});
  CHECK(probe.sqlstate() == "22021");
  CHECK(probe.outcome->error->executed == Executed::no);
  live.run(probe, "COPY (SELECT 1) TO STDOUT");
  CHECK(probe.sqlstate() == "0A000");
  live.run(probe, "LISTEN news");
  CHECK(probe.sqlstate() == "0A000");
  live.run(probe, "SET client_encoding TO latin1");
  CHECK(probe.sqlstate() == "0A000");
  CHECK(live.pool().pool_size == 0);
}

TEST_CASE("COPY that was not recognised is refused as well, and the link stays usable") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  live.run(probe, "CREATE TABLE copied (id int)");
  for (const char* text : {"COPY copied FROM STDIN", "COPY (SELECT 1) TO STDOUT"}) {
    Unit unit;
    unit.steps.push_back({.statement = statement_of(text)});
    live.run(probe, std::move(unit));
    CHECK(probe.sqlstate() == "0A000");
    live.run(probe, "SELECT count(*) FROM copied");
    CHECK(probe.rows == "0,;");
  }
  live.run(probe, "DROP TABLE copied");
  CHECK(live.pool().connections_lost == 0);
  CHECK(live.pool().connections_num == 1);
}

TEST_CASE("prologue, steps and epilogue are one group; the recovery follows an error") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  Unit unit = probe.unit("SELECT 1; SELECT 2");
  unit.envelope.prologue = {statement_of("BEGIN", StatementKind::begin)};
  unit.envelope.epilogue = {statement_of("COMMIT", StatementKind::commit)};
  live.run(probe, std::move(unit));
  CHECK(probe.rows == "1,;1:2,;");
  CHECK(probe.outcome->transaction == TransactionStatus::idle);

  unit = probe.unit("SELECT 1; SELECT 1/0; SELECT 3");
  unit.envelope.prologue = {statement_of("BEGIN", StatementKind::begin)};
  unit.envelope.epilogue = {statement_of("COMMIT", StatementKind::commit)};
  unit.envelope.recovery = {statement_of("ROLLBACK", StatementKind::rollback)};
  live.run(probe, std::move(unit));
  CHECK(probe.sqlstate() == "22012");
  CHECK(probe.outcome->phase == UnitPhase::step);
  CHECK(probe.outcome->step == 1);
  CHECK(probe.outcome->transaction == TransactionStatus::idle);
  CHECK_FALSE(probe.outcome->lease_held);
}

TEST_CASE("a transaction keeps its link; an abandoned session's transaction is rolled back") {
  LiveFixture live;
  SessionProbe watcher(*live.database);
  live.run(watcher, "CREATE TABLE kept (id int)");
  auto probe = std::make_unique<SessionProbe>(*live.database);
  live.hold(*probe, "BEGIN; INSERT INTO kept VALUES (1)");
  CHECK(probe->outcome->transaction == TransactionStatus::open);
  CHECK(probe->outcome->lease_held);
  CHECK(live.pool().leased == 1);
  probe.reset();
  live.run_until([&] { return live.pool().pool_available >= 1 && live.pool().leased == 0; });
  live.run(watcher, "SELECT count(*) FROM kept");
  CHECK(watcher.rows == "0,;");
  live.run(watcher, "DROP TABLE kept");
  CHECK(live.pool().connections_lost == 0);
}

TEST_CASE("an abandoned session's running statement is cancelled, and the link is used again") {
  LiveFixture live({.max_size = 1});
  auto probe = std::make_unique<SessionProbe>(*live.database);
  probe->submit(probe->unit("SELECT pg_sleep(60)"));
  live.run_until([&] { return live.pool().leased == 1; });
  probe.reset();
  SessionProbe next(*live.database);
  live.run(next, "SELECT 2");
  CHECK(next.rows == "2,;");
  CHECK(live.pool().connections_num == 1);
}

TEST_CASE("a cancel ends the running unit with 57014 and its own words, and hits no later one") {
  LiveFixture live({.max_size = 1});
  SessionProbe probe(*live.database);
  for (int i = 0; i < 20; ++i) {
    probe.submit(probe.unit(i % 2 == 0 ? "SELECT pg_sleep(60)" : "SELECT 1"));
    live.run_until([&] { return live.pool().leased == 1; });
    probe.session().cancel("the client said so");
    live.run_until([&] { return probe.done(); });
    if (i % 2 == 0) {
      CHECK(probe.sqlstate() == "57014");
      CHECK(probe.outcome->error->message == "the client said so");
    }
    live.run(probe, "SELECT 2");
    CHECK(probe.sqlstate() == "");
  }
  CHECK(live.pool().connections_num == 1);
}

// A prologue that rests in its statement `slow`, 0 or 1, until it is cancelled there.
SessionProbe& strike(LiveFixture& live, SessionProbe& probe, std::size_t slow, Envelope envelope) {
  Unit unit = probe.unit("INSERT INTO struck VALUES (9)");
  envelope.prologue.insert(envelope.prologue.begin() + static_cast<std::ptrdiff_t>(slow),
                           statement_of("SELECT pg_sleep(60)"));
  unit.envelope = std::move(envelope);
  unit.keep_lease = true;
  probe.submit(std::move(unit));
  SessionProbe watcher(*live.database);
  do {  // else the cancel might come before the statement
    live.run(watcher,
             "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND "
             "wait_event = 'PgSleep'");
  } while (watcher.rows.empty());
  probe.session().cancel("struck");
  live.run_until([&] { return probe.done(); });
  CHECK(probe.sqlstate() == "57014");
  CHECK(probe.outcome->error->message == "struck");
  CHECK(probe.outcome->phase == UnitPhase::prologue);
  CHECK(probe.outcome->step == slow);
  return probe;
}

TEST_CASE("a cancel in the prologue leaves no more than the transaction as it was") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  live.run(probe, "CREATE TABLE struck (id int)");
  using enum StatementKind;
  Envelope envelope;
  envelope.prologue = {statement_of("BEGIN", begin)};
  envelope.retreat = {statement_of("ROLLBACK", rollback)};
  strike(live, probe, 1, envelope);
  CHECK(probe.outcome->transaction == TransactionStatus::idle);
  CHECK_FALSE(probe.outcome->lease_held);

  live.hold(probe, "BEGIN; INSERT INTO struck VALUES (1); SAVEPOINT kept");
  envelope = {};
  envelope.prologue = {statement_of("SAVEPOINT guard", savepoint, "guard")};
  envelope.retreat = {statement_of("ROLLBACK TO SAVEPOINT guard", rollback_to, "guard"),
                      statement_of("RELEASE SAVEPOINT guard", release, "guard")};
  envelope.recovery = envelope.retreat;
  strike(live, probe, 1, envelope);
  CHECK(probe.outcome->transaction == TransactionStatus::open);
  live.hold(probe, "SELECT count(*) FROM struck; RELEASE SAVEPOINT kept; SAVEPOINT kept");
  CHECK(probe.rows == "1,;");

  // The guard itself: PostgreSQL has failed the transaction, and there is nothing to go back to.
  strike(live, probe, 0, envelope);
  CHECK(probe.outcome->transaction == TransactionStatus::failed);
  CHECK(probe.outcome->lease_held);
  live.hold(probe, "ROLLBACK TO SAVEPOINT kept; SELECT count(*) FROM struck");
  CHECK(probe.rows == "1:1,;");
  live.run(probe, "COMMIT; DROP TABLE struck");
  CHECK(probe.sqlstate() == "");
  CHECK(live.pool().connections_lost == 0);
}

TEST_CASE("a statement timeout is counted from each step's start") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  Unit unit = probe.unit("SELECT pg_sleep(0.4); SELECT pg_sleep(0.4); SELECT pg_sleep(0.4)");
  unit.statement_timeout = 1s;
  live.run(probe, std::move(unit));
  CHECK(probe.sqlstate() == "");
  unit = probe.unit("SELECT pg_sleep(0.01); SELECT pg_sleep(60)");
  unit.statement_timeout = 100ms;
  live.run(probe, std::move(unit));
  CHECK(probe.sqlstate() == "57014");
  CHECK(probe.outcome->step == 1);
  CHECK(probe.outcome->error->message == "canceling statement due to statement timeout");
}

TEST_CASE("a settings profile goes ahead of the unit and does not leak to another session") {
  LiveFixture live({.init_sql = {"SET work_mem TO '5MB'"}, .max_size = 1});
  SessionProbe one(*live.database), two(*live.database);
  const auto profile = std::make_shared<const Profile>(
      Profile{{{"work_mem", "'7MB'"}, {"my.var", "'hello'"}, {"timezone", "'Asia/Tokyo'"}}});
  const char* text =
      "SELECT current_setting('work_mem'), current_setting('my.var', true), "
      "'2020-01-01'::timestamptz::text";
  for (int i = 0; i < 3; ++i) {
    Unit unit = one.unit(text);
    unit.profile = profile;
    live.run(one, std::move(unit));
    CHECK(one.rows == "'7MB','hello','2020-01-01 00:00:00+09',;");
    live.run(two, text);
    CHECK(two.rows.starts_with("'5MB','','2020-01-01 00:00:00+0"));
    CHECK_FALSE(two.rows.ends_with("+09',;"));
  }
  const auto bad = std::make_shared<const Profile>(Profile{{{"work_mem", "'lots'"}}});
  Unit unit = one.unit("SELECT 1");
  unit.profile = bad;
  live.run(one, std::move(unit));
  CHECK(one.sqlstate() == "22023");
  CHECK(one.outcome->phase == UnitPhase::queue);
  live.run(two, text);
  CHECK(two.rows.starts_with("'5MB'"));
}

TEST_CASE("a setting made in a transaction that is rolled back does not deceive the pool") {
  LiveFixture live({.max_size = 1});
  SessionProbe one(*live.database), two(*live.database);
  const auto profile = std::make_shared<const Profile>(Profile{{{"work_mem", "'7MB'"}}});
  live.hold(one, "BEGIN");
  Unit unit = one.unit("SELECT current_setting('work_mem')");
  unit.profile = profile;
  unit.keep_lease = true;
  live.run(one, std::move(unit));
  CHECK(one.rows == "'7MB',;");
  live.run(one, "ROLLBACK");
  unit = two.unit("SELECT current_setting('work_mem')");
  unit.profile = profile;
  live.run(two, std::move(unit));
  CHECK(two.rows == "'7MB',;");
}

TEST_CASE(
    "a prepared statement whose result type changed is prepared again, unseen by the client") {
  LiveFixture live({.max_size = 1});
  SessionProbe probe(*live.database);
  live.run(probe, "CREATE TABLE changing (a int)");
  for (int i = 0; i < 3; ++i) live.run(probe, "SELECT * FROM changing");
  live.run(probe, "ALTER TABLE changing ADD b text");
  live.run(probe, "SELECT * FROM changing");
  CHECK(probe.sqlstate() == "");
  CHECK(probe.columns == "a int4;b text;");
  for (int i = 0; i < 3; ++i) live.run(probe, "SELECT a FROM changing");
  for (const char* text : {"DEALLOCATE ALL", "DISCARD ALL"}) {
    Unit unit;
    unit.steps.push_back({.statement = statement_of(text)});
    live.run(probe, std::move(unit));
    CHECK(probe.sqlstate() == "");
    live.run(probe, "SELECT a FROM changing");
    CHECK(probe.sqlstate() == "");
  }
  live.run(probe, "DROP TABLE changing");
}

TEST_CASE("a text is prepared at its second execution, and that is used from the third on") {
  LiveFixture live({.max_size = 1});
  SessionProbe probe(*live.database);
  using Counts = std::pair<std::uint64_t, std::uint64_t>;
  const auto prepared_and_reused = [&] {
    return Counts(live.pool().statements_prepared, live.pool().statements_reused);
  };
  // The server's own view, in a text that is new each time: it is not prepared itself.
  int asked = 0;
  const auto on_the_server = [&] {
    live.run(probe,
             "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%twice%' AND " +
                 std::to_string(++asked) + " > 0");
    return probe.rows;
  };
  const std::array<Counts, 4> counts = {Counts{0, 0}, Counts{1, 0}, Counts{1, 1}, Counts{1, 2}};
  const std::array<std::string, 4> held = {"0,;", "1,;", "1,;", "1,;"};
  for (std::size_t i = 0; i < counts.size(); ++i) {
    CAPTURE(i);
    live.run(probe, "SELECT $1 + 2 AS twice", {ValueView::of(std::int64_t{40})});
    CHECK(probe.rows == "42,;");
    CHECK(prepared_and_reused() == counts[i]);
    CHECK(on_the_server() == held[i]);
  }
  // Other types of parameters are another statement, of a text that was seen.
  live.run(probe, "SELECT $1 + 2 AS twice", {ValueView::of(0.5)});
  CHECK(probe.rows == "f2.500000,;");
  CHECK(prepared_and_reused() == Counts(2, 2));
}

TEST_CASE("more texts than the cache holds are evicted in order, also within one unit") {
  LiveFixture live({.max_size = 1, .statements_cached_max = 3});
  SessionProbe probe(*live.database);
  for (int round = 0; round < 4; ++round) {
    std::string script, expected;
    for (int i = 0; i < 10; ++i) {
      script += "SELECT " + std::to_string(i) + ";";
      expected += (i == 0 ? "" : std::to_string(i) + ":") + std::to_string(i) + ",;";
    }
    live.run(probe, script);
    CHECK(probe.rows == expected);
  }
  live.run(probe, "SELECT count(*) <= 4 FROM pg_prepared_statements");
  CHECK(probe.rows == "true,;");
}

TEST_CASE("types that users made are named, also those made after the link was opened") {
  LiveFixture live({.max_size = 1});
  SessionProbe probe(*live.database);
  live.run(probe, "SELECT 1");
  live.run(probe, "CREATE TYPE mood AS ENUM ('sad', 'ok')");
  live.run(probe, "SELECT 'ok'::mood AS m");
  CHECK(probe.columns == "m mood;");
  CHECK(probe.rows == "'ok',;");
  live.run(probe, "DROP TYPE mood");
}

TEST_CASE("a row limit truncates, and the next unit is not disturbed") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  Unit unit = probe.unit("SELECT * FROM generate_series(1, 10); SELECT 'after'");
  unit.steps[0].max_rows = 3;
  live.run(probe, std::move(unit));
  CHECK(probe.rows == "1,;2,;3,;1:'after',;");
  CHECK(probe.tags == "SELECT truncated;SELECT;");
}

TEST_CASE("a reader that pauses stops the server's rows, and resume lets them flow again") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  probe.keep_rows = false;
  probe.on_each_row = [&] { return probe.row_count % 1000 == 0 ? Flow::pause : Flow::more; };
  probe.submit(probe.unit("SELECT repeat('x', 1000) FROM generate_series(1, 20000)"));
  std::size_t seen = 0;
  while (!probe.done()) {
    live.run_until([&] { return probe.done() || probe.row_count >= seen + 1000; });
    if (probe.done()) break;
    CHECK(probe.row_count == seen + 1000);
    seen = probe.row_count;
    for (int i = 0; i < 3; ++i) uv_run(live.reactor.loop(), UV_RUN_NOWAIT);
    CHECK(probe.row_count == seen);
    probe.session().resume();
  }
  CHECK(probe.row_count == 20000);
  CHECK(probe.sqlstate() == "");
}

TEST_CASE("a row larger than the limit is an error of the statement, not the end of the link") {
  LiveFixture live({.max_size = 1, .message_bytes_max = 100'000});
  SessionProbe probe(*live.database);
  live.run(probe, "SELECT repeat('x', 50000)");
  CHECK(probe.sqlstate() == "");
  live.run(probe, "SELECT repeat('x', 1000000) FROM generate_series(1, 3)");
  CHECK(probe.sqlstate() == "54000");
  live.run(probe, "SELECT 1");
  CHECK(probe.rows == "1,;");
  CHECK(live.pool().connections_num == 1);
}

TEST_CASE("waiters are served in order, and one that waits too long hears 53300 and no hang") {
  LiveFixture live({.max_size = 1, .timeout = 200ms, .max_waiting = 2});
  SessionProbe holder(*live.database), first(*live.database), second(*live.database),
      third(*live.database);
  live.hold(holder, "BEGIN");
  first.submit(first.unit("SELECT 1"));
  second.submit(second.unit("SELECT 2"));
  third.submit(third.unit("SELECT 3"));
  live.run_until([&] { return third.done(); });
  CHECK(third.sqlstate() == "53300");
  CHECK_FALSE(first.done());
  live.run_until([&] { return first.done() && second.done(); });
  CHECK(first.sqlstate() == "53300");
  CHECK(first.outcome->phase == UnitPhase::queue);
  CHECK(first.outcome->error->retryable);
  first.submit(first.unit("SELECT 1"));
  second.submit(second.unit("SELECT 2"));
  second.session().cancel("no more");
  live.run(holder, "COMMIT");
  live.run_until([&] { return first.done() && second.done(); });
  CHECK(first.rows == "1,;");
  CHECK(second.sqlstate() == "57014");
}

TEST_CASE("a wrong password and an unknown database fail at once with the server's own error") {
  LiveFixture live({.conninfo = LiveFixture::conninfo() + " dbname=missing"});
  SessionProbe probe(*live.database);
  live.run(probe, "SELECT 1");
  CHECK(probe.sqlstate() == "3D000");
  CHECK(probe.outcome->error->message.find("missing") != std::string::npos);
  CHECK(probe.outcome->error->message.find("LOCATION") == std::string::npos);
}

TEST_CASE("a lost backend: one error that says what may have happened, then the pool recovers") {
  LiveFixture live({.max_size = 3});
  SessionProbe killer(*live.database), probe(*live.database);
  live.run(killer, "SELECT 1");
  const std::string kill =
      "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
      "AND application_name = 'based'";
  // idle in a transaction
  live.hold(probe, "BEGIN");
  live.run(killer, kill);
  live.run_until([&] { return probe.lease_lost.has_value(); });
  CHECK(probe.lease_lost->sqlstate.text() == "08006");
  // in a statement
  probe.submit(probe.unit("SELECT pg_sleep(60)"));
  live.run(killer, "SELECT 1");
  live.run(killer, kill);
  live.run_until([&] { return probe.done(); });
  CHECK(probe.sqlstate() == "08006");
  CHECK(probe.outcome->error->executed == Executed::no);
  CHECK(probe.outcome->transaction == TransactionStatus::idle);
  // idle: nobody notices
  live.run(probe, "SELECT 1");
  live.run(killer, kill);
  live.run(probe, "SELECT 2");
  CHECK(probe.rows == "2,;");
}

TEST_CASE("a transaction that rests too long is rolled back and its session told") {
  LiveFixture live({.max_size = 1, .idle_in_transaction = 50ms});
  SessionProbe probe(*live.database);
  live.hold(probe, "BEGIN");
  live.run_until([&] { return probe.lease_lost.has_value(); });
  CHECK(probe.lease_lost->sqlstate.text() == "25P03");
  live.run(probe, "SELECT 1");
  CHECK(probe.rows == "1,;");
}

TEST_CASE("a pinned session keeps its link, which is reset before anybody else has it") {
  LiveFixture live({.max_size = 1});
  auto probe = std::make_unique<SessionProbe>(*live.database);
  Unit unit = probe->unit("CREATE TEMP TABLE mine (id int)");
  unit.pin = true;
  live.run(*probe, std::move(unit));
  CHECK(probe->outcome->lease_held);
  live.run(*probe, "SELECT count(*) FROM mine");
  CHECK(probe->rows == "0,;");
  CHECK(probe->outcome->lease_held);
  probe.reset();
  SessionProbe other(*live.database);
  live.run(other, "SELECT count(*) FROM mine");
  CHECK(other.sqlstate() == "42P01");
  CHECK(live.pool().connections_num == 1);
}

TEST_CASE("notices reach the sink with their severity") {
  LiveFixture live;
  SessionProbe probe(*live.database);
  live.run(probe, "DO $$ BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'mind'; END $$");
  CHECK(probe.notices == "NOTICE hello;WARNING mind;");
}

TEST_CASE("a read-only session cannot write, and its neighbour on the same link can") {
  LiveFixture live({.max_size = 1});
  SessionProbe reader(*live.database, {.read_only = true}), writer(*live.database);
  live.run(writer, "CREATE TABLE ro (id int)");
  live.run(reader, "INSERT INTO ro VALUES (1)");
  CHECK(reader.sqlstate() == "25006");
  live.run(writer, "DROP TABLE ro");
  CHECK(writer.sqlstate() == "");
}

TEST_CASE("hundreds of sessions on two links all get their own answers") {
  LiveFixture live({.max_size = 2});
  std::vector<std::unique_ptr<SessionProbe>> probes;
  for (int i = 0; i < 200; ++i) probes.push_back(std::make_unique<SessionProbe>(*live.database));
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < probes.size(); ++i) {
      probes[i]->submit(
          probes[i]->unit("SELECT $1", {ValueView::of(static_cast<std::int64_t>(i))}));
    }
    live.run_until(
        [&] { return std::ranges::all_of(probes, [](const auto& p) { return p->done(); }); });
    for (std::size_t i = 0; i < probes.size(); ++i)
      CHECK(probes[i]->rows == std::to_string(i) + ",;");
  }
  CHECK(live.pool().pool_size == 2);
}

}  // namespace based
