#include "config/reference.h"

#include <doctest/doctest.h>

#include <string>

#include "config/schema.h"

using namespace based;

namespace {

// What the page says under a key.
std::string entry(const std::string& page, std::string_view table, std::string_view key) {
  std::string escaped;
  for (const char c : key) escaped += c == '-' ? std::string("\\-") : std::string(1, c);
  const std::size_t section = page.find(".SH " + std::string(table) + "\n");
  REQUIRE(section != std::string::npos);
  const std::size_t begin = page.find(".TP\n.B " + escaped + "\n", section);
  REQUIRE_MESSAGE(begin != std::string::npos, std::string(key));
  return page.substr(begin, page.find("\n.TP\n", begin + 4) - begin);
}

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the reference page has every key, with its default and whom it is for") {
  const std::string page = reference_page();
  for (const SettingRow& row : server_rows()) {
    const std::string text = entry(page, "[server]", row.key);
    if (row.type == SettingType::boolean) CHECK(holds(text, "; default false"));
  }
  for (const SettingRow& row : user_rows()) entry(page, "[users.NAME]", row.key);
  for (const SettingRow& row : database_rows()) {
    const std::string text = entry(page, "[databases.NAME]", row.key);
    CHECK(holds(text, "; postgresql only") == (row.applies == AppliesTo::postgresql));
    CHECK(holds(text, "; sqlite only") == (row.applies == AppliesTo::sqlite));
  }
  CHECK(
      holds(entry(page, "[server]", "shutdown_timeout"), "duration from 0 to 1h; default \"30s\""));
  CHECK(holds(entry(page, "[databases.NAME]", "max_size"), "number from 1 to 10000; default 20"));
}

TEST_CASE("every default is in its own range") {
  for (const SettingRow& row : server_rows()) {
    const SettingValue value = row.read_server({});
    const auto* number = std::get_if<std::int64_t>(&value);
    if (row.max > 0)
      CHECK_MESSAGE((*number >= row.min && *number <= row.max), std::string(row.key));
  }
  for (const SettingRow& row : database_rows()) {
    const SettingValue value = row.read_database({});
    const auto* number = std::get_if<std::int64_t>(&value);
    if (row.max > 0)
      CHECK_MESSAGE((*number >= row.min && *number <= row.max), std::string(row.key));
  }
}
