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
  return steps;
}

void SessionObjects::done(const Statement& statement) {
  const bool closes = sql::is_word(std::string_view(statement.text).substr(0, 5), "CLOSE");
  objects_.done(statement, closes ? "CLOSE CURSOR" : "", *shared_);
}

void SessionObjects::committed() {
  objects_.committed(*shared_);
  cleared_.clear();
}

ClientObjects::OfTransaction SessionObjects::leave_to_outer() {
  cleared_.clear();
  return objects_.leave();
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

StatementRef SessionObjects::drop_temporary() {
  objects_.dropped(objects_.owned_temporary());
  return drop_objects(objects_.owned_temporary());
}

void SessionObjects::leave() {
  if (shared_ == nullptr) return;
  rolled_back();
  for (const ClientObject& object : objects_.owned()) shared_->leave(object);
  if (objects_.holds_locks()) shared_->drop_lock_holder();
  objects_.forget();
}

}  // namespace based::postgres
