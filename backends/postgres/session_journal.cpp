#include "backends/postgres/session_journal.h"

#include <algorithm>
#include <utility>

#include "backends/postgres/date_style.h"

namespace based::postgres {

SessionJournal::SessionJournal(Settings start, ProfileTable& profiles)
    : profiles_(profiles),
      start_(profiles.intern(std::move(start))),
      profile_(start_),
      committed_(start_) {}

void SessionJournal::done(const Statement& statement, std::string_view tag) {
  switch (statement.kind) {
    case StatementKind::setting:
      return set(statement);
    case StatementKind::discard:
      if (statement.name != "all") return;
      become(start_);
      committed_ = profile_;  // the server commits it at once
      savepoints_.clear();
      return;
    case StatementKind::begin:  // what an implicit transaction has set before stays with it
      return;
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::prepare_transaction:
      return tag == "ROLLBACK" ? roll_back() : committed();
    case StatementKind::savepoint:
      savepoints_.push_back({statement.name, profile_});
      return;
    case StatementKind::release:
      savepoints_.erase(find(statement.name), savepoints_.end());
      return;
    case StatementKind::rollback_to: {
      const auto found = find(statement.name);
      if (found == savepoints_.end()) return;
      become(found->profile);
      savepoints_.erase(std::next(found), savepoints_.end());
      return;
    }
    default:
      return;
  }
}

void SessionJournal::set(const Statement& statement) {
  if (statement.name.empty()) return;
  Settings settings = profile_->settings;
  if (statement.name == "session characteristics") {
    const BeginOptions& modes = statement.begin;
    using Isolation = BeginOptions::Isolation;
    static constexpr const char* levels[] = {"", "'read uncommitted'", "'read committed'",
                                             "'repeatable read'", "'serializable'"};
    if (modes.isolation != Isolation::unset) {
      settings["default_transaction_isolation"] = levels[static_cast<int>(modes.isolation)];
    }
    if (modes.access != BeginOptions::Access::unset) {
      const bool only = modes.access == BeginOptions::Access::read_only;
      settings["default_transaction_read_only"] = only ? "on" : "off";
    }
    if (modes.deferrable != BeginOptions::Deferrable::unset) {
      const bool on = modes.deferrable == BeginOptions::Deferrable::deferrable;
      settings["default_transaction_deferrable"] = on ? "on" : "off";
    }
  } else if (statement.name == "all") {
    settings = start_->settings;
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

void SessionJournal::ready(char status, bool failed) {
  if (status != 'I') return;
  failed ? roll_back() : committed();
}

void SessionJournal::committed() {
  committed_ = profile_;
  savepoints_.clear();
}

void SessionJournal::roll_back() {
  savepoints_.clear();
  become(committed_);
}

std::vector<SessionJournal::Savepoint>::iterator SessionJournal::find(std::string_view name) {
  for (auto savepoint = savepoints_.end(); savepoint != savepoints_.begin();) {
    --savepoint;
    if (savepoint->name == name) return savepoint;
  }
  return savepoints_.end();
}

}  // namespace based::postgres
