// Reported: the settings that a server reports by ParameterStatus, as one immutable value: "the
// client has been told all of it" is mostly one pointer comparison. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace based::postgres {

// Names as the server spells them ("DateStyle", "client_encoding").
using Reported = std::map<std::string, std::string, std::less<>>;
using ReportedRef = std::shared_ptr<const Reported>;

// What servers report when a link is opened, up to PostgreSQL 18: libpq tells a value only to who
// knows its name.
std::span<const std::string_view> reported_names();

// The value with one setting changed; the same object where that is no change.
ReportedRef with_reported(const ReportedRef& reported, std::string_view name,
                          std::string_view value);

}  // namespace based::postgres
