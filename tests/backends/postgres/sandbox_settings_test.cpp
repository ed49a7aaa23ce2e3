#include "backends/postgres/sandbox_settings.h"

#include <memory>

#include <doctest/doctest.h>

#include "backends/postgres/own_row.h"

namespace based::postgres {
namespace {

std::string shown(std::string_view value,
                  std::string_view name = "idle_in_transaction_session_timeout") {
  const Result<std::string> result = shown_withheld(name, value);
  return result ? *result : std::string(result.error().sqlstate.text());
}

std::string row(const char* text) {
  Statement statement;
  statement.kind = StatementKind::read;
  statement.text = text;
  const auto found = own_row_of(statement);
  return found ? found->column + " " + found->setting : "";
}

BeginOptions mode(const char* text) {
  Statement statement;
  statement.kind = StatementKind::read;
  statement.text = text;
  const auto found = own_row_of(statement);
  return found ? found->sets : BeginOptions();
}

TEST_CASE("a timeout is shown in the largest unit that divides it, as the server does") {
  CHECK(shown("") == "0");
  CHECK(shown("0") == "0");
  CHECK(shown("default") == "0");
  CHECK(shown("'90s'") == "90s");
  CHECK(shown("90000") == "90s");
  CHECK(shown("' 2 min '") == "2min");
  CHECK(shown("'1.5s'") == "1500ms");
  CHECK(shown("'1d'") == "1d");
  CHECK(shown("'1500us'") == "2ms");
  for (const char* value : {"'never'", "-1", "'1 parsec'", "'0x10'", "'1e99'", "''"}) {
    CHECK(shown(value) == "22023");
  }
}

TEST_CASE("a bool is read from any beginning that tells it from the others") {
  constexpr std::string_view name = "default_transaction_read_only";
  for (const char* value : {"on", "true", "'t'", "yes", "1", "\"on\""})
    CHECK(shown(value, name) == "on");
  for (const char* value : {"", "off", "'of'", "n", "0"}) CHECK(shown(value, name) == "off");
  for (const char* value : {"o", "maybe", "2"}) CHECK(shown(value, name) == "22023");
}

TEST_CASE("the questions that Based answers") {
  CHECK(row("show transaction isolation level") == "transaction_isolation transaction_isolation");
  CHECK(row("SHOW Transaction_Isolation") == "transaction_isolation transaction_isolation");
  CHECK(row("select current_setting('transaction_isolation')") ==
        "current_setting transaction_isolation");
  CHECK(row("select pg_catalog.current_setting('Idle_Session_Timeout')") ==
        "current_setting idle_session_timeout");
  CHECK(row("show statement_timeout") == "statement_timeout statement_timeout");
  for (const char* text : {"show work_mem", "select current_setting('work_mem')", "show all",
                           "select current_setting('transaction_isolation') from t",
                           "select current_setting('transaction_isolation'), 1", "select 1",
                           "select current_setting('transaction_isolation', null)",
                           "select current_setting('transaction_isolation')::int",
                           "select current_setting('transaction_isolation') as x from t",
                           "select current_setting('transaction_isolation') limit 1", "select",
                           "select current_setting('transaction_read_only')"}) {
    CHECK(row(text).empty());
  }
  CHECK(row("select current_setting('transaction_deferrable', true)") ==
        "current_setting transaction_deferrable");
  CHECK(row("/* x */ select pg_catalog.current_setting('Transaction_Isolation', false)::text "
            "as \"Level \"\"\"") == "Level \" transaction_isolation");
  CHECK(row("select current_setting('statement_timeout')::pg_catalog.text as Ms") ==
        "ms statement_timeout");
}

TEST_CASE("a set_config of a transaction's mode is read") {
  using Isolation = BeginOptions::Isolation;
  using Access = BeginOptions::Access;
  CHECK(mode("select set_config('transaction_isolation', 'Serializable', true)") ==
        BeginOptions{.isolation = Isolation::serializable});
  CHECK(mode("SELECT pg_catalog.set_config('Transaction_Read_Only', E'on', FALSE) as x") ==
        BeginOptions{.access = Access::read_only});
  CHECK(mode("select set_config('transaction_deferrable', '0', false)::text").deferrable ==
        BeginOptions::Deferrable::not_deferrable);
  CHECK(row("select set_config('transaction_read_only', 'off', true)") ==
        "set_config transaction_read_only");
  for (const char* text : {"select set_config('transaction_isolation', 'strong', true)",
                           "select set_config('transaction_read_only', '''on''', true)",
                           "select set_config('transaction_read_only', 'on')",
                           "select set_config('transaction_read_only', 'on', null)",
                           "select set_config('work_mem', 'on', true)",
                           "select set_config('transaction_read_only', 'on', true), 1"}) {
    CHECK(row(text).empty());
  }
}

}  // namespace
}  // namespace based::postgres
