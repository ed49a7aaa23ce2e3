#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/backends/postgres/live_fixture.h"

namespace based {
namespace {

using namespace std::chrono_literals;

StatementRef control(StatementKind kind, const char* text) { return statement_of(text, kind); }

// An autocommit unit as backends/envelope makes it for a rooted database.
Unit guarded(Unit unit) {
  using enum StatementKind;
  unit.envelope.prologue = {control(begin, "SAVEPOINT \"based_guard\"")};
  unit.envelope.epilogue = {control(commit, "RELEASE SAVEPOINT \"based_guard\"")};
  unit.envelope.recovery = {control(rollback_to, "ROLLBACK TO SAVEPOINT \"based_guard\""),
                            control(rollback, "RELEASE SAVEPOINT \"based_guard\"")};
  unit.alone = unit.steps.size() == 1;
  return unit;
}

// A sandbox, and beside it an ordinary pool that sees what is really there.
class SandboxFixture : public LiveFixture {
 public:
  explicit SandboxFixture(PostgresOptions options = {}) : LiveFixture(rooted(std::move(options))) {
    PostgresOptions plain;
    plain.name = "outside";
    plain.conninfo = conninfo();
    Result<std::unique_ptr<Database>> opened = open_postgres(std::move(plain), reactor, log);
    REQUIRE(opened.ok());
    outside = *std::move(opened);
    look("DROP TABLE IF EXISTS sand CASCADE; CREATE TABLE sand (id int PRIMARY KEY)");
  }
  ~SandboxFixture() {
    close();  // the root holds locks
    look("DROP TABLE IF EXISTS sand CASCADE");
    bool closed = false;
    outside->shut_down([&](auto) { closed = true; });
    run_until([&] { return closed; });
  }

  static PostgresOptions rooted(PostgresOptions options) {
    options.force_rollback = true;
    return options;
  }

  // Straight from the server, outside the sandbox.
  std::string look(std::string_view text) {
    SessionProbe probe(*outside);
    run(probe, text);
    CHECK(probe.sqlstate() == "");
    return probe.rows;
  }
  // One autocommit unit.
  SessionProbe& guard(SessionProbe& probe, std::string_view text) {
    return run(probe, guarded(probe.unit(text)));
  }
  // A text that the classification takes for something harmless.
  SessionProbe& smuggle(SessionProbe& probe, std::string text) {
    Unit unit;
    unit.steps.push_back({.statement = statement_of(std::move(text))});
    return run(probe, guarded(std::move(unit)));
  }
  // A client transaction's first unit.
  SessionProbe& begin(SessionProbe& probe, std::string_view text) {
    Unit unit = probe.unit(text);
    unit.envelope.prologue = {control(StatementKind::begin, "SAVEPOINT \"based_1\"")};
    unit.keep_lease = true;
    return run(probe, std::move(unit));
  }
  // MARK, RESET [TO mark], DROP: the SQLSTATE, or nothing.
  using Change = std::function<void(Sandbox&, Sandbox::Done)>;
  std::string change(const Change& change) {
    std::optional<std::string> answer;
    int answers = 0;
    change(*database->sandbox(), [&](const std::optional<Error>& error) {
      answer = error ? std::string(error->sqlstate.text()) : "";
      ++answers;
    });
    CHECK(answers == 0);  // never inside the call
    run_until([&] { return answer.has_value(); });
    CHECK(answers == 1);
    return *answer;
  }
  std::string mark(const std::string& name) {
    return change([&](Sandbox& sandbox, auto done) { sandbox.mark(name, done); });
  }
  std::string reset(const std::optional<std::string>& to = std::nullopt) {
    return change([&](Sandbox& sandbox, auto done) { sandbox.reset(to, done); });
  }
  std::string drop() {
    return change([](Sandbox& sandbox, auto done) { sandbox.drop(done); });
  }
  std::string count(SessionProbe& probe) { return guard(probe, "SELECT count(*) FROM sand").rows; }
  SandboxStatus status() const { return database->status().sandboxes.at(0); }

  std::unique_ptr<Database> outside;
};

}  // namespace

TEST_CASE("what a sandbox does is seen inside it, never outside, and is gone at the end") {
  SandboxFixture sandbox;
  CHECK(sandbox.database->rooted());
  {
    SessionProbe one(*sandbox.database), two(*sandbox.database);
    sandbox.guard(one, "INSERT INTO sand VALUES (1)");
    CHECK(one.sqlstate() == "");
    CHECK(one.outcome->transaction == TransactionStatus::idle);
    CHECK_FALSE(one.outcome->lease_held);
    sandbox.guard(one, "CREATE TABLE dune (id int)");
    sandbox.guard(two, "SELECT count(*) FROM sand, dune RIGHT JOIN (VALUES (1)) v ON true");
    CHECK(two.rows == "1,;");
    CHECK(sandbox.look("SELECT count(*), to_regclass('dune') FROM sand") == "0,null,;");
  }
  sandbox.close();
  REQUIRE(sandbox.report.size() == 1);
  CHECK(sandbox.report[0].find("3 turns rolled back") != std::string::npos);
  CHECK(sandbox.look("SELECT count(*) FROM sand") == "0,;");
}

TEST_CASE("an error of one session touches neither its earlier work nor anybody else's") {
  SandboxFixture sandbox;
  SessionProbe one(*sandbox.database), two(*sandbox.database);
  sandbox.guard(one, "INSERT INTO sand VALUES (1)");
  sandbox.guard(two, "INSERT INTO sand VALUES (1)");
  CHECK(two.sqlstate() == "23505");
  CHECK(two.outcome->transaction == TransactionStatus::idle);
  sandbox.guard(two, "INSERT INTO sand VALUES (2)");
  sandbox.guard(one, "SELECT count(*) FROM sand");
  CHECK(one.rows == "2,;");
  CHECK(sandbox.status().epoch == 1);
}

TEST_CASE("no text ends the root, whatever the classification takes it for") {
  for (const char* text : {"COMMIT", "COMMIT AND CHAIN", "END", "PREPARE TRANSACTION 'x'",
                           "ROLLBACK", "ABORT AND CHAIN", "/* ; */ commit -- x"}) {
    CAPTURE(text);
    SandboxFixture sandbox;
    SessionProbe one(*sandbox.database), two(*sandbox.database);
    sandbox.guard(one, "INSERT INTO sand VALUES (1)");
    sandbox.smuggle(one, text);
    CHECK(one.sqlstate() != "");
    CHECK(sandbox.look("SELECT count(*) FROM sand") == "0,;");
    CHECK(sandbox.look("SELECT count(*) FROM pg_prepared_xacts") == "0,;");
    // Whoever was there hears that the sandbox was lost, once; nobody goes on without knowing.
    sandbox.run_until([&] { return sandbox.status().state != "ready"; });
    sandbox.guard(two, "INSERT INTO sand VALUES (2)");
    CHECK(two.sqlstate() == "40000");
    CHECK(two.outcome->error->executed == Executed::no);
    sandbox.guard(two, "SELECT count(*) FROM sand");
    CHECK(two.rows == "0,;");
    sandbox.guard(one, "INSERT INTO sand VALUES (3)");
    CHECK(sandbox.log.text().find("was LOST") != std::string::npos);
    CHECK(sandbox.status().epoch == 2);
    CHECK(sandbox.look("SELECT count(*) FROM sand") == "0,;");
  }
}

TEST_CASE("what runs right behind a lost root, in the same group, cannot write either") {
  SandboxFixture sandbox;
  SessionProbe probe(*sandbox.database);
  Unit unit;
  for (const char* text : {"ROLLBACK", "INSERT INTO sand VALUES (1)"}) {
    unit.steps.push_back({.statement = statement_of(text)});
  }
  sandbox.run(probe, guarded(std::move(unit)));
  CHECK(probe.sqlstate() == "25006");
  CHECK(probe.outcome->transaction == TransactionStatus::lost);
  CHECK(sandbox.look("SELECT count(*) FROM sand") == "0,;");
}

TEST_CASE("statements that cannot be in a sandbox are refused with a reason, and change nothing") {
  SandboxFixture sandbox;
  SessionProbe probe(*sandbox.database);
  for (const char* text : {"CREATE DATABASE x", "PREPARE TRANSACTION 'x'",
                           "CLOSE /* it */ _based_root", "close \"_based_root\"",
                           "SET idle_session_timeout = 1", "COMMIT", "ROLLBACK", "LISTEN x"}) {
    CAPTURE(text);
    sandbox.guard(probe, text);
    const bool alone = std::string_view(text).starts_with("CREATE");
    CHECK(probe.sqlstate() == (alone ? "25001" : "0A000"));
    CHECK(probe.outcome->error->executed == Executed::no);
  }
  sandbox.guard(probe, "INSERT INTO sand VALUES (1)");
  CHECK(probe.sqlstate() == "");
  CHECK(sandbox.status().epoch == 1);
}

TEST_CASE("what guards the root stays as it is, though its sessions may set and discard it") {
  SandboxFixture sandbox;
  SessionProbe probe(*sandbox.database);
  for (const char* text :
       {"SET default_transaction_read_only TO off", "RESET default_transaction_read_only",
        "SET LOCAL default_transaction_read_only = off", "DISCARD ALL", "RESET ALL",
        "SET idle_in_transaction_session_timeout = '1ms'"}) {
    CAPTURE(text);
    sandbox.guard(probe, text);
    CHECK(probe.sqlstate() == "");
  }
  // Without the timeout of the root it would be gone by now.
  sandbox.guard(probe, "SELECT pg_sleep(0.01), set_config('a' || '.b', 'c', true)");
  CHECK(probe.sqlstate() == "");
  sandbox.guard(probe,
                "SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN "
                "('default_transaction_read_only', 'idle_in_transaction_session_timeout')");
  CHECK(probe.rows == "'off 0',;");
  CHECK(sandbox.status().epoch == 1);
}

TEST_CASE(
    "sessions take turns, and the one that waits too long hears who holds it and what it ran") {
  SandboxFixture sandbox({.turn_timeout = 500ms});
  SessionProbe holder(*sandbox.database,
                      {.session_id = 7, .label = "importer", .client = "1.2.3.4:5"});
  SessionProbe waiter(*sandbox.database), next(*sandbox.database);
  sandbox.begin(holder, "INSERT INTO sand VALUES (1)");
  CHECK(holder.outcome->transaction == TransactionStatus::open);
  CHECK(holder.outcome->lease_held);
  sandbox.guard(waiter, "SELECT 1");
  CHECK(waiter.sqlstate() == "55P03");
  const std::string detail = waiter.outcome->error->detail;
  CHECK(detail.find("session 7 (importer) of 1.2.3.4:5") != std::string::npos);
  CHECK(detail.find("INSERT INTO sand VALUES (1)") != std::string::npos);
  CHECK(detail.find("idle for") != std::string::npos);
  next.submit(guarded(next.unit("SELECT count(*) FROM sand")));
  Unit commit;
  commit.envelope.epilogue = {control(StatementKind::commit, "RELEASE SAVEPOINT \"based_1\"")};
  sandbox.run(holder, std::move(commit));
  CHECK(holder.outcome->transaction == TransactionStatus::idle);
  sandbox.run_until([&] { return next.done(); });
  CHECK(next.rows == "1,;");
}

TEST_CASE("an abandoned transaction is rolled back, and nobody else's work with it") {
  SandboxFixture sandbox;
  SessionProbe other(*sandbox.database);
  sandbox.guard(other, "INSERT INTO sand VALUES (1)");
  auto idle = std::make_unique<SessionProbe>(*sandbox.database);
  sandbox.begin(*idle, "INSERT INTO sand VALUES (2)");
  idle.reset();
  sandbox.guard(other, "SELECT count(*) FROM sand");
  CHECK(other.rows == "1,;");
  auto busy = std::make_unique<SessionProbe>(*sandbox.database);
  busy->submit(guarded(busy->unit("INSERT INTO sand VALUES (3); SELECT pg_sleep(60)")));
  sandbox.run_until([&] { return sandbox.status().units == 4; });
  busy.reset();
  sandbox.guard(other, "SELECT count(*) FROM sand");
  CHECK(other.rows == "1,;");
  CHECK(sandbox.status().epoch == 1);
}

TEST_CASE("whose unit comes at the moment when it would have been idle for too long is not idle") {
  SandboxFixture sandbox(
      {.idle_while_waited = 300ms, .turns = TurnMode::join, .turn_timeout = 10s});
  SessionProbe outer(*sandbox.database), inner(*sandbox.database), other(*sandbox.database);
  const auto insert = [&](SessionProbe& probe, const char* text) {
    Unit unit = guarded(probe.unit(text));
    unit.keep_lease = true;
    probe.submit(std::move(unit));
  };
  sandbox.begin(outer, "INSERT INTO sand VALUES (1)");
  sandbox.begin(inner, "INSERT INTO sand VALUES (2)");
  CHECK(sandbox.count(other) == "2,;");  // the inner one's link is lent
  insert(outer, "INSERT INTO sand VALUES (3)");
  sandbox.run_until([turns = 0]() mutable { return ++turns > 3; });  // it waits
  CHECK(sandbox.status().waiting == 1);
  std::this_thread::sleep_for(350ms);  // the loop is busy, and both are there when it is not
  uv_update_time(sandbox.reactor.loop());
  insert(inner, "INSERT INTO sand VALUES (4)");
  sandbox.run_until([&] { return inner.done(); });
  CHECK(inner.sqlstate() == "");
  CHECK(inner.outcome->transaction == TransactionStatus::open);
  sandbox.run_until([&] { return outer.done(); });  // the inner one is idle then
  CHECK(outer.sqlstate() == "");
  CHECK(sandbox.count(other) == "2,;");
}

TEST_CASE("a lost backend is an error for all who were there, and leaves nothing") {
  SandboxFixture sandbox;
  SessionProbe holder(*sandbox.database), other(*sandbox.database);
  sandbox.begin(holder, "INSERT INTO sand VALUES (1)");
  sandbox.look(
      "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE state = 'idle in "
      "transaction'");
  sandbox.run_until([&] { return holder.lease_lost.has_value(); });
  sandbox.guard(other, "SELECT 1");
  CHECK(other.sqlstate() == "40000");
  sandbox.guard(holder, "SELECT count(*) FROM sand");
  CHECK(holder.rows == "0,;");
  CHECK(sandbox.look("SELECT count(*) FROM sand") == "0,;");
}

TEST_CASE(
    "deferred constraints fail where the client's COMMIT stands, and stay deferred after it") {
  SandboxFixture sandbox;
  SessionProbe probe(*sandbox.database);
  sandbox.guard(probe,
                "CREATE TABLE child (id int REFERENCES sand DEFERRABLE INITIALLY DEFERRED, "
                "later int REFERENCES sand DEFERRABLE)");
  for (int round = 0; round < 2; ++round) {
    sandbox.guard(probe, "INSERT INTO child VALUES (99)");
    CHECK(probe.sqlstate() == "23503");
    CHECK(probe.outcome->phase == UnitPhase::epilogue);
    CHECK(probe.outcome->transaction == TransactionStatus::idle);
    sandbox.guard(probe,
                  "INSERT INTO child VALUES (5); INSERT INTO sand VALUES (5); DELETE FROM child; "
                  "DELETE FROM sand");
    CHECK(probe.sqlstate() == "");
    sandbox.guard(probe, "INSERT INTO child VALUES (NULL, 6); INSERT INTO sand VALUES (6)");
    CHECK(probe.sqlstate() == "23503");
    CHECK(probe.outcome->phase == UnitPhase::step);
  }
}

TEST_CASE(
    "settings are a session's own in a sandbox too, and SET LOCAL ends with its transaction") {
  SandboxFixture sandbox;
  SessionProbe one(*sandbox.database), two(*sandbox.database);
  const auto profile = std::make_shared<const Profile>(Profile{{{"work_mem", "'7MB'"}}});
  const char* text = "SELECT current_setting('work_mem')";
  Unit unit = guarded(one.unit(text));
  unit.profile = profile;
  sandbox.run(one, std::move(unit));
  CHECK(one.rows == "'7MB',;");
  sandbox.guard(two, text);
  CHECK(two.rows == "'4MB',;");
  sandbox.guard(two, "SET LOCAL work_mem = '9MB'; SELECT 1");
  sandbox.guard(two, text);
  CHECK(two.rows == "'4MB',;");
  unit = guarded(one.unit("SELECT 1"));
  unit.profile = std::make_shared<const Profile>(Profile{{{"work_mem", "'lots'"}}});
  sandbox.run(one, std::move(unit));
  CHECK(one.sqlstate() == "22023");
  sandbox.guard(one, text);
  CHECK(one.rows == "'4MB',;");
  CHECK(sandbox.status().epoch == 1);
}

TEST_CASE("a read-only session cannot write in a sandbox") {
  SandboxFixture sandbox;
  SessionProbe reader(*sandbox.database, {.read_only = true}), writer(*sandbox.database);
  sandbox.guard(reader, "INSERT INTO sand VALUES (1)");
  CHECK(reader.sqlstate() == "25006");
  sandbox.guard(writer, "INSERT INTO sand VALUES (1)");
  CHECK(writer.sqlstate() == "");
}

TEST_CASE("marks are gone back to, and what is newer than a mark is forgotten") {
  SandboxFixture sandbox;
  SessionProbe one(*sandbox.database);
  CHECK(sandbox.reset("nothing") == "3B001");
  CHECK(sandbox.mark("empty") == "");
  sandbox.guard(one, "INSERT INTO sand VALUES (1)");
  CHECK(sandbox.mark("one") == "");
  sandbox.guard(one, "INSERT INTO sand VALUES (2)");
  CHECK(sandbox.status().marks == std::vector<std::string>{"empty", "one"});
  CHECK(sandbox.reset("one") == "");
  CHECK(sandbox.count(one) == "1,;");
  CHECK(sandbox.reset("empty") == "");
  CHECK(sandbox.count(one) == "0,;");
  CHECK(sandbox.reset("one") == "3B001");
  CHECK(sandbox.status().marks == std::vector<std::string>{"empty"});
  CHECK(sandbox.status().resets == 2);
  CHECK(sandbox.status().epoch == 1);
  CHECK(sandbox.reset() == "");
  CHECK(sandbox.status().marks.empty());
  CHECK(sandbox.status().epoch == 2);
}

TEST_CASE("a reset takes the turn from a session that rests, and from one that runs") {
  SandboxFixture sandbox;
  SessionProbe resting(*sandbox.database), running(*sandbox.database), other(*sandbox.database);
  sandbox.begin(resting, "INSERT INTO sand VALUES (1)");
  CHECK(resting.outcome->lease_held);
  CHECK(sandbox.reset() == "");
  REQUIRE(resting.lease_lost.has_value());
  CHECK(resting.lease_lost->sqlstate == sqlstate::serialization_failure);
  CHECK(sandbox.count(other) == "0,;");
  running.submit(guarded(running.unit("SELECT pg_sleep(60)")));
  sandbox.run_until([&] { return sandbox.status().units == 2; });
  CHECK(sandbox.reset() == "");
  CHECK(running.sqlstate() == "40001");
  CHECK(running.outcome->transaction == TransactionStatus::lost);
  CHECK(sandbox.count(other) == "0,;");
  CHECK(sandbox.status().epoch == 3);
}

TEST_CASE("after DROP there is no link, and nobody hears of a loss") {
  SandboxFixture sandbox;
  SessionProbe one(*sandbox.database);
  CHECK(sandbox.drop() == "");  // of what was never opened
  sandbox.guard(one, "INSERT INTO sand VALUES (1)");
  CHECK_FALSE(sandbox.database->is_idle());
  CHECK(sandbox.mark("a") == "");
  CHECK(sandbox.drop() == "");
  CHECK(sandbox.database->is_idle());
  CHECK(sandbox.count(one) == "0,;");
  CHECK(one.sqlstate() == "");
  CHECK(sandbox.reset("a") == "3B001");
}

TEST_CASE("the marks of a lost root are gone, and a reset of it is none the less one") {
  SandboxFixture sandbox;
  SessionProbe one(*sandbox.database), two(*sandbox.database);
  sandbox.guard(one, "SELECT pg_backend_pid()");
  const std::string pid = one.rows.substr(0, one.rows.find(','));
  CHECK(sandbox.mark("a") == "");
  sandbox.look("SELECT pg_terminate_backend(" + pid + ")");
  sandbox.run_until([&] { return sandbox.status().state == "lost"; });
  CHECK(sandbox.reset("a") == "3B001");
  CHECK(sandbox.reset() == "");
  sandbox.guard(two, "SELECT 1");
  CHECK(two.sqlstate() == "40000");  // what it did before is gone: it hears so once
}

TEST_CASE("a mark that waits for its turn is answered at the end of the sandbox") {
  SandboxFixture sandbox;
  std::string answer;
  {
    SessionProbe one(*sandbox.database);
    sandbox.begin(one, "INSERT INTO sand VALUES (1)");
    sandbox.database->sandbox()->mark("a", [&](const std::optional<Error>& error) {
      answer = error ? std::string(error->sqlstate.text()) : "";
    });
    CHECK(sandbox.status().waiting == 1);
  }
  sandbox.close();
  CHECK((answer == "57P01" || answer == ""));
}

}  // namespace based
