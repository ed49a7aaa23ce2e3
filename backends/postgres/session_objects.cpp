#include "backends/postgres/session_objects.h"

#include <iterator>
#include <set>
#include <string>
#include <utility>

#include "backends/sql/words.h"

namespace based::postgres {

std::vector<StatementRef> SessionObjects::left_by_others() {
  rolled_back();  // of a transaction that was lost
  std::vector<StatementRef> steps;
  if (StatementRef drop = drop_objects(shared_->clear())) steps.push_back(std::move(drop));
  return steps;
}

void SessionObjects::done(const Statement& statement) {
  const bool closes = sql::is_word(std::string_view(statement.text).substr(0, 5), "CLOSE");
  objects_.done(statement, closes ? "CLOSE CURSOR" : "", *shared_);
}

void SessionObjects::committed() {
  objects_.committed(*shared_);
  shared_->clearing_stays();
}

ClientObjects::OfTransaction SessionObjects::leave_to_outer() { return objects_.leave(); }

// What was cleared is there again; a lock that was given back is not.
void SessionObjects::rolled_back() {
  objects_.rolled_back();
  if (shared_ != nullptr) shared_->clearing_undone();
}

std::vector<StatementRef> SessionObjects::ending() const {
  std::vector<StatementRef> steps;
  if (StatementRef drop = drop_objects(objects_.ending())) steps.push_back(std::move(drop));
  if (StatementRef empty = delete_rows_of(objects_.emptied(*shared_)))
    steps.push_back(std::move(empty));
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
