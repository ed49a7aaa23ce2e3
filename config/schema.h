// The schema: one row for every key of the file, bound to its member of Settings.
//
// The loader, --print-config and the reference page are made from these rows. Any thread, pure.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "config/settings.h"

namespace based {

enum class SettingType : std::uint8_t {
  text,
  texts,      // a list of texts
  addresses,  // a list of texts that parse_address takes
  boolean,
  count,
  duration,  // min and max in milliseconds
  size,      // min and max in bytes
  mode,      // octal digits in a text
  choice,    // one of `choices`, in the order of the enum
};

enum class AppliesTo : std::uint8_t { every, postgresql, sqlite };

// A value on its way between the file and its member: a count, milliseconds, bytes, mode bits or
// the index of a choice as an integer; addresses as their texts.
using SettingValue = std::variant<bool, std::int64_t, std::string, std::vector<std::string>>;

struct SettingRow {
  std::string_view key;
  SettingType type = SettingType::text;
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::string_view choices;  // "debug, info, warning, error"
  AppliesTo applies = AppliesTo::every;
  bool secret = false;  // shown as *** only
  std::string_view help;

  // One pair of these, for the table that the row is in. `assign` REQUIRES a value that was
  // checked.
  void (*assign_server)(ServerSettings&, const SettingValue&) = nullptr;
  SettingValue (*read_server)(const ServerSettings&) = nullptr;
  void (*assign_database)(DatabaseSettings&, const SettingValue&) = nullptr;
  SettingValue (*read_database)(const DatabaseSettings&) = nullptr;
  void (*assign_user)(UserSettings&, const SettingValue&) = nullptr;
  SettingValue (*read_user)(const UserSettings&) = nullptr;
};

// [server], [users.NAME] and [databases.NAME], in the order in which they are shown.
std::span<const SettingRow> server_rows();
std::span<const SettingRow> user_rows();
std::span<const SettingRow> database_rows();

inline bool applies(const SettingRow& row, DatabaseKind kind) {
  if (row.applies == AppliesTo::every) return true;
  return (row.applies == AppliesTo::postgresql) == (kind == DatabaseKind::postgresql);
}

// The choices of a row, in order.
std::vector<std::string_view> choice_list(const SettingRow& row);

// A value of a row as TOML: `"30s"`, `true`, `["a", "b"]`.
std::string format_value(const SettingRow& row, const SettingValue& value);

// A text as a TOML string, quotes and all.
std::string quote_toml(std::string_view text);

}  // namespace based
