#include "backends/postgres/listen_journal.h"

#include <iterator>
#include <utility>

namespace based::postgres {

namespace {

std::size_t bytes_of(const ListenJournal::Action& action) {
  return action.channel.size() + (action.payload ? action.payload->size() : 0);
}

}  // namespace

bool ListenJournal::full() const {
  return bytes_ >= bytes_max || actions_.size() + committed_.size() >= actions_max;
}

Error ListenJournal::full_error() {
  Error error =
      Error::make(sqlstate::program_limit_exceeded, "too many notifications in the NOTIFY queue");
  error.detail = "Of one transaction Based keeps at most " + std::to_string(actions_max) +
                 " LISTENs and NOTIFYs, and " + std::to_string(bytes_max >> 20) + " MiB of them.";
  return error;
}

void ListenJournal::done(const Statement& statement, std::string_view tag) {
  switch (statement.kind) {
    case StatementKind::listen:
      add({.listen = tag == "LISTEN", .channel = statement.name});
      return;
    case StatementKind::discard:
      if (statement.name == "all") add({});
      return;
    case StatementKind::commit:
    case StatementKind::rollback:
    case StatementKind::prepare_transaction:
      if (tag == "ROLLBACK") return roll_back();
      return commit();
    case StatementKind::savepoint:
      savepoints_.add(statement.name, actions_.size());
      return;
    case StatementKind::release:
      savepoints_.release(statement.name);
      return;
    case StatementKind::rollback_to: {
      const std::size_t* found = savepoints_.find(statement.name);
      // One that was made before the journal heard of anything.
      if (found == nullptr) return roll_back();
      undo_to(*found);
      savepoints_.go_back_to(statement.name);
      return;
    }
    default:
      return;
  }
}

// The same twice in a transaction is once.
void ListenJournal::notify(std::string channel, std::string payload) {
  if (!notified_.emplace(channel, payload).second) return;
  add({.channel = std::move(channel), .payload = std::move(payload)});
}

void ListenJournal::add(Action action) {
  bytes_ += bytes_of(action);
  actions_.push_back(std::move(action));
}

void ListenJournal::undo_to(std::size_t actions) {
  while (actions_.size() > actions) {
    Action& last = actions_.back();
    bytes_ -= bytes_of(last);
    if (last.payload) notified_.erase({std::move(last.channel), *std::move(last.payload)});
    actions_.pop_back();
  }
}

void ListenJournal::ready(char status, bool failed) {
  if (status != 'I') return;
  if (failed) return roll_back();
  commit();
}

void ListenJournal::commit() {
  committed_.insert(committed_.end(), std::make_move_iterator(actions_.begin()),
                    std::make_move_iterator(actions_.end()));
  actions_.clear();
  notified_.clear();
  savepoints_.clear();
}

void ListenJournal::roll_back() {
  undo_to(0);
  savepoints_.clear();
}

std::vector<ListenJournal::Action> ListenJournal::take() {
  for (const Action& action : committed_) bytes_ -= bytes_of(action);
  return std::exchange(committed_, {});
}

}  // namespace based::postgres
