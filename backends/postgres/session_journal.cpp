#include "backends/postgres/session_journal.h"

#include <memory>
#include <utility>

#include "backends/postgres/date_style.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/session_limits.h"

namespace based::postgres {

namespace {

Settings take_withheld(Settings& settings, bool withholds) {
  Settings taken;
  for (auto entry = settings.begin(); withholds && entry != settings.end();) {
    const auto next = std::next(entry);
    if (is_withheld(entry->first)) taken.insert(settings.extract(entry));
    entry = next;
  }
  return taken;
}

}  // namespace

SessionJournal::SessionJournal(Settings start, ProfileTable& profiles, bool withholds)
    : profiles_(profiles),
      withholds_(withholds),
      start_withheld_(take_withheld(start, withholds)),
      withheld_(start_withheld_),
      committed_withheld_(start_withheld_) {
  start_ = profile_ = committed_ = profiles.intern(std::move(start));
}

bool SessionJournal::withholds(std::string_view name) const {
  return withholds_ && is_withheld(name);
}

std::string_view SessionJournal::withheld(std::string_view name) const {
  const auto local = local_.find(name);
  if (local != local_.end()) return local->second;
  const auto found = withheld_.find(name);
  return found == withheld_.end() ? std::string_view() : found->second;
}

std::optional<Error> SessionJournal::refuse_withheld() const {
  for (const auto& [name, value] : start_withheld_) {
    if (const Result<std::string> taken = shown_withheld(name, value); !taken) return taken.error();
  }
  return std::nullopt;
}

void SessionJournal::reset() {
  become(start_);
  withheld_ = start_withheld_;
  local_.clear();
}

void SessionJournal::done(const Statement& statement, std::string_view tag) {
  switch (statement.kind) {
    case StatementKind::setting:
      return set(statement);
    case StatementKind::set_transaction:
      if (withholds(statement.name)) set_local(statement);
      return;
    case StatementKind::discard:
      if (statement.name != "all") return;
      reset();
      committed_ = profile_;  // the server commits it at once
      committed_withheld_ = withheld_;
      savepoints_.clear();
      return;
    case StatementKind::begin:  // what an implicit transaction has set before stays with it
      return;
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::prepare_transaction:
      return tag == "ROLLBACK" ? roll_back() : committed();
    case StatementKind::savepoint:
      return add_savepoint(statement.name);
    case StatementKind::release:
      savepoints_.release(statement.name);
      return;
    case StatementKind::rollback_to: {
      const AtSavepoint* found = savepoints_.find(statement.name);
      if (found == nullptr) return;
      become(found->profile);
      withheld_ = found->withheld;
      local_ = found->local;
      savepoints_.go_back_to(statement.name);
      return;
    }
    default:
      return;
  }
}

void SessionJournal::add_savepoint(const std::string& name) {
  std::size_t bytes = bytes_of(withheld_) + bytes_of(local_);
  if (savepoints_.empty() || savepoints_.newest().profile != profile_) {
    bytes += 2 * bytes_of(profile_->settings);  // and the fingerprint
  }
  if (!savepoints_.empty()) bytes += savepoints_.newest().bytes;
  savepoints_.add(name, {profile_, withheld_, local_, bytes});
}

std::optional<Error> SessionJournal::refuse_more(std::span<const StatementRef> statements) const {
  std::size_t savepoints = savepoints_.size(), released = 0;
  for (const StatementRef& statement : statements) {
    if (statement->kind == StatementKind::savepoint) ++savepoints;
    if (statement->kind == StatementKind::release) ++released;
  }
  const bool more = savepoints > savepoints_.size() + released;
  const std::size_t bytes = savepoints_.empty() ? 0 : savepoints_.newest().bytes;
  if (more && (savepoints - released > savepoints_max || bytes >= savepoint_bytes_max)) {
    return too_many_savepoints();
  }
  return refuse_settings(profile_->settings, statements);
}

std::optional<Error> SessionJournal::refuse_more(const std::vector<CallMade>& calls) const {
  std::vector<StatementRef> made;
  for (const CallMade& call : calls) {
    std::optional<Statement> setting = setting_made(call);
    if (setting) made.push_back(std::make_shared<const Statement>(*std::move(setting)));
  }
  return made.empty() ? std::nullopt : refuse_more(made);
}

void SessionJournal::set_local(const Statement& statement) {
  const auto initial = start_withheld_.find(statement.name);
  std::string value = statement.setting;
  if (is_default(value)) value = initial == start_withheld_.end() ? "" : initial->second;
  local_[statement.name] = std::move(value);
}

void SessionJournal::set(const Statement& statement) {
  if (statement.name.empty()) return;
  Settings settings = profile_->settings;
  if (statement.name == "session characteristics") {
    set_characteristics(statement.begin, settings);
  } else if (withholds(statement.name)) {
    local_.erase(statement.name);
    if (is_default(statement.setting)) {
      withheld_.erase(statement.name);
      const auto initial = start_withheld_.find(statement.name);
      if (initial != start_withheld_.end()) withheld_.insert(*initial);
    } else {
      withheld_[statement.name] = statement.setting;
    }
    return;
  } else if (statement.name == "all") {
    settings = start_->settings;
    withheld_ = start_withheld_;
    local_.clear();
    std::erase_if(settings, [](const auto& entry) { return survives_reset_all(entry.first); });
    for (const auto& entry : profile_->settings) {
      if (survives_reset_all(entry.first)) settings.insert(entry);
    }
  } else if (!statement.setting.empty()) {
    // A change of the user takes the role with it.
    if (statement.name == "session_authorization") settings.erase("role");
    std::string& value = settings[statement.name];
    const bool changes = statement.name == "datestyle";
    value = changes ? changed_date_style(value, statement.setting) : statement.setting;
  } else {
    settings.erase(statement.name);
    if (statement.name == "session_authorization") settings.erase("role");
    const auto initial = start_->settings.find(statement.name);
    if (initial != start_->settings.end()) settings.insert(*initial);
  }
  become(profiles_.intern(std::move(settings)));
}

void SessionJournal::set_characteristics(const BeginOptions& modes, Settings& settings) {
  using Isolation = BeginOptions::Isolation;
  static constexpr const char* levels[] = {"", "'read uncommitted'", "'read committed'",
                                           "'repeatable read'", "'serializable'"};
  if (modes.isolation != Isolation::unset) {
    settings["default_transaction_isolation"] = levels[static_cast<int>(modes.isolation)];
  }
  if (modes.access != BeginOptions::Access::unset) {
    const bool only = modes.access == BeginOptions::Access::read_only;
    local_.erase("default_transaction_read_only");
    Settings& there = withholds_ ? withheld_ : settings;
    there["default_transaction_read_only"] = only ? "on" : "off";
  }
  if (modes.deferrable != BeginOptions::Deferrable::unset) {
    const bool on = modes.deferrable == BeginOptions::Deferrable::deferrable;
    settings["default_transaction_deferrable"] = on ? "on" : "off";
  }
}

void SessionJournal::ready(char status, bool failed) {
  if (status != 'I') return;
  failed ? roll_back() : committed();
}

void SessionJournal::committed() {
  committed_ = profile_;
  committed_withheld_ = withheld_;
  local_.clear();
  savepoints_.clear();
}

void SessionJournal::roll_back() {
  savepoints_.clear();
  become(committed_);
  withheld_ = committed_withheld_;
  local_.clear();
}

}  // namespace based::postgres
