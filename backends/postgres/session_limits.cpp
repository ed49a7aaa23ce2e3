#include "backends/postgres/session_limits.h"

#include <string>
#include <utility>

namespace based::postgres {
namespace {

Error too_many(const std::string& what, std::string detail, std::string hint) {
  return Error::make(sqlstate::program_limit_exceeded, "the session has too many " + what)
      .with_detail(std::move(detail))
      .with_hint(std::move(hint));
}

std::string mebibytes(std::size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

std::size_t bytes_of(const Settings& settings) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : settings) bytes += name.size() + value.size();
  return bytes;
}

std::optional<Error> refuse_settings(const Settings& now,
                                     std::span<const StatementRef> statements) {
  Settings changed;  // empty: RESET
  bool more = false;
  for (const StatementRef& statement : statements) {
    if (statement->kind != StatementKind::setting) continue;
    more = more || !statement->setting.empty();
    if (statement->name == "all") return std::nullopt;
    changed[statement->name] = statement->setting;
  }
  if (!more) return std::nullopt;
  const std::size_t bytes_now = bytes_of(now);
  std::size_t count = now.size(), bytes = bytes_now;
  for (const auto& [name, value] : changed) {
    if (const auto found = now.find(name); found != now.end()) {
      bytes -= name.size() + found->second.size();
      --count;
    }
    if (value.empty()) continue;
    bytes += name.size() + value.size();
    ++count;
  }
  const bool fits = (count <= settings_max || count <= now.size()) &&
                    (bytes <= settings_bytes_max || bytes <= bytes_now);
  if (fits) return std::nullopt;
  return too_many("settings",
                  "Of one session Based keeps at most " + std::to_string(settings_max) +
                      " settings, and " + mebibytes(settings_bytes_max) + " of them.",
                  "RESET some, or keep long values in a table.");
}

Error too_many_savepoints() {
  return too_many("savepoints",
                  "Of one transaction Based keeps at most " + std::to_string(savepoints_max) +
                      " savepoints, and " + mebibytes(savepoint_bytes_max) +
                      " of the settings as they were at them.",
                  "Release those that are no longer needed.");
}

Error too_many_portals() {
  return too_many("portals",
                  "Of one transaction Based keeps at most " + std::to_string(portals_max) +
                      " portals, and " + mebibytes(portal_bytes_max) +
                      " of what set_config and pg_notify are called with.",
                  "Close those that are no longer needed.");
}

Error too_many_items() {
  return too_many("messages without a Sync",
                  "Of one unit Based keeps at most " + std::to_string(unit_items_max) + " of them.",
                  "Send a Sync now and then.");
}

}  // namespace based::postgres
