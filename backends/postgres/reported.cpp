#include "backends/postgres/reported.h"

#include <array>

namespace based::postgres {

std::span<const std::string_view> reported_names() {
  static constexpr std::array<std::string_view, 16> names{
      "server_version",   "server_encoding",
      "client_encoding",  "application_name",
      "is_superuser",     "session_authorization",
      "DateStyle",        "IntervalStyle",
      "TimeZone",         "integer_datetimes",
      "in_hot_standby",   "standard_conforming_strings",
      "scram_iterations", "default_transaction_read_only",
      "search_path",      "role",
  };
  return names;
}

ReportedRef with_reported(const ReportedRef& reported, std::string_view name,
                          std::string_view value) {
  const auto found = reported->find(name);
  if (found != reported->end() && found->second == value) return reported;
  auto changed = std::make_shared<Reported>(*reported);
  (*changed)[std::string(name)] = value;
  return changed;
}

}  // namespace based::postgres
