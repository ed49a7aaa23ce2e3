#include "backends/postgres/listen_journal.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace based::postgres {

void ListenJournal::done(const Statement& statement, std::string_view tag) {
  switch (statement.kind) {
    case StatementKind::listen:
      actions_.push_back({.listen = tag == "LISTEN", .channel = statement.name});
      return;
    case StatementKind::discard:
      if (statement.name == "all") actions_.push_back({});
      return;
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::prepare_transaction:
      if (tag == "ROLLBACK") return roll_back();
      return commit();
    case StatementKind::savepoint:
      savepoints_.push_back({statement.name, actions_.size()});
      return;
    case StatementKind::release:
      savepoints_.erase(find(statement.name), savepoints_.end());
      return;
    case StatementKind::rollback_to: {
      const auto found = find(statement.name);
      // One that was made before the journal heard of anything.
      if (found == savepoints_.end()) return roll_back();
      actions_.resize(found->actions);
      savepoints_.erase(std::next(found), savepoints_.end());
      return;
    }
    default:
      return;
  }
}

// The same twice in a transaction is once.
void ListenJournal::notify(std::string channel, std::string payload) {
  const bool there = std::ranges::any_of(actions_, [&](const Action& action) {
    return action.payload == payload && action.channel == channel;
  });
  if (there) return;
  actions_.push_back({.channel = std::move(channel), .payload = std::move(payload)});
}

void ListenJournal::ready(char status, bool failed) {
  if (status != 'I') return;
  if (failed) return roll_back();
  commit();
}

void ListenJournal::commit() {
  committed_.insert(committed_.end(), std::make_move_iterator(actions_.begin()),
                    std::make_move_iterator(actions_.end()));
  roll_back();
}

void ListenJournal::roll_back() {
  actions_.clear();
  savepoints_.clear();
}

std::vector<ListenJournal::Action> ListenJournal::take() { return std::exchange(committed_, {}); }

std::vector<ListenJournal::Savepoint>::iterator ListenJournal::find(std::string_view name) {
  for (auto savepoint = savepoints_.end(); savepoint != savepoints_.begin();) {
    --savepoint;
    if (savepoint->name == name) return savepoint;
  }
  return savepoints_.end();
}

}  // namespace based::postgres
