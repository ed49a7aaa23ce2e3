#include "backends/postgres/session_objects.h"

#include <iterator>
#include <set>
#include <string>
#include <utility>

#include "backends/sql/words.h"

namespace based::postgres {

std::vector<StatementRef> SessionObjects::left_by_others() {
  rolled_back();  // of a transaction that was lost
  cleared_ = std::exchange(shared_->left, {});
  std::vector<StatementRef> steps;
  if (StatementRef drop = drop_objects(cleared_)) steps.push_back(std::move(drop));
  if (std::exchange(shared_->left_locks, false)) steps.push_back(unlock_session());
  return steps;
}

void SessionObjects::done(const Statement& statement) {
  const bool held = objects_.holds_locks();
  const bool closes = sql::is_word(std::string_view(statement.text).substr(0, 5), "CLOSE");
  objects_.done(statement, closes ? "CLOSE CURSOR" : "");
  if (objects_.holds_locks() && !held) ++shared_->lock_holders;
  for (const std::string& table : objects_.emptied()) shared_->empty_at_commit(table);
}

void SessionObjects::committed() {
  objects_.committed();
  cleared_.clear();
}

// What was cleared is there again; a lock that was given back is not.
void SessionObjects::rolled_back() {
  objects_.rolled_back();
  for (ClientObject& object : std::exchange(cleared_, {})) shared_->leave(std::move(object));
}

std::vector<StatementRef> SessionObjects::ending() const {
  std::vector<StatementRef> steps;
  if (StatementRef drop = drop_objects(objects_.ending())) steps.push_back(std::move(drop));
  std::set<std::string, std::less<>> emptied = shared_->emptied_tables;
  emptied.insert(objects_.emptied().begin(), objects_.emptied().end());
  if (StatementRef empty = delete_rows_of(emptied)) steps.push_back(std::move(empty));
  return steps;
}

void SessionObjects::leave() {
  if (shared_ == nullptr) return;
  rolled_back();
  for (const ClientObject& object : objects_.owned()) shared_->leave(object);
  if (objects_.holds_locks()) {
    if (shared_->lock_holders == 1) shared_->left_locks = true;
    --shared_->lock_holders;
  }
  objects_.forget();
}

}  // namespace based::postgres
