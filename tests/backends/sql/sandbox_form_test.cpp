#include "backends/sql/sandbox_form.h"

#include "sql_fixture.h"

namespace based::sql {
namespace {

// "-": it has none.
std::string form(std::string_view text) {
  const StatementRef made = sandbox_form(*one(text, Dialect::postgres, ParameterStyle::verbatim));
  return made ? made->text : "-";
}

TEST_CASE("CONCURRENTLY goes, and everything else stays where it was") {
  struct Row {
    const char* text;
    const char* form;
  };
  for (const Row& row : {
           Row{"create index concurrently i on t (concurrently(a))",
               "create index              i on t (concurrently(a))"},
           Row{"Create /* x */ Unique Index Concurrently If Not Exists i On t (a)",
               "Create /* x */ Unique Index              If Not Exists i On t (a)"},
           Row{"drop index concurrently if exists i", "drop index              if exists i"},
           Row{"reindex table concurrently t", "reindex table              t"},
           Row{"reindex (verbose) index concurrently i", "reindex (verbose) index              i"},
           Row{"reindex (concurrently) table t", "reindex (VERBOSE OFF ) table t"},
           Row{"reindex (verbose, concurrently true) table t",
               "reindex (verbose, VERBOSE OFF      ) table t"},
           Row{"alter table t detach partition p concurrently",
               "alter table t detach partition p             "},
       }) {
    INFO(row.text);
    CHECK(form(row.text) == row.form);
  }
}

TEST_CASE("what acts on more than a database's tables has no form") {
  for (const char* text : {"create database d", "drop database d", "alter system set a = 1",
                           "drop tablespace s", "create tablespace s location '/'", "cluster",
                           "reindex database d", "reindex schema concurrently s",
                           "reindex (concurrently) system", "select 1", "create index on t (a)",
                           "copy t from stdin", "copy t (a, b) to stdout with (format csv)"}) {
    INFO(text);
    CHECK(form(text) == "-");
  }
}

TEST_CASE("VACUUM is a warning, or ANALYZE of the same tables") {
  CHECK(form("vacuum analyze t (a), u") == "       analyze t (a), u");
  CHECK(form("vacuum full verbose analyze") == "                    analyze");
  CHECK(form("vacuum (analyze) t") == "ANALYZE          t");
  CHECK(form("vacuum(full, Analyze true, parallel 2)t(a)") ==
        "ANALYZE                               t(a)");
  for (const char* text : {"vacuum", "vacuum t", "vacuum (analyze false) t", "vacuum full",
                           "vacuum verbose analyzed", "vacuum (verbose, freeze)"}) {
    INFO(text);
    CHECK(form(text).starts_with("DO "));
    CHECK(sandbox_form(*one(text, Dialect::postgres))->told_as == "VACUUM");
  }
}

TEST_CASE("COPY loses FREEZE") {
  CHECK(form("copy t from stdin (freeze off, freeze on)") == "-");
  CHECK(form("copy t from stdin (freeze)") == "copy t from stdin         ");
  CHECK(form("copy t from stdin with (freeze true)") == "copy t from stdin                   ");
  CHECK(form("copy t from stdin with (freeze, format csv)") ==
        "copy t from stdin with (        format csv)");
  CHECK(form("copy t (a, b) from stdin (format csv, freeze on, null 'freeze') where a > 0") ==
        "copy t (a, b) from stdin (format csv           , null 'freeze') where a > 0");
  CHECK(form("copy t from program 'x' csv freeze header") ==
        "copy t from program 'x' csv        header");
}

TEST_CASE("PostgreSQL's own words") {
  const auto said = [](std::string_view text) {
    return alone_error(*one(text, Dialect::postgres)).message;
  };
  CHECK(said("vacuum full t") == "VACUUM cannot run inside a transaction block");
  CHECK(said("create unique index concurrently i on t(a)") ==
        "CREATE INDEX CONCURRENTLY cannot run inside a transaction block");
  CHECK(said("drop database d") == "DROP DATABASE cannot run inside a transaction block");
  CHECK(said("reindex (verbose) database d") ==
        "REINDEX DATABASE cannot run inside a transaction block");
  CHECK(said("alter system reset all") == "ALTER SYSTEM cannot run inside a transaction block");
}

}  // namespace
}  // namespace based::sql
