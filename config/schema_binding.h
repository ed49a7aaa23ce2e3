// How a schema row is bound to a member of Settings: its type follows from the member's. Any
// thread.
#pragma once

#include "config/schema.h"

namespace based::schema {

constexpr std::int64_t no_max = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t second = 1000;
constexpr std::int64_t minute = 60 * second;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t kib = 1024;
constexpr std::int64_t mib = 1024 * kib;
constexpr std::int64_t gib = 1024 * mib;

template <typename Owner, typename Member>
Member member_type_of(Member Owner::*);
template <typename Owner, typename Member>
Owner owner_type_of(Member Owner::*);

template <typename T>
consteval SettingType type_of() {
  if constexpr (std::is_same_v<T, bool>) return SettingType::boolean;
  if constexpr (std::is_same_v<T, std::string>) return SettingType::text;
  if constexpr (std::is_same_v<T, std::vector<std::string>>) return SettingType::texts;
  if constexpr (std::is_same_v<T, std::vector<ListenAddress>>) return SettingType::addresses;
  if constexpr (std::is_same_v<T, Milliseconds>) return SettingType::duration;
  if constexpr (std::is_same_v<T, Bytes>) return SettingType::size;
  if constexpr (std::is_same_v<T, FileMode>) return SettingType::mode;
  if constexpr (std::is_enum_v<T>) return SettingType::choice;
  return SettingType::count;
}

template <typename T>
void assign(T& member, const SettingValue& value) {
  constexpr SettingType type = type_of<T>();
  if constexpr (type == SettingType::boolean || type == SettingType::text ||
                type == SettingType::texts) {
    member = std::get<T>(value);
  } else if constexpr (type == SettingType::addresses) {
    member.clear();
    for (const std::string& text : std::get<std::vector<std::string>>(value))
      member.push_back(parse_address(text).value());
  } else if constexpr (type == SettingType::duration) {
    member = Milliseconds{std::get<std::int64_t>(value)};
  } else if constexpr (type == SettingType::size) {
    member = Bytes{static_cast<std::uint64_t>(std::get<std::int64_t>(value))};
  } else if constexpr (type == SettingType::mode) {
    member = FileMode{static_cast<std::uint32_t>(std::get<std::int64_t>(value))};
  } else {
    member = static_cast<T>(std::get<std::int64_t>(value));
  }
}

template <typename T>
SettingValue read(const T& member) {
  constexpr SettingType type = type_of<T>();
  if constexpr (type == SettingType::boolean || type == SettingType::text ||
                type == SettingType::texts) {
    return SettingValue{std::in_place_type<T>, member};
  } else if constexpr (type == SettingType::addresses) {
    std::vector<std::string> texts;
    for (const ListenAddress& address : member) texts.push_back(format_address(address));
    return texts;
  } else if constexpr (type == SettingType::duration) {
    return std::int64_t{member.count()};
  } else if constexpr (type == SettingType::size) {
    return static_cast<std::int64_t>(member.count);
  } else if constexpr (type == SettingType::mode) {
    return std::int64_t{member.bits};
  } else {
    return static_cast<std::int64_t>(member);
  }
}

// The row of a member, without its key's details.
template <auto Member>
consteval SettingRow bind(SettingRow row) {
  using Owner = decltype(owner_type_of(Member));
  using Type = decltype(member_type_of(Member));
  row.type = type_of<Type>();
  if constexpr (std::is_same_v<Owner, ServerSettings>) {
    row.assign_server = [](ServerSettings& to, const SettingValue& value) {
      assign(to.*Member, value);
    };
    row.read_server = [](const ServerSettings& from) { return read(from.*Member); };
  } else if constexpr (std::is_same_v<Owner, UserSettings>) {
    row.assign_user = [](UserSettings& to, const SettingValue& value) {
      assign(to.*Member, value);
    };
    row.read_user = [](const UserSettings& from) { return read(from.*Member); };
  } else {
    row.assign_database = [](DatabaseSettings& to, const SettingValue& value) {
      assign(to.*Member, value);
    };
    row.read_database = [](const DatabaseSettings& from) { return read(from.*Member); };
  }
  return row;
}

// Keys are unique, every row has a help text, and a number has a range.
constexpr bool is_sound(std::span<const SettingRow> rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (rows[i].key == rows[j].key) return false;
    }
    const SettingType type = rows[i].type;
    const bool ranged =
        type == SettingType::count || type == SettingType::duration || type == SettingType::size;
    if (rows[i].key.empty() || rows[i].help.empty()) return false;
    if (ranged != (rows[i].max > 0) || rows[i].min > rows[i].max) return false;
    if ((type == SettingType::choice) != !rows[i].choices.empty()) return false;
  }
  return true;
}

}  // namespace based::schema
