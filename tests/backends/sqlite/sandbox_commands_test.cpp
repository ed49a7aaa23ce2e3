// SANDBOX MARK, RESET, DROP and LOG on SQLite, under live sessions.
#include <sqlite3.h>

#include <fstream>

#include "backends/sandbox.h"
#include "fixture.h"

using namespace based;
using namespace based::test;

namespace {

struct Commands : Fixture {
  Commands() {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(dir.file("main.db").c_str(), &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, "CREATE TABLE t(v UNIQUE); INSERT INTO t VALUES('base')", nullptr,
                         nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(db);
    before = bytes_of(dir.file("main.db"));
  }
  ~Commands() {
    one.reset();
    two.reset();
    if (database) shut_down();
    CHECK((changed || bytes_of(dir.file("main.db")) == before));
  }
  SqliteOptions sandboxed() const {
    auto made = options();
    made.force_rollback = true;
    return made;
  }
  void start(SqliteOptions made) {
    open(std::move(made));
    one = client();
    two = client();
  }
  void start() { start(sandboxed()); }

  // What an operation came to: "ok" or its SQLSTATE; it may be asked for once.
  struct Pending {
    int calls = 0;
    std::string code;
    std::string message;
    Sandbox::Done done() {
      return [this](const std::optional<Error>& error) {
        ++calls;
        code = error ? std::string{error->sqlstate.text()} : "ok";
        if (error) message = error->message + " / " + error->detail;
      };
    }
  };
  std::string wait(Pending& pending) {
    CHECK(pending.calls == 0);  // never inside the call
    REQUIRE(reactor.run_until([&] { return pending.calls > 0; }));
    return pending.code;
  }
  std::string reset(const std::optional<std::string>& mark = std::nullopt) {
    Pending pending;
    database->sandbox()->reset(mark, pending.done());
    return wait(pending);
  }
  std::string mark(const std::string& name) {
    Pending pending;
    database->sandbox()->mark(name, pending.done());
    return wait(pending);
  }
  std::string drop() {
    Pending pending;
    database->sandbox()->drop(pending.done());
    return wait(pending);
  }
  std::string all() { return two->sql("SELECT group_concat(v, ' ') FROM t").value(); }
  void insert(const std::string& value) {
    REQUIRE(one->sql("INSERT INTO t VALUES('" + value + "')").ok());
  }

  std::unique_ptr<Client> one, two;
  std::string before;
  bool changed = false;  // by another program
};

constexpr auto endless =
    "INSERT INTO t(v) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) "
    "SELECT 'n' || i FROM n";

}  // namespace

TEST_CASE_FIXTURE(Commands, "a reset goes back to the file, and sessions go on") {
  start();
  insert("a");
  CHECK(one->sql("CREATE TABLE more(x)").ok());
  CHECK(one->sql("PRAGMA user_version = 7").ok());
  CHECK(one->sql("VACUUM").ok());
  CHECK(database->sandbox()->status().transactions > 2);
  CHECK(reset() == "ok");
  CHECK(all() == "'base'");
  CHECK(two->sql("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").value() == "0");
  CHECK(two->sql("PRAGMA user_version").value() == "0");
  insert("a");
  CHECK(all() == "'base a'");
  const auto status = database->sandbox()->status();
  CHECK(status.transactions == 1);
  CHECK(status.epoch == 2);
  CHECK(status.resets == 1);
  CHECK(one->lost.empty());
}

TEST_CASE_FIXTURE(Commands, "a transaction that is open at a reset is lost, and its client told") {
  start();
  one->control("BEGIN IMMEDIATE");
  insert("a");
  auto waiting = Client::unit_of("SELECT count(*) FROM t");
  two->begin_unit(std::move(waiting));
  CHECK(reset() == "ok");
  REQUIRE(reactor.run_until([&] { return one->lost.size() == 1; }));
  CHECK(one->lost[0].sqlstate == sqlstate::serialization_failure);
  CHECK(one->lost[0].scope == ErrorScope::transaction);
  // Who waited runs after it.
  CHECK(two->finish().value() == "1");
  insert("b");
  CHECK(all() == "'base b'");
}

TEST_CASE_FIXTURE(Commands, "a statement that runs at a reset is cancelled") {
  bool in_transaction = false;
  SUBCASE("in autocommit") {}
  SUBCASE("in a transaction") { in_transaction = true; }
  CAPTURE(in_transaction);
  start();
  if (in_transaction) one->control("BEGIN IMMEDIATE");
  auto unit = Client::unit_of(endless);
  unit.keep_lease = in_transaction;
  one->begin_unit(std::move(unit));
  // One that is on the thread already, behind it.
  two->begin_unit(Client::unit_of(endless));
  reactor.run_for(std::chrono::milliseconds(20));
  CHECK(reset() == "ok");
  CHECK(one->finish().code() == "57014");
  CHECK(one->reply.message().find("being reset") != std::string::npos);
  if (in_transaction) {
    // It had to wait, and comes to the fresh state.
    two->session().cancel("");
  }
  CHECK(two->finish().code() == "57014");
  CHECK(all() == "'base'");
  one->in_transaction = false;
  insert("b");
  CHECK(all() == "'base b'");
}

TEST_CASE_FIXTURE(Commands, "marks are gone back to, and later ones forgotten") {
  start();
  insert("a");
  CHECK(mark("one") == "ok");
  insert("b");
  CHECK(mark("two") == "ok");
  insert("c");
  using Names = std::vector<std::string>;
  CHECK(database->sandbox()->status().marks == Names{"one", "two"});
  CHECK(reset("two") == "ok");
  CHECK(all() == "'base a b'");
  CHECK(reset("one") == "ok");
  CHECK(all() == "'base a'");
  CHECK(database->sandbox()->status().marks == Names{"one"});
  CHECK(reset("two") == "3B001");
  insert("d");
  CHECK(mark("one") == "ok");
  CHECK(reset("one") == "ok");
  CHECK(all() == "'base a d'");
  CHECK(database->sandbox()->status().epoch == 1);
  CHECK(reset() == "ok");
  CHECK(all() == "'base'");
  CHECK(reset("one") == "3B001");
  CHECK(database->sandbox()->status().marks.empty());
}

TEST_CASE_FIXTURE(Commands, "a reset to a mark that there is not does nothing to anybody") {
  start();
  one->control("BEGIN IMMEDIATE");
  insert("a");
  CHECK(reset("none") == "3B001");
  CHECK(one->control("COMMIT").ok());
  CHECK(one->lost.empty());
  CHECK(all() == "'base a'");
}

TEST_CASE_FIXTURE(Commands, "there are not more marks than allowed") {
  start();
  for (std::size_t i = 0; i < sandbox_marks_max; ++i) {
    REQUIRE(mark("m" + std::to_string(i)) == "ok");
  }
  CHECK(mark("more") == "54000");
  CHECK(mark("m3") == "ok");  // moves
  CHECK(mark("") == "22023");
  CHECK(database->sandbox()->status().marks.back() == "m3");
}

TEST_CASE_FIXTURE(Commands, "a mark waits for its turn behind an open transaction") {
  auto made = sandboxed();
  SUBCASE("and comes after it") {
    start(made);
    one->control("BEGIN IMMEDIATE");
    insert("a");
    Pending pending;
    database->sandbox()->mark("m", pending.done());
    reactor.run_for(std::chrono::milliseconds(10));
    CHECK(pending.calls == 0);
    CHECK(one->control("COMMIT").ok());
    CHECK(wait(pending) == "ok");
    CHECK(one->sql("DELETE FROM t").ok());
    CHECK(reset("m") == "ok");
    CHECK(all() == "'base a'");
  }
  SUBCASE("until its time is over") {
    made.turn_timeout = std::chrono::milliseconds(20);
    start(made);
    one->control("BEGIN IMMEDIATE");
    insert("a");
    Pending pending;
    database->sandbox()->mark("m", pending.done());
    CHECK(wait(pending) == "55P03");
    CHECK(pending.message.find("INSERT INTO t") != std::string::npos);
    CHECK(one->control("COMMIT").ok());
  }
}

TEST_CASE_FIXTURE(Commands, "resets that come together are done one after the other") {
  start();
  insert("a");
  CHECK(mark("m") == "ok");
  insert("b");
  one->begin_unit(Client::unit_of(endless));
  Pending first, second, third;
  database->sandbox()->reset("m", first.done());
  database->sandbox()->drop(second.done());
  database->sandbox()->reset("m", third.done());
  CHECK(wait(third) == "3B001");  // gone with the one before
  CHECK(first.code == "ok");
  CHECK(second.code == "ok");
  CHECK(one->finish().code() == "57014");
  CHECK(all() == "'base'");
}

TEST_CASE_FIXTURE(Commands, "a drop gives everything back, and the sandbox opens again") {
  start();
  insert("a");
  CHECK(mark("m") == "ok");
  CHECK(database->sandbox()->log().entries().size() == 1);
  CHECK(drop() == "ok");
  CHECK(database->sandbox()->log().entries().empty());
  CHECK(database->sandbox()->status().marks.empty());
  CHECK(reset() == "ok");  // of nothing
  CHECK(drop() == "ok");
  CHECK(all() == "'base'");
}

TEST_CASE_FIXTURE(Commands, "a reset takes a file that another program has changed as it is now") {
  start();
  insert("a");
  CHECK(mark("m") == "ok");
  changed = true;
  {
    // A program that knows no locks.
    auto bytes = before;
    const auto at = bytes.find("base");
    REQUIRE(at != std::string::npos);
    bytes[at] = 'B';
    bytes[27] = static_cast<char>(bytes[27] + 1);  // SQLite's change counter
    std::ofstream file{dir.file("main.db"), std::ios::binary | std::ios::in | std::ios::out};
    file.write(bytes.data(), std::ssize(bytes));
  }
  CHECK(one->sql("SELECT 1 FROM t").code() == "55000");
  CHECK(reset("m") == "55000");
  CHECK(reset() == "ok");
  CHECK(all() == "'Base'");
}

TEST_CASE_FIXTURE(Commands, "a database in memory is reset and has marks, too") {
  auto made = sandboxed();
  made.path.clear();
  made.init_sql = {"CREATE TABLE IF NOT EXISTS t(v)"};
  start(made);
  insert("a");
  CHECK(mark("m") == "ok");
  insert("b");
  CHECK(reset("m") == "ok");
  CHECK(all() == "'a'");
  CHECK(reset() == "ok");
  CHECK(all() == "null");
}

TEST_CASE_FIXTURE(Commands, "what ran is in the log, with its end") {
  start();
  insert("a");
  one->control("BEGIN IMMEDIATE");
  one->sql("INSERT INTO t VALUES('b'), ('c')");
  CHECK(one->sql("INSERT INTO t VALUES('a')").code() == "23505");
  one->control("ROLLBACK");
  CHECK(all() == "'base a'");
  CHECK(one->sql("SELEC").code() == "42601");
  struct Row {
    std::string statement, sqlstate;
    std::uint32_t level;
    std::uint64_t rows;
    bool operator==(const Row&) const = default;
  };
  std::vector<Row> rows;
  for (const auto& entry : database->sandbox()->log().entries()) {
    rows.push_back({entry.statement, entry.sqlstate, entry.level, entry.rows});
    CHECK(entry.session > 0);
    CHECK(entry.error.empty() == entry.sqlstate.empty());
  }
  // What is around the steps is no client's.
  REQUIRE(rows.size() == 5);
  CHECK(rows[0] == Row{"INSERT INTO t VALUES('a')", "", 0, 1});
  CHECK(rows[1] == Row{"INSERT INTO t VALUES('b'), ('c')", "", 1, 2});
  CHECK(rows[2] == Row{"INSERT INTO t VALUES('a')", "23505", 1, 0});
  CHECK(rows[3] == Row{"SELECT group_concat(v, ' ') FROM t", "", 0, 1});
  CHECK(rows[4] == Row{"SELEC", "42601", 0, 0});
}

TEST_CASE_FIXTURE(Commands, "at the end whoever waits for a mark or a reset is told so, once") {
  start();
  one->control("BEGIN IMMEDIATE");
  insert("a");
  Pending marked, first, second;
  database->sandbox()->mark("m", marked.done());
  database->sandbox()->reset(std::nullopt, first.done());
  database->sandbox()->reset(std::nullopt, second.done());
  one.reset();
  two.reset();
  shut_down();
  CHECK(marked.calls == 1);
  CHECK(marked.code == "57P01");
  CHECK(first.calls == 1);
  CHECK(first.code == "ok");  // it had begun
  CHECK(second.calls == 1);
  CHECK(second.code == "57P01");
}

TEST_CASE_FIXTURE(Commands, "a database without force_rollback is no sandbox") {
  changed = true;
  start(options());
  CHECK(database->sandbox() == nullptr);
  insert("a");
  CHECK(all() == "'base a'");
}
