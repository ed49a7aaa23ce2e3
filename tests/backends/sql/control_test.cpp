#include "backends/sql/control.h"
#include "tests/backends/sql/sql_fixture.h"

namespace based::sql {
namespace {

using enum StatementKind;
using Isolation = BeginOptions::Isolation;
using Access = BeginOptions::Access;
using Deferrable = BeginOptions::Deferrable;
using Locking = BeginOptions::Locking;

TEST_CASE("every spelling of the ends of a transaction is recognised in both dialects") {
  struct Row {
    const char* text;
    StatementKind kind;
    bool chain = false;
  };
  for (const Dialect dialect : both_dialects) {
    for (const Row& row :
         {Row{"commit", commit}, Row{"COMMIT WORK", commit},
          Row{"commit transaction and chain", commit, true}, Row{"end", commit},
          Row{"End Work And No Chain", commit}, Row{"/* ; commit */ rollback", rollback},
          Row{"rollback transaction", rollback}, Row{"rollback and chain", rollback, true},
          Row{"abort", rollback}, Row{"abort work and chain", rollback, true},
          Row{"-- x\ncommit -- y", commit}}) {
      const StatementRef statement = one(row.text, dialect);
      CHECK(statement->kind == row.kind);
      CHECK(statement->and_chain == row.chain);
    }
  }
}

TEST_CASE("the values of an EXECUTE are counted") {
  for (const auto& row :
       {std::pair("execute q", 0U), std::pair("EXECUTE q ( )", 0U), std::pair("execute q(1)", 1U),
        std::pair("execute \"q,(\" ('a,b')", 1U), std::pair("execute q(f(1, 2), 3 -- ,\n)", 2U),
        std::pair("execute q((1, 2), array[3, 4], $1)", 3U), std::pair("execute q((1))", 1U)}) {
    CAPTURE(row.first);
    CHECK(count_executed_values(row.first) == row.second);
  }
}

TEST_CASE("what a PREPARE prepares is behind its AS") {
  for (const auto& row :
       {std::pair("prepare q as select 1", " select 1"),
        std::pair("prepare \"as\" (int, text[]) As select 2 as b", " select 2 as b"),
        std::pair("prepare as as select 3", " select 3"), std::pair("prepare q", ""),
        std::pair("prepare /* as */ q /* as */ as/* */values(1)", "/* */values(1)")}) {
    CAPTURE(row.first);
    CHECK(prepared_body(row.first) == row.second);
  }
}

TEST_CASE("what is deallocated is known where the server can parse it") {
  for (const auto& row :
       {std::pair("deallocate Q", "q"), std::pair("deallocate \"Q\"", "Q"),
        std::pair("deallocate prepare q", "q"), std::pair("DEALLOCATE PREPARE", "prepare"),
        std::pair("deallocate \"all\"", "all"), std::pair("deallocate prepare all", "")}) {
    const std::string text = row.first;
    const std::string name = row.second;
    CAPTURE(text);
    CHECK(one(text, Dialect::postgres)->kind == prepare);
    CHECK(one(text, Dialect::postgres)->setting == "deallocate");
    CHECK(one(text, Dialect::postgres)->name == name);
  }
  for (const char* text :
       {"deallocate", "deallocate table", "deallocate q, r", "deallocate \"\""}) {
    CAPTURE(text);
    CHECK(one(text, Dialect::postgres)->kind == prepare);
    CHECK(one(text, Dialect::postgres)->setting.empty());
  }
}

TEST_CASE("savepoints give their names, folded as the dialect folds them") {
  struct Row {
    const char* text;
    StatementKind kind;
    const char* postgres;
    const char* sqlite;
  };
  for (const Row& row :
       {Row{"savepoint A", savepoint, "a", "a"}, Row{"savepoint \"A b\"", savepoint, "A b", "a b"},
        Row{"savepoint \"q\"\"q\"", savepoint, "q\"q", "q\"q"}, Row{"release a", release, "a", "a"},
        Row{"release savepoint A", release, "a", "a"},
        Row{"release savepoint", release, "savepoint", "savepoint"},
        Row{"rollback to a", rollback_to, "a", "a"},
        Row{"rollback work to savepoint \"X\"", rollback_to, "X", "x"},
        Row{"rollback transaction to savepoint", rollback_to, "savepoint", "savepoint"}}) {
    const StatementRef postgres = one(row.text, Dialect::postgres);
    CHECK(postgres->kind == row.kind);
    CHECK(postgres->name == row.postgres);
    const StatementRef sqlite = one(row.text, Dialect::sqlite);
    CHECK(sqlite->kind == row.kind);
    CHECK(sqlite->name == row.sqlite);
  }
  CHECK(one("savepoint 'A'", Dialect::sqlite)->name == "a");
  CHECK(one("savepoint [A]", Dialect::sqlite)->name == "a");
  const std::string longest(70, 'x');
  CHECK(one("savepoint " + longest, Dialect::postgres)->name == longest.substr(0, 63));
  CHECK(one("savepoint " + longest, Dialect::sqlite)->name == longest);
}

TEST_CASE("the modes of BEGIN come in any order, with commas or without") {
  for (const Dialect dialect : both_dialects) {
    for (const char* text :
         {"begin isolation level serializable read only deferrable",
          "start transaction deferrable, read only, isolation level serializable",
          "begin work read only, deferrable isolation level serializable"}) {
      const StatementRef statement = one(text, dialect);
      CHECK(statement->kind == begin);
      CHECK(statement->begin.isolation == Isolation::serializable);
      CHECK(statement->begin.access == Access::read_only);
      CHECK(statement->begin.deferrable == Deferrable::deferrable);
      CHECK(statement->begin.locking == Locking::unset);
    }
    CHECK(one("begin", dialect)->begin.access == Access::unset);
    CHECK(one("begin transaction", dialect)->kind == begin);
    const auto options =
        one("begin isolation level read committed, read write, not deferrable", dialect)->begin;
    CHECK(options.isolation == Isolation::read_committed);
    CHECK(options.access == Access::read_write);
    CHECK(options.deferrable == Deferrable::not_deferrable);
    CHECK(one("begin isolation level repeatable read", dialect)->begin.isolation ==
          Isolation::repeatable_read);
    CHECK(one("begin isolation level read uncommitted", dialect)->begin.isolation ==
          Isolation::read_uncommitted);
  }
}

TEST_CASE("there may be any number of modes") {
  constexpr std::size_t repeats = 10'000;
  std::string modes;
  for (std::size_t i = 0; i < repeats; ++i) modes += " read write /* x */ deferrable,";
  for (const Dialect dialect : both_dialects) {
    const StatementRef read = one("begin" + modes + " read only", dialect);
    CHECK(read->kind == begin);
    CHECK(read->begin.access == Access::read_only);
    CHECK(read->begin.deferrable == Deferrable::deferrable);
    CHECK(one("set transaction" + modes + " read only", dialect)->kind == set_transaction);
    for (const char* wrong : {" foo", ", read only", " read foo"}) {
      const Error error = refused("begin" + modes + wrong, dialect);
      CHECK(error.sqlstate == sqlstate::syntax_error);
      CHECK(error.position.value_or(0) >= 5 + modes.size());
    }
    CHECK(refused("begin" + modes, dialect).sqlstate == sqlstate::syntax_error);
  }
  const StatementRef ordered =
      one("set session characteristics as transaction" + modes + " read only", Dialect::postgres);
  CHECK(ordered->name == "session characteristics");
  CHECK(sql::modes_in_order(*ordered).size() == 2 * repeats + 1);
}

TEST_CASE("SQLite's locking modes are read") {
  CHECK(one("begin immediate", Dialect::sqlite)->begin.locking == Locking::immediate);
  CHECK(one("BEGIN EXCLUSIVE TRANSACTION", Dialect::sqlite)->begin.locking == Locking::exclusive);
  CHECK(one("begin deferred transaction", Dialect::sqlite)->begin.locking == Locking::deferred);
  CHECK(refused("begin immediate", Dialect::postgres).sqlstate == sqlstate::syntax_error);
}

TEST_CASE("malformed transaction control is refused at the offending token") {
  struct Row {
    const char* text;
    std::uint32_t position;
  };
  for (const Dialect dialect : both_dialects) {
    for (const Row& row :
         {Row{"begin foo", 6}, Row{"commit and", 0}, Row{"commit 1", 7}, Row{"savepoint", 0},
          Row{"savepoint a b", 12}, Row{"release", 0}, Row{"rollback to", 0},
          Row{"begin read only,", 0}, Row{"begin isolation level strong", 22}, Row{"start", 0},
          Row{"select 1; end all", 14}, Row{"set transaction", 0}, Row{"commit prepared x", 16}}) {
      const Error error = refused(row.text, dialect);
      CHECK(error.sqlstate == sqlstate::syntax_error);
      CHECK(error.position.value_or(0) == row.position);
    }
  }
}

TEST_CASE("two-phase commit is recognised, and never an ordinary commit") {
  for (const char* text : {"prepare transaction 'x'", "commit prepared 'x'",
                           "ROLLBACK PREPARED E'x'", "prepare/**/transaction $$x$$"}) {
    CHECK(one(text, Dialect::postgres)->kind == prepare_transaction);
  }
}

TEST_CASE("modes are read in the order in which they are said") {
  const auto modes = [](const char* text) {
    return sql::modes_in_order(*one(text, Dialect::postgres));
  };
  const std::vector<BeginOptions> both = modes("begin read only deferrable, READ WRITE");
  REQUIRE(both.size() == 3);
  CHECK(both[0] == BeginOptions{.access = Access::read_only});
  CHECK(both[1] == BeginOptions{.deferrable = BeginOptions::Deferrable::deferrable});
  CHECK(both[2] == BeginOptions{.access = Access::read_write});
  const std::vector<BeginOptions> named = modes("set transaction_read_only = 'TRUE'");
  REQUIRE(named.size() == 1);
  CHECK(named[0] == BeginOptions{.access = Access::read_only});
}

TEST_CASE("settings that end with the transaction are told from those that stay") {
  const auto kind = [](const char* text) { return one(text, Dialect::postgres)->kind; };
  CHECK(kind("set transaction read only") == set_transaction);
  for (const char* sql : {"set transaction_isolation = 'serializable'",
                          "set local transaction_isolation to serializable",
                          "set session TRANSACTION_ISOLATION to 'Serializable'"}) {
    CAPTURE(sql);
    CHECK(kind(sql) == set_transaction);
    CHECK(one(sql, Dialect::postgres)->begin.isolation == BeginOptions::Isolation::serializable);
    CHECK(one(sql, Dialect::postgres)->name == "transaction_isolation");
  }
  CHECK(one("set transaction_read_only = on", Dialect::postgres)->begin.access ==
        BeginOptions::Access::read_only);
  CHECK(one("set transaction_isolation = 'nonsense'", Dialect::postgres)->begin.isolation ==
        BeginOptions::Isolation::unset);
  CHECK(kind("set transaction_read_only to default") == set_transaction);
  CHECK(kind("reset transaction_deferrable") == set_transaction);
  CHECK(kind("set default_transaction_isolation = 'serializable'") == setting);
  CHECK(kind("set session transaction read only") == set_transaction);
  CHECK(one("reset transaction isolation level", Dialect::postgres)->name ==
        "transaction_isolation");
  CHECK(kind("set session session characteristics as transaction read only") == setting);
  CHECK(kind("set local session characteristics as transaction read only") == set_transaction);
  CHECK(kind("set local transaction isolation level serializable") == set_transaction);
  CHECK(kind("set transaction snapshot 'x'") == set_transaction);
  CHECK(kind("set constraints all deferred") == set_transaction);
  CHECK(kind("set local work_mem = '1MB'") == set_transaction);
  CHECK(kind("set local time zone 'UTC'") == set_transaction);
  CHECK(kind("set local role x") == set_transaction);
  CHECK(kind("set work_mem = '1MB'") == setting);
  CHECK(kind("set local.x = 1") == setting);
  CHECK(kind("set time zone interval '1' hour") == pinning);
  CHECK(kind("set session characteristics as transaction read only") == setting);
  CHECK(kind("set") == other);
  CHECK(kind("set work_mem") == other);
  const StatementRef local = one("SET LOCAL work_mem TO '1MB'", Dialect::postgres);
  CHECK(local->name == "work_mem");
  CHECK(local->setting == "'1MB'");
  CHECK(one("set transaction read only", Dialect::postgres)->begin.access == Access::read_only);
}

TEST_CASE("the channel of LISTEN and UNLISTEN is what the server folds it to") {
  struct Row {
    const char* text;
    const char* word;
    std::string name;
  };
  for (const Row& row :
       {Row{"listen Jobs", "listen", "jobs"}, Row{"LISTEN \"Jobs\"", "listen", "Jobs"},
        Row{"listen /* c */ \"a\"\"b\";", "listen", "a\"b"},
        Row{"unlisten Jobs", "unlisten", "jobs"}, Row{"UNLISTEN *", "unlisten", ""},
        Row{"listen", "", ""}, Row{"listen 'x'", "", ""}, Row{"listen U&\"x\"", "", ""}}) {
    CAPTURE(row.text);
    const StatementRef statement = one(row.text, Dialect::postgres);
    CHECK(statement->kind == listen);
    CHECK(statement->setting == row.word);
    CHECK(statement->name == row.name);
  }
  const std::string long_name(80, 'x');
  CHECK(one("listen " + long_name, Dialect::postgres)->name == long_name.substr(0, 63));
}

TEST_CASE("a setting gives its name in lower case and its value as written") {
  struct Row {
    const char* text;
    const char* name;
    const char* value;
  };
  for (const Row& row :
       {Row{"set Work_Mem = '1MB'", "work_mem", "'1MB'"},
        Row{"set session search_path to a, \"B\" /* x */", "search_path", "a, \"B\""},
        Row{"set \"TimeZone\" to default", "timezone", "default"},
        Row{"set my.Thing = -1.5", "my.thing", "-1.5"},
        Row{"set time zone 'UTC'", "timezone", "'UTC'"},
        Row{"set time zone local", "timezone", "DEFAULT"},
        Row{"set session authorization bob", "session_authorization", "bob"},
        Row{"set session role none", "role", "none"}, Row{"set role \"Bob\"", "role", "\"Bob\""},
        Row{"set role to x", "role", "x"}, Row{"set names 'utf8'", "client_encoding", "'utf8'"},
        Row{"set schema 'x'", "search_path", "'x'"},
        Row{"set xml option document", "xmloption", "document"},
        Row{"reset work_mem", "work_mem", ""}, Row{"reset my.Thing", "my.thing", ""},
        Row{"reset all", "all", ""}, Row{"reset time zone", "timezone", ""},
        Row{"reset session authorization", "session_authorization", ""},
        Row{"reset role", "role", ""}}) {
    const StatementRef statement = one(row.text, Dialect::postgres);
    CHECK(statement->kind == setting);
    CHECK(statement->name == row.name);
    CHECK(statement->setting == row.value);
  }
  const StatementRef modes =
      one("set session characteristics as transaction read only", Dialect::postgres);
  CHECK(modes->name == "session characteristics");
  CHECK(modes->begin.access == Access::read_only);
  CHECK(one("discard plans", Dialect::postgres)->name == "plans");
}

TEST_CASE("SANDBOX is a statement of its own in both dialects") {
  struct Row {
    const char* text;
    SandboxVerb verb;
    const char* name;
  };
  for (const Dialect dialect : both_dialects) {
    for (const Row& row : {Row{"sandbox status", SandboxVerb::status, ""},
                           Row{"SANDBOX list", SandboxVerb::list, ""},
                           Row{"/* x */ Sandbox Log", SandboxVerb::log, ""},
                           Row{"sandbox reset", SandboxVerb::reset, ""},
                           Row{"sandbox reset to Seeded", SandboxVerb::reset, "seeded"},
                           Row{"sandbox mark to", SandboxVerb::mark, "to"},
                           Row{"sandbox mark \"a b\" -- x", SandboxVerb::mark, "a b"},
                           Row{"sandbox drop", SandboxVerb::drop, ""}}) {
      const StatementRef statement = one(row.text, dialect);
      CHECK(statement->kind == StatementKind::sandbox);
      CHECK(statement->verb == row.verb);
      CHECK(statement->name == row.name);
    }
    for (const char* text : {"sandbox", "sandbox restet", "sandbox mark", "sandbox reset a",
                             "sandbox reset to", "sandbox status x", "sandbox mark 1"}) {
      CHECK(refused(text, dialect).sqlstate == sqlstate::syntax_error);
    }
    CHECK(one("select * from sandbox", dialect)->kind == StatementKind::read);
  }
}

}  // namespace
}  // namespace based::sql
