#include "backends/postgres/sandbox_settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>

#include "backends/postgres/startup_settings.h"
#include "backends/sql/setting_value.h"
#include "backends/sql/words.h"

namespace based::postgres {
namespace {

constexpr std::string_view read_only_name = "default_transaction_read_only";

struct Unit {
  std::string_view name;
  double ms;
};
// The largest first.
constexpr std::array<Unit, 6> units{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"min", 60'000}, {"s", 1000}, {"ms", 1}, {"us", 0.001}}};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\n\r\f\v";
  const std::size_t begin = text.find_first_not_of(space);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(space) + 1 - begin);
}

// Milliseconds, as the server reads a setting of that unit; nullopt: it would not.
std::optional<std::int64_t> milliseconds_of(std::string_view value) {
  const std::string text(trimmed(sql::plain_value(value)));
  const bool number = !text.empty() && (text[0] == '.' || (text[0] >= '0' && text[0] <= '9')) &&
                      text.find_first_of("xX") == text.npos;
  char* end = nullptr;
  const double read = number ? std::strtod(text.c_str(), &end) : 0;
  if (end == nullptr || end == text.c_str() || !std::isfinite(read)) return std::nullopt;
  const std::string_view unit = trimmed(end);
  double scale = 1;
  if (!unit.empty()) {
    const auto found = std::ranges::find(units, unit, &Unit::name);
    if (found == units.end()) return std::nullopt;
    scale = found->ms;
  }
  const double ms = std::nearbyint(read * scale);
  if (ms < 0 || ms > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
  return static_cast<std::int64_t>(ms);
}

std::string shown_timeout(std::int64_t ms) {
  if (ms == 0) return "0";
  for (const Unit& unit : units) {
    const auto scale = static_cast<std::int64_t>(unit.ms);
    if (ms % scale == 0) return std::to_string(ms / scale) + std::string(unit.name);
  }
  return std::to_string(ms) + "ms";
}

}  // namespace

bool is_withheld(std::string_view setting) {
  return setting == read_only_name || setting == "statement_timeout" ||
         setting == "idle_in_transaction_session_timeout" || setting == "transaction_timeout" ||
         setting == "idle_session_timeout";
}

Result<std::string> shown_withheld(std::string_view setting, std::string_view value) {
  const auto refused = [&](std::string_view what) {
    return Error::make(sqlstate::invalid_parameter_value, std::string(what) + "\"" +
                                                              std::string(setting) + "\": \"" +
                                                              sql::plain_value(value) + "\"");
  };
  if (setting == read_only_name) {
    if (is_default(value)) return std::string("off");
    const std::optional<bool> on = sql::bool_of(value);
    if (!on) {
      return Error::make(sqlstate::invalid_parameter_value,
                         "parameter \"" + std::string(setting) + "\" requires a Boolean value");
    }
    return std::string(*on ? "on" : "off");
  }
  if (is_default(value)) return std::string("0");
  const std::optional<std::int64_t> ms = milliseconds_of(value);
  if (!ms) return refused("invalid value for parameter ");
  return shown_timeout(*ms);
}

bool is_default(std::string_view value) { return value.empty() || sql::is_word(value, "DEFAULT"); }

std::optional<std::chrono::milliseconds> read_timeout(std::string_view value) {
  const std::optional<std::int64_t> ms = milliseconds_of(value);
  if (!ms || *ms == 0) return std::nullopt;
  return std::chrono::milliseconds(*ms);
}

bool is_on(std::string_view value) { return sql::bool_of(value).value_or(false); }

namespace {

// `own`: what the link has by itself, and is given again.
StatementRef reset_all_but_kept(const std::string& own) {
  // As many as may be joined, one inside the other.
  constexpr const char* depths = "pg_catalog.generate_series(1, 16)";
  const auto quoted = [](const char* text) { return quote_literal(text); };
  auto reset = std::make_shared<Statement>();
  reset->kind = StatementKind::setting;
  reset->name = "all";
  reset->told_as = "RESET";
  reset->text =
      "DO " +
      quote_literal(
          "DECLARE names pg_catalog.text[] := ARRAY(SELECT '_based.since' UNION ALL SELECT " +
          quoted(joined_prefix) + " || depth || what FROM " + depths +
          " depth, pg_catalog.unnest(ARRAY[" + quoted(joined_settings) + ", " +
          quoted(joined_since) +
          "]) what); "
          "kept pg_catalog.text[] := ARRAY(SELECT pg_catalog.current_setting(n, true) "
          "FROM pg_catalog.unnest(names) n); "
          "BEGIN RESET ALL; "
          "PERFORM pg_catalog.set_config(k.name, k.value, true) "
          "FROM ROWS FROM (pg_catalog.unnest(names), pg_catalog.unnest(kept)) k(name, value) "
          "WHERE k.value <> ''; PERFORM " +
          own + "; END");
  return reset;
}

}  // namespace

StatementRef reset_all_in_root() {
  static const StatementRef statement = reset_all_but_kept(
      "pg_catalog.set_config('default_transaction_read_only', 'off', false), "
      "pg_catalog.set_config('statement_timeout', '0', false), "
      "pg_catalog.set_config('idle_in_transaction_session_timeout', '0', false), "
      "CASE WHEN pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL "
      "THEN pg_catalog.set_config('transaction_timeout', '0', false) END, (" +
      std::string(notice_when_we_are_gone) + ")");
  return statement;
}

StatementRef reset_all_inside() {
  static const StatementRef statement = reset_all_but_kept(
      std::string(no_server_timeouts).substr(std::string_view("SELECT ").size()));
  return statement;
}

}  // namespace based::postgres
