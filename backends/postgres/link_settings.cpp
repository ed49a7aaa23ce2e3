#include "backends/postgres/link_settings.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "backends/postgres/date_style.h"
#include "backends/postgres/startup_settings.h"
#include "backends/postgres/transaction_modes.h"
#include "backends/sql/control.h"
#include "backends/sql/traits.h"
#include "backends/sql/words.h"

namespace based::postgres {
namespace {

// What SET SESSION CHARACTERISTICS sets.
constexpr std::array<const char*, 3> characteristics{"default_transaction_isolation",
                                                     "default_transaction_read_only",
                                                     "default_transaction_deferrable"};

// A name that is not plain, or has parts, which may be keywords, is quoted: SET "app"."user".
std::string setting_name(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  bool all_plain = !name.empty() && !(name[0] >= '0' && name[0] <= '9');
  for (const char c : name) all_plain = all_plain && plain(c);
  if (all_plain) return std::string(name);
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '.') {
      quoted += "\".\"";
    } else {
      quoted += c;
      if (c == '"') quoted += c;
    }
  }
  return quoted += "\"";
}

std::string reset_text(std::string_view name) { return "RESET " + setting_name(name); }

std::string set_text(std::string_view name, std::string_view value) {
  return "SET " + setting_name(name) + " TO " + std::string(value);
}

std::string_view value_of(const Settings& settings, std::string_view name) {
  const auto found = settings.find(name);
  return found == settings.end() ? std::string_view() : std::string_view(found->second);
}

// Do these texts set and reset only what every role may?
bool is_for_all(const std::vector<std::string>& texts) {
  static constexpr std::array<std::string_view, 24> names{"application_name",
                                                          "bytea_output",
                                                          "client_encoding",
                                                          "client_min_messages",
                                                          "datestyle",
                                                          "default_transaction_deferrable",
                                                          "default_transaction_isolation",
                                                          "default_transaction_read_only",
                                                          "escape_string_warning",
                                                          "extra_float_digits",
                                                          "geqo",
                                                          "idle_in_transaction_session_timeout",
                                                          "intervalstyle",
                                                          "jit",
                                                          "lock_timeout",
                                                          "plan_cache_mode",
                                                          "quote_all_identifiers",
                                                          "row_security",
                                                          "search_path",
                                                          "standard_conforming_strings",
                                                          "statement_timeout",
                                                          "synchronous_commit",
                                                          "timezone",
                                                          "work_mem"};
  return std::ranges::all_of(texts, [](std::string_view text) {
    text.remove_prefix(std::min(text.size(), text.find(' ') + 1));  // SET, RESET
    return std::ranges::binary_search(names, text.substr(0, text.find(' ')));
  });
}

}  // namespace

std::string_view user_of(const Settings& settings) {
  return value_of(settings, "session_authorization");
}

bool is_reset(const StatementRef& statement) {
  if (statement->kind == StatementKind::discard) return statement->name == "all";
  return statement->kind == StatementKind::setting && statement->setting.empty();
}

std::string LinkSettings::resetting(std::string_view name) const {
  if (name == guard_) return set_text(name, "off");
  // The server may not know it, or not let this user have it: that is nobody's error.
  if (unsure_.contains(name) && !believed_.contains(name)) {
    return "DO " +
           quote_literal("BEGIN " + reset_text(name) + "; EXCEPTION WHEN OTHERS THEN NULL; END");
  }
  return reset_text(name);
}

void LinkSettings::doubt(std::string_view name) {
  if (doubtful_.emplace(name).second) unsure_.emplace(name);
}

std::vector<std::string> LinkSettings::others_differing(const Settings& wanted) const {
  std::vector<std::string> texts;
  for (const std::string& name : doubtful_) {
    if (!wanted.contains(name) && !survives_reset_all(name)) texts.push_back(resetting(name));
  }
  for (const auto& [name, value] : believed_) {
    const bool stays = wanted.contains(name) || doubtful_.contains(name);
    if (!stays && !survives_reset_all(name)) texts.push_back(resetting(name));
  }
  for (const auto& [name, value] : wanted) {
    const auto found = believed_.find(name);
    const bool same = found != believed_.end() && found->second == value;
    if ((same && !doubtful_.contains(name)) || survives_reset_all(name)) continue;
    // SET changes only what it names of it, and the rest would be somebody else's.
    if (name == "datestyle") texts.push_back(resetting(name));
    texts.push_back(set_text(name, value));
  }
  return texts;
}

// Who the link is has no say over the others: it may not be allowed to set or reset what it has set
// before it became that. Another user takes the role with it.
std::vector<std::string> LinkSettings::difference(const Settings& wanted,
                                                  std::string_view user) const {
  struct Part {
    std::string_view name, value;  // empty: none
    bool sure;

    bool is(std::string_view other) const { return sure && value == other; }
  };
  const auto now = [this](std::string_view name) {
    return Part{name, value_of(believed_, name), !doubtful_.contains(name)};
  };
  std::vector<std::string> texts;
  const auto make = [&texts](Part& part, std::string_view value) {
    texts.push_back(value.empty() ? reset_text(part.name) : set_text(part.name, value));
    part.value = value;
    part.sure = true;
  };
  Part who = now("session_authorization");
  Part role = now("role");
  const auto become = [&](std::string_view value) {
    make(who, value);
    role.sure = role.is("");
  };
  std::vector<std::string> others = others_differing(wanted);
  if (!others.empty() && !who.is(user)) become(user);
  if (!others.empty() && !role.is("") && !is_for_all(others)) make(role, "");
  std::ranges::move(others, std::back_inserter(texts));
  const std::string_view wanted_user = value_of(wanted, who.name);
  const std::string_view wanted_role = value_of(wanted, role.name);
  if (!who.is(wanted_user)) become(wanted_user);
  if (!role.is(wanted_role)) make(role, wanted_role);
  return texts;
}

bool LinkSettings::has_foreign(const Settings& wanted) const {
  const auto is_foreign = [&wanted](std::string_view name) { return !wanted.contains(name); };
  return std::ranges::any_of(doubtful_, is_foreign) ||
         std::ranges::any_of(believed_, is_foreign, &Settings::value_type::first);
}

bool LinkSettings::differs(const Settings& wanted) const {
  const auto is_not_in = [this](const Settings& other) {
    return [this, &other](const auto& setting) {
      const auto found = other.find(setting.first);
      const bool same = found != other.end() && found->second == setting.second;
      return !same && !doubtful_.contains(setting.first);
    };
  };
  return std::ranges::any_of(wanted, is_not_in(believed_)) ||
         std::ranges::any_of(believed_, is_not_in(wanted));
}

// The user and its role last: they decide over the others. Nobody can ask for a seed.
std::vector<std::string> LinkSettings::kept_names() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : local_) {
    if (name != "seed" && !survives_reset_all(name)) names.push_back(name);
  }
  for (const char* name : {"session_authorization", "role"}) {
    if (local_.contains(name)) names.emplace_back(name);
  }
  return names;
}

std::string LinkSettings::keeping(std::string_view name) const {
  std::string names;
  for (const std::string& kept : kept_names()) {
    names += (names.empty() ? "" : ", ") + quote_literal(kept);
  }
  if (names.empty()) return {};
  return "SELECT pg_catalog.set_config(" + quote_literal(name) +
         ", pg_catalog.json_object_agg(n, pg_catalog.current_setting(n, true))::pg_catalog.text, "
         "true) FROM pg_catalog.unnest(ARRAY[" +
         names + "]::pg_catalog.text[]) n";
}

std::vector<std::string> LinkSettings::back_to(const LinkSettings& before,
                                               std::string_view name) const {
  std::vector<std::string> texts = difference(before.believed_, {});
  if (before.kept_names().empty()) return texts;
  texts.push_back(
      "SELECT pg_catalog.set_config(k.key, k.value, true) FROM pg_catalog.json_each_text("
      "NULLIF(pg_catalog.current_setting(" +
      quote_literal(name) + ", true), '')::pg_catalog.json) k");
  return texts;
}

bool LinkSettings::has_profile(const SessionProfileRef& wanted) const {
  if (wanted == exactly_) return true;
  if (!has(wanted->settings)) return false;
  exactly_ = wanted;
  return true;
}

void LinkSettings::may_become(const Settings& wanted) {
  exactly_.reset();
  for (const auto& [name, value] : believed_) {
    const auto found = wanted.find(name);
    if (found == wanted.end() || found->second != value) doubt(name);
  }
  for (const auto& [name, value] : wanted) {
    if (!believed_.contains(name)) doubt(name);
  }
}

void LinkSettings::may_have_executed(const Statement& statement) {
  const bool discards = statement.kind == StatementKind::discard && statement.name == "all";
  if (statement.kind != StatementKind::setting && !discards) return;
  exactly_.reset();
  if (discards || statement.name == "all") {
    for (const auto& [name, value] : believed_) doubt(name);
  } else if (statement.name == "session characteristics") {
    for (const char* name : characteristics) doubt(name);
  } else if (!statement.name.empty()) {
    doubt(statement.name);
  }
}

void LinkSettings::became(const Settings& wanted, bool in_transaction) {
  exactly_.reset();
  if (in_transaction) {
    in_transaction_.insert(doubtful_.begin(), doubtful_.end());
    for (const auto& [name, value] : believed_) {
      const auto found = wanted.find(name);
      if (found == wanted.end() || found->second != value) in_transaction_.insert(name);
    }
    for (const auto& [name, value] : wanted) {
      if (!believed_.contains(name)) in_transaction_.insert(name);
    }
  }
  doubtful_.clear();
  left_.clear();
  if (!in_transaction) unsure_.clear();
  believed_ = wanted;
}

void LinkSettings::executed(const Statement& statement, bool in_transaction) {
  exactly_.reset();
  if (statement.name.empty()) return;
  if (statement.kind == StatementKind::set_transaction) {
    if (statement.name == "session characteristics") {
      for (const StatementRef& set : local_defaults(statement.begin)) {
        local_[set->name] = set->setting;
      }
      return;
    }
    if (!sql::is_mode_of_transaction(statement.name)) local_[statement.name] = statement.setting;
    return;
  }
  if (statement.name == "session characteristics") {
    doubtful_.insert(characteristics.begin(), characteristics.end());
    return;
  }
  if (statement.name == "all") {
    if (in_transaction) {
      for (const auto& [name, value] : believed_) in_transaction_.insert(name);
      in_transaction_.insert(doubtful_.begin(), doubtful_.end());
    }
    std::erase_if(believed_, [](const auto& entry) { return !survives_reset_all(entry.first); });
    std::erase_if(doubtful_, [](const auto& name) { return !survives_reset_all(name); });
    return;
  }
  doubtful_.erase(statement.name);
  unsure_.erase(statement.name);
  if (statement.setting.empty()) {
    believed_.erase(statement.name);
  } else {
    std::string& value = believed_[statement.name];
    const bool changes = statement.name == "datestyle";
    value = changes ? changed_date_style(value, statement.setting) : statement.setting;
  }
  if (in_transaction) in_transaction_.insert(statement.name);
}

void LinkSettings::committed(bool rooted) {
  in_transaction_.clear();
  if (doubtful_.empty()) unsure_.clear();
  if (rooted && !local_.empty()) {
    exactly_.reset();
    for (const auto& [name, value] : local_) {
      doubtful_.insert(name);
      left_.insert(name);
    }
  }
  local_.clear();
  literals_doubted_ = false;
}

void LinkSettings::rolled_back() {
  if (!in_transaction_.empty()) exactly_.reset();
  doubtful_.merge(in_transaction_);
  in_transaction_.clear();
  if (!local_.empty()) literals_doubted_ = true;  // some of it may be gone
}

bool LinkSettings::has_left_of(const Reported& reported) const {
  return !left_.empty() && std::ranges::any_of(reported, [this](const auto& setting) {
    return left_.contains(sql::lower_ascii(setting.first));
  });
}

std::optional<std::string> LinkSettings::literals_key() const {
  if (literals_doubted_) return std::nullopt;
  std::string key;
  for (const auto& [name, value] : local_) {
    if (name == "search_path" || sql::decides_literals(name)) {
      key.append("\n").append(name).append("=").append(value);
    }
  }
  return key;
}

void LinkSettings::all_reset() {
  exactly_.reset();
  believed_.clear();
  doubtful_.clear();
  unsure_.clear();
  in_transaction_.clear();
  local_.clear();
  left_.clear();
  literals_doubted_ = false;
}

SessionProfileRef ProfileTable::intern(Settings settings) {
  std::string key = fingerprint(settings);
  const auto found = known_.find(key);
  if (found != known_.end()) {
    if (SessionProfileRef known = found->second.lock()) return known;
  }
  if (known_.size() >= sweep_at_) {
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<std::size_t>(256, known_.size() * 2);
  }
  auto made = std::make_shared<const SessionProfile>(
      SessionProfile{.settings = std::move(settings), .fingerprint = key});
  known_[std::move(key)] = made;
  return made;
}

bool survives_reset_all(std::string_view name) {
  return name == "role" || name == "session_authorization";
}

std::string fingerprint(const Settings& settings) {
  std::string text;
  for (const auto& [name, value] : settings) {
    text += std::to_string(name.size()) + ":" + name + std::to_string(value.size()) + ":" + value;
  }
  return text;
}

}  // namespace based::postgres
