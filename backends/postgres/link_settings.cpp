#include "backends/postgres/link_settings.h"

#include <utility>

namespace based::postgres {
namespace {

// A name that is not plain is quoted, part by part: SET "my"."Var".
std::string setting_name(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
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

}  // namespace

std::vector<std::string> LinkSettings::difference(const Settings& wanted) const {
  std::vector<std::string> texts;
  for (const std::string& name : doubtful_) {
    if (!wanted.contains(name)) texts.push_back(reset_text(name));
  }
  for (const auto& [name, value] : believed_) {
    if (!wanted.contains(name) && !doubtful_.contains(name)) texts.push_back(reset_text(name));
  }
  for (const auto& [name, value] : wanted) {
    const auto found = believed_.find(name);
    const bool same = found != believed_.end() && found->second == value;
    if (!same || doubtful_.contains(name)) texts.push_back(set_text(name, value));
  }
  return texts;
}

void LinkSettings::became(const Settings& wanted, bool in_transaction) {
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
  believed_ = wanted;
}

void LinkSettings::executed(const Statement& statement, bool in_transaction) {
  if (statement.name.empty()) return;
  if (statement.kind == StatementKind::set_transaction) {
    local_.insert(statement.name);
    return;
  }
  if (statement.name == "session characteristics") {
    for (const char* name : {"default_transaction_isolation", "default_transaction_read_only",
                             "default_transaction_deferrable"}) {
      doubtful_.emplace(name);
    }
    return;
  }
  if (statement.name == "all") {
    if (in_transaction) {
      for (const auto& [name, value] : believed_) in_transaction_.insert(name);
    }
    believed_.clear();
    doubtful_.clear();
    return;
  }
  doubtful_.erase(statement.name);
  if (statement.setting.empty()) {
    believed_.erase(statement.name);
  } else {
    believed_[statement.name] = statement.setting;
  }
  if (in_transaction) in_transaction_.insert(statement.name);
}

void LinkSettings::committed(bool rooted) {
  in_transaction_.clear();
  if (rooted) doubtful_.merge(local_);
  local_.clear();
}

void LinkSettings::rolled_back() {
  doubtful_.merge(in_transaction_);
  in_transaction_.clear();
}

void LinkSettings::all_reset() {
  believed_.clear();
  doubtful_.clear();
  in_transaction_.clear();
  local_.clear();
}

std::string fingerprint(const Settings& settings) {
  std::string text;
  for (const auto& [name, value] : settings) {
    text += std::to_string(name.size()) + ":" + name + std::to_string(value.size()) + ":" + value;
  }
  return text;
}

}  // namespace based::postgres
