#include "daemon/postgres/sqlite_settings.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "daemon/postgres/sqlite_tokens.h"

namespace based {
namespace {

enum class Kind : std::uint8_t {
  free,      // kept, without an effect here
  fixed,     // takes only the value it has
  constant,  // cannot be set at all
  boolean,
  duration,
};

struct SettingRow {
  std::string_view name;  // as it is reported
  std::string_view key;   // lower case
  std::string_view value;
  Kind kind = Kind::free;
  bool reported = false;
};

constexpr std::array settings{
    SettingRow{"server_version", "server_version", "15.0 (Based)", Kind::constant, true},
    SettingRow{"server_version_num", "server_version_num", "150000", Kind::constant},
    SettingRow{"server_encoding", "server_encoding", "UTF8", Kind::constant, true},
    SettingRow{"client_encoding", "client_encoding", "UTF8", Kind::fixed, true},
    SettingRow{"DateStyle", "datestyle", "ISO, MDY", Kind::fixed, true},
    SettingRow{"IntervalStyle", "intervalstyle", "postgres", Kind::free, true},
    SettingRow{"TimeZone", "timezone", "UTC", Kind::free, true},
    SettingRow{"integer_datetimes", "integer_datetimes", "on", Kind::constant, true},
    SettingRow{"standard_conforming_strings", "standard_conforming_strings", "on", Kind::fixed,
               true},
    SettingRow{"application_name", "application_name", "", Kind::free, true},
    SettingRow{"is_superuser", "is_superuser", "off", Kind::constant, true},
    SettingRow{"in_hot_standby", "in_hot_standby", "off", Kind::constant, true},
    SettingRow{"default_transaction_read_only", "default_transaction_read_only", "off",
               Kind::boolean, true},
    SettingRow{"transaction_isolation", "transaction_isolation", "serializable", Kind::free},
    SettingRow{"default_transaction_isolation", "default_transaction_isolation", "serializable",
               Kind::free},
    SettingRow{"default_transaction_deferrable", "default_transaction_deferrable", "off",
               Kind::free},
    SettingRow{"transaction_read_only", "transaction_read_only", "off", Kind::constant},
    SettingRow{"search_path", "search_path", "main", Kind::free},
    SettingRow{"extra_float_digits", "extra_float_digits", "1", Kind::free},
    SettingRow{"bytea_output", "bytea_output", "hex", Kind::fixed},
    SettingRow{"escape_string_warning", "escape_string_warning", "on", Kind::free},
    SettingRow{"backslash_quote", "backslash_quote", "safe_encoding", Kind::free},
    SettingRow{"client_min_messages", "client_min_messages", "notice", Kind::free},
    SettingRow{"lc_messages", "lc_messages", "C", Kind::free},
    SettingRow{"lc_monetary", "lc_monetary", "C", Kind::free},
    SettingRow{"lc_numeric", "lc_numeric", "C", Kind::free},
    SettingRow{"lc_time", "lc_time", "C", Kind::free},
    SettingRow{"lock_timeout", "lock_timeout", "0", Kind::duration},
    SettingRow{"idle_in_transaction_session_timeout", "idle_in_transaction_session_timeout", "0",
               Kind::duration},
    SettingRow{"idle_session_timeout", "idle_session_timeout", "0", Kind::duration},
    SettingRow{"statement_timeout", "statement_timeout", "0", Kind::duration},
    SettingRow{"synchronous_commit", "synchronous_commit", "on", Kind::free},
    SettingRow{"row_security", "row_security", "on", Kind::free},
    SettingRow{"jit", "jit", "off", Kind::free},
    SettingRow{"geqo", "geqo", "on", Kind::free},
    SettingRow{"work_mem", "work_mem", "4MB", Kind::free},
    SettingRow{"max_identifier_length", "max_identifier_length", "63", Kind::constant},
    SettingRow{"max_index_keys", "max_index_keys", "32", Kind::constant},
    SettingRow{"xmloption", "xmloption", "content", Kind::free},
};

// Of one setting; a session cannot keep more than the table's, and these many of its own names.
constexpr std::size_t value_bytes_max = 8192;
constexpr std::size_t own_names_max = 64;

const SettingRow* find(std::string_view name) {
  for (const SettingRow& row : settings) {
    if (row.key == name) return &row;
  }
  return nullptr;
}

Error bad_value(std::string_view name, std::string_view value) {
  return Error::make(sqlstate::invalid_parameter_value,
                     "invalid value for parameter \"" + std::string(name) + "\": \"" +
                         std::string(value.substr(0, 64)) + "\"");
}

std::optional<bool> parse_bool(std::string_view text) {
  const std::string word = lower_case(text);
  if (word == "on" || word == "true" || word == "yes" || word == "1") return true;
  if (word == "off" || word == "false" || word == "no" || word == "0") return false;
  return std::nullopt;
}

// Names of encodings differ in case, quotes and hyphens.
bool same_fixed(std::string_view key, std::string_view given, std::string_view value) {
  std::string folded;
  for (const char c : lower_case(given)) {
    if (c != '-' && c != '_' && c != ' ' && c != '\'') folded += c;
  }
  if (key == "client_encoding") return folded == "utf8" || folded == "unicode";
  if (key == "datestyle") return folded == "iso" || folded == "iso,mdy";
  if (key == "standard_conforming_strings") return parse_bool(given) == true;
  return folded == value;
}

}  // namespace

std::optional<Duration> parse_setting_duration(std::string_view text) {
  std::int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || number < 0 || number > INT32_MAX) return std::nullopt;
  std::string_view unit(parsed.ptr,
                        static_cast<std::size_t>(text.data() + text.size() - parsed.ptr));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  using std::chrono::microseconds;
  if (unit == "us") return microseconds(number);
  if (unit.empty() || unit == "ms") return std::chrono::milliseconds(number);
  if (unit == "s") return std::chrono::seconds(number);
  if (unit == "min") return std::chrono::minutes(number);
  // More is no timeout that anybody meets, and would not fit.
  const auto bounded = std::min<std::int64_t>(number, 24 * 365);
  if (unit == "h") return std::chrono::hours(bounded);
  if (unit == "d") return std::chrono::hours(24 * bounded);
  return std::nullopt;
}

namespace {

// In the largest unit of which it is a whole number, as PostgreSQL shows it.
std::string shown(Duration duration) {
  struct Unit {
    std::int64_t count;
    std::string_view name;
  };
  static constexpr std::array units{Unit{86'400'000, "d"}, Unit{3'600'000, "h"},
                                    Unit{60'000, "min"}, Unit{1'000, "s"}, Unit{1, "ms"}};
  const auto count = std::chrono::round<std::chrono::milliseconds>(duration).count();
  if (count == 0) return "0";
  const auto whole =
      std::ranges::find_if(units, [count](const Unit& unit) { return count % unit.count == 0; });
  return std::to_string(count / whole->count) + std::string(whole->name);
}

}  // namespace

Result<std::string> SqliteSettings::check(std::string_view name, std::string_view value) const {
  if (value.size() > value_bytes_max) return bad_value(name, value);
  const SettingRow* row = find(name);
  const bool own = name.find('.') != std::string_view::npos;
  if (row == nullptr) {
    if (own && (changed_ == nullptr || changed_->settings.size() < settings.size() + own_names_max))
      return std::string(value);
    return Error::make(Sqlstate("42704"),
                       "unrecognized configuration parameter \"" + std::string(name) + "\"");
  }
  switch (row->kind) {
    case Kind::free:
      return std::string(value);
    case Kind::fixed:
      if (same_fixed(row->key, value, row->value)) return std::string(row->value);
      return bad_value(name, value)
          .with_hint(std::string(row->name) + " is always " + std::string(row->value) +
                     " on SQLite.");
    case Kind::constant:
      break;
    case Kind::boolean:
      if (const auto truth = parse_bool(value)) return std::string(*truth ? "on" : "off");
      return bad_value(name, value);
    case Kind::duration:
      if (const auto duration = parse_setting_duration(value)) return shown(*duration);
      return bad_value(name, value);
  }
  return Error::make(Sqlstate("55P02"),
                     "parameter \"" + std::string(name) + "\" cannot be changed");
}

Result<void> SqliteSettings::set_default(std::string_view name, std::string_view value) {
  auto checked = check(name, value);
  if (!checked) return std::move(checked).error();
  defaults_.settings[std::string(name)] = std::move(*checked);
  return {};
}

Result<void> SqliteSettings::set(std::string_view name, std::string_view value) {
  auto checked = check(name, value);
  if (!checked) return std::move(checked).error();
  auto profile = std::make_shared<Profile>();
  if (changed_ != nullptr) *profile = *changed_;
  profile->settings[std::string(name)] = std::move(*checked);
  changed_ = std::move(profile);
  return {};
}

Result<void> SqliteSettings::reset(std::string_view name) {
  const SettingRow* row = find(name);
  if (row != nullptr && row->kind == Kind::constant) {
    return Error::make(Sqlstate("55P02"),
                       "parameter \"" + std::string(name) + "\" cannot be changed");
  }
  if (row == nullptr && !value(name)) {
    return Error::make(Sqlstate("42704"),
                       "unrecognized configuration parameter \"" + std::string(name) + "\"");
  }
  if (changed_ == nullptr) return {};
  auto profile = std::make_shared<Profile>(*changed_);
  profile->settings.erase(std::string(name));
  changed_ = std::move(profile);
  return {};
}

std::optional<std::string> SqliteSettings::value(std::string_view name) const {
  if (changed_ != nullptr) {
    const auto found = changed_->settings.find(name);
    if (found != changed_->settings.end()) return found->second;
  }
  const auto found = defaults_.settings.find(name);
  if (found != defaults_.settings.end()) return found->second;
  if (name == "session_authorization") return user_;
  if (name == "role") return "none";
  if (name == "transaction_read_only") return value("default_transaction_read_only");
  const SettingRow* row = find(name);
  if (row == nullptr) return std::nullopt;
  return std::string(row->value);
}

SqliteSettings::Pairs SqliteSettings::all() const {
  Pairs pairs;
  for (const SettingRow& row : settings) pairs.emplace_back(row.name, *value(row.key));
  std::ranges::sort(pairs);
  return pairs;
}

SqliteSettings::Pairs SqliteSettings::to_report() {
  Pairs now;
  for (const SettingRow& row : settings) {
    if (row.reported) now.emplace_back(row.name, *value(row.key));
  }
  now.emplace_back("session_authorization", user_);
  if (!reported_) return *(reported_ = now);
  Pairs changed;
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (now[i] != (*reported_)[i]) changed.push_back(now[i]);
  }
  reported_ = std::move(now);
  return changed;
}

Duration SqliteSettings::statement_timeout() const {
  return parse_setting_duration(*value("statement_timeout")).value_or(Duration{});
}

bool SqliteSettings::read_only() const { return *value("default_transaction_read_only") == "on"; }

}  // namespace based
