#include "backends/postgres/sandbox_settings.h"

#include <memory>

#include <doctest/doctest.h>

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
  return found ? std::string(found->column) + " " + found->setting : "";
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
                           "select current_setting('transaction_isolation'), 1", "select 1"}) {
    CHECK(row(text).empty());
  }
}

}  // namespace
}  // namespace based::postgres
