// Transactions on the lane: envelopes, what SQLite ends without being asked, read only.
#include "fixture.h"

using namespace based;
using namespace based::test;

namespace {

struct File : Fixture {
  File() {
    open(options());
    one = client();
    two = client();
    REQUIRE(one->sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)").ok());
  }
  std::unique_ptr<Client> one, two;

  static std::vector<StatementRef> list(std::initializer_list<const char*> texts) {
    std::vector<StatementRef> made;
    for (const auto* text : texts) made.push_back(statement(text));
    return made;
  }
  std::string count() { return two->sql("SELECT count(*) FROM t").value(); }
};

constexpr auto endless =
    "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n";
constexpr auto endless_write =
    "INSERT INTO t(v) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) "
    "SELECT 'n' || i FROM n";

}  // namespace

TEST_CASE_FIXTURE(File, "a transaction's changes are seen by others after its COMMIT only") {
  CHECK(one->control("BEGIN IMMEDIATE").outcome.transaction == TransactionStatus::open);
  CHECK(one->reply.outcome.lease_held);
  CHECK(one->sql("INSERT INTO t(v) VALUES('a')").outcome.transaction == TransactionStatus::open);
  two->begin_unit(Client::unit_of("SELECT count(*) FROM t"));
  reactor.run_for(std::chrono::milliseconds(50));
  CHECK_FALSE(two->done);
  auto& commit = one->control("COMMIT");
  CHECK(commit.outcome.transaction == TransactionStatus::idle);
  CHECK_FALSE(commit.outcome.lease_held);
  CHECK(two->finish().value() == "1");
}

TEST_CASE_FIXTURE(File, "prologue, steps and epilogue are one unit; an error runs the recovery") {
  auto unit = Client::unit_of("INSERT INTO t(v) VALUES('a')");
  unit.envelope.prologue = list({"BEGIN IMMEDIATE", "SAVEPOINT \"based_2\""});
  unit.keep_lease = true;
  REQUIRE(one->run(std::move(unit)).ok());
  unit = Client::unit_of("INSERT INTO t(v) VALUES('a')");
  unit.envelope.prologue = list({"SAVEPOINT \"based_3\""});
  unit.envelope.epilogue = list({"RELEASE \"based_3\""});
  unit.envelope.recovery = list({"ROLLBACK TO \"based_3\"", "RELEASE \"based_3\""});
  unit.keep_lease = true;
  auto& failed = one->run(std::move(unit));
  CHECK(failed.code() == "23505");
  CHECK(failed.outcome.transaction == TransactionStatus::open);
  CHECK(failed.outcome.lease_held);
  unit = Client::unit_of("INSERT INTO t(v) VALUES('b')");
  unit.envelope.epilogue = list({"RELEASE \"based_2\"", "COMMIT"});
  CHECK(one->run(std::move(unit)).outcome.transaction == TransactionStatus::idle);
  CHECK(count() == "2");
}

TEST_CASE_FIXTURE(File, "an error in the prologue leaves the transaction as it was") {
  auto unit = Client::unit_of("INSERT INTO t(v) VALUES('x')");
  unit.envelope.prologue = list({"BEGIN IMMEDIATE", "RELEASE missing"});
  unit.envelope.retreat = list({"ROLLBACK"});
  unit.keep_lease = true;
  auto& begun = one->run(std::move(unit));
  CHECK(begun.outcome.phase == UnitPhase::prologue);
  CHECK(begun.outcome.step == 1);
  CHECK(begun.outcome.transaction == TransactionStatus::idle);
  CHECK_FALSE(begun.outcome.lease_held);

  one->control("BEGIN IMMEDIATE");
  REQUIRE(one->sql("INSERT INTO t(v) VALUES('a')").ok());
  for (const std::size_t at : {0, 1}) {
    unit = Client::unit_of("INSERT INTO t(v) VALUES('x')");
    unit.envelope.prologue = list({"SAVEPOINT based_guard"});
    unit.envelope.prologue.insert(unit.envelope.prologue.begin() + static_cast<std::ptrdiff_t>(at),
                                  statement("RELEASE missing"));
    unit.envelope.recovery = list({"ROLLBACK TO based_guard", "RELEASE based_guard"});
    unit.envelope.retreat = unit.envelope.recovery;
    unit.keep_lease = true;
    auto& failed = one->run(std::move(unit));
    CHECK(failed.code() == "3B001");
    CHECK(failed.outcome.phase == UnitPhase::prologue);
    CHECK(failed.outcome.transaction == TransactionStatus::open);
    CHECK(failed.outcome.lease_held);
    CHECK(one->sql("SELECT count(*) FROM t").value() == "1");
  }
  one->control("COMMIT");
  CHECK(count() == "1");
}

TEST_CASE_FIXTURE(File, "a deferred foreign key fails at the epilogue's COMMIT and is recovered") {
  REQUIRE(one->sql("CREATE TABLE c(p REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED)").ok());
  auto unit = Client::unit_of("INSERT INTO c VALUES(99)");
  unit.envelope.prologue = list({"BEGIN IMMEDIATE"});
  unit.envelope.epilogue = list({"COMMIT"});
  unit.envelope.recovery = list({"ROLLBACK"});
  auto& reply = one->run(std::move(unit));
  CHECK(reply.code() == "23503");
  CHECK(reply.outcome.phase == UnitPhase::epilogue);
  CHECK(reply.outcome.transaction == TransactionStatus::idle);
  CHECK(reply.outcome.error->executed == Executed::no);
  CHECK(two->sql("SELECT count(*) FROM c").value() == "0");
}

TEST_CASE_FIXTURE(File, "OR ROLLBACK and RAISE(ROLLBACK) lose the transaction, and the lease") {
  one->sql("CREATE TRIGGER r BEFORE DELETE ON t BEGIN SELECT RAISE(ROLLBACK, 'stop'); END");
  one->sql("INSERT INTO t(v) VALUES('kept')");
  for (const auto* sql : {"INSERT OR ROLLBACK INTO t(v) VALUES('x'),('x')", "DELETE FROM t"}) {
    CAPTURE(std::string{sql});
    one->control("BEGIN IMMEDIATE");
    REQUIRE(one->sql("INSERT INTO t(v) VALUES('gone')").ok());
    auto& reply = one->sql(sql);
    CHECK_FALSE(reply.ok());
    CHECK(reply.outcome.transaction == TransactionStatus::lost);
    CHECK_FALSE(reply.outcome.lease_held);
    CHECK(reply.outcome.error->scope == ErrorScope::transaction);
    CHECK(reply.detail().find("SQLite has rolled back") != std::string::npos);
    CHECK(count() == "1");
  }
}

TEST_CASE_FIXTURE(File, "nothing of a unit runs after its transaction was lost") {
  Unit unit = Client::unit_of("INSERT OR ROLLBACK INTO t(v) VALUES('x'),('x')");
  auto second = Client::unit_of("INSERT INTO t(v) VALUES('leak')");
  unit.steps.push_back(std::move(second.steps[0]));
  unit.envelope.prologue = list({"BEGIN IMMEDIATE"});
  unit.envelope.epilogue = list({"COMMIT"});
  unit.envelope.recovery = list({"ROLLBACK"});
  auto& reply = one->run(std::move(unit));
  CHECK(reply.outcome.transaction == TransactionStatus::lost);
  CHECK(reply.outcome.step == 0);
  CHECK(reply.outcome.phase == UnitPhase::step);
  CHECK(count() == "0");
}

TEST_CASE_FIXTURE(File, "a cancelled read leaves its transaction, a cancelled write destroys it") {
  one->control("BEGIN IMMEDIATE");
  one->sql("INSERT INTO t(v) VALUES('a')");
  auto unit = Client::unit_of(endless);
  unit.keep_lease = true;
  one->begin_unit(std::move(unit));
  reactor.run_for(std::chrono::milliseconds(20));
  one->session().cancel("canceling statement due to user request");
  auto& read = one->finish();
  CHECK(read.code() == "57014");
  CHECK(read.message() == "canceling statement due to user request");
  CHECK(read.outcome.transaction == TransactionStatus::open);
  unit = Client::unit_of(endless_write);
  unit.keep_lease = true;
  one->begin_unit(std::move(unit));
  reactor.run_for(std::chrono::milliseconds(20));
  one->session().cancel("enough");
  auto& write = one->finish();
  CHECK(write.code() == "57014");
  CHECK(write.outcome.transaction == TransactionStatus::lost);
  CHECK(write.outcome.error->executed == Executed::no);
  CHECK(count() == "0");
}

TEST_CASE_FIXTURE(File, "a cancel that comes late hits no later unit") {
  for (int i = 0; i < 50; ++i) {
    one->begin_unit(Client::unit_of("SELECT 1"));
    one->finish();
    one->session().cancel("late");
    CHECK(one->sql("SELECT 2").value() == "2");
  }
}

TEST_CASE_FIXTURE(File, "the statement timeout counts for each step, and ends a read or a write") {
  for (const auto* sql : {endless, endless_write}) {
    auto unit = Client::unit_of(sql);
    unit.statement_timeout = std::chrono::milliseconds(30);
    auto& reply = one->run(std::move(unit));
    CHECK(reply.code() == "57014");
    CHECK(reply.message() == "canceling statement due to statement timeout");
  }
  CHECK(count() == "0");
}

TEST_CASE_FIXTURE(File, "a read-only session or transaction writes nothing and says 25006") {
  SessionOptions read_only;
  read_only.read_only = true;
  auto reader = client(read_only);
  for (const auto* sql :
       {"INSERT INTO t(v) VALUES(1)", "CREATE TABLE x(a)", "DELETE FROM t", "VACUUM",
        "PRAGMA user_version = 3", "PRAGMA optimize", "PRAGMA wal_checkpoint", "DROP TABLE t",
        "WITH x AS (SELECT 1) INSERT INTO t(v) SELECT * FROM x", "REINDEX", "ANALYZE"}) {
    CAPTURE(std::string{sql});
    CHECK(reader->sql(sql).code() == "25006");
  }
  for (const auto* sql : {"SELECT 1", "PRAGMA user_version", "PRAGMA journal_mode",
                          "PRAGMA table_info(t)", "EXPLAIN DELETE FROM t"}) {
    CAPTURE(std::string{sql});
    CHECK(reader->sql(sql).ok());
  }
  CHECK_FALSE(reader->sql("SELECT * FROM pragma_optimize(-1)").ok());
  // What is refused is looked at as the schema is now.
  REQUIRE(one->sql("CREATE TABLE gone(a)").ok());
  CHECK(reader->sql("DELETE FROM gone").code() == "25006");
  REQUIRE(one->sql("DROP TABLE gone").ok());
  CHECK(reader->sql("DELETE FROM gone").code() == "42P01");
  Unit unit;
  auto begin = std::make_shared<Statement>();
  begin->text = "BEGIN DEFERRED";
  begin->kind = StatementKind::begin;
  begin->begin.access = BeginOptions::Access::read_only;
  unit.envelope.prologue.push_back(begin);
  unit.keep_lease = true;
  CHECK(one->run(std::move(unit)).ok());
  one->in_transaction = true;
  CHECK(one->sql("SELECT count(*) FROM t").ok());
  CHECK(one->sql("INSERT INTO t(v) VALUES(1)").code() == "25006");
  CHECK(one->control("COMMIT").ok());
  CHECK(one->sql("INSERT INTO t(v) VALUES(1)").ok());
}

TEST_CASE_FIXTURE(File, "a session that goes leaves no transaction, and nobody else loses theirs") {
  one->control("BEGIN IMMEDIATE");
  one->sql("INSERT INTO t(v) VALUES('gone')");
  two->begin_unit(Client::unit_of("INSERT INTO t(v) VALUES('kept')"));
  one->close();
  CHECK(two->finish().ok());
  CHECK(count() == "1");
  auto three = client();
  three->control("BEGIN IMMEDIATE");
  three->begin_unit([] {
    auto unit = Client::unit_of(endless_write);
    unit.keep_lease = true;
    return unit;
  }());
  reactor.run_for(std::chrono::milliseconds(20));
  two->begin_unit(Client::unit_of("SELECT count(*) FROM t"));
  three->close();
  CHECK(two->finish().value() == "1");
  CHECK_FALSE(three->done);
}

TEST_CASE_FIXTURE(File, "a session may end itself inside any call to its sink") {
  for (const int rows : {0, 1, 300, 5000}) {
    auto three = client();
    three->begin_unit(
        Client::unit_of("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<" +
                        std::to_string(rows) + ") SELECT i FROM n"));
    three->when_done = [&] { three->close(); };
    CHECK(three->finish().ok());
  }
}

TEST_CASE_FIXTURE(File, "a full database is 53100 and loses nothing that was committed") {
  one.reset();
  two.reset();
  database.reset();
  auto made = options();
  made.max_page_count = 20;
  open(made);
  one = client();
  two = client();
  REQUIRE(one->sql("INSERT INTO t(v) VALUES('kept')").ok());
  auto& reply = one->sql("INSERT INTO t(v) VALUES(hex(zeroblob(200000)))");
  CHECK(reply.code() == "53100");
  CHECK(count() == "1");
  one->control("BEGIN IMMEDIATE");
  auto& inside = one->sql("INSERT INTO t(v) VALUES(hex(zeroblob(200000)))");
  CHECK(inside.code() == "53100");
  CHECK((inside.outcome.transaction == TransactionStatus::open ||
         inside.outcome.transaction == TransactionStatus::lost));
  if (inside.outcome.transaction == TransactionStatus::open) one->control("ROLLBACK");
  CHECK(one->sql("INSERT INTO t(v) VALUES('more')").ok());
}
