// The Relay in a sandbox: cursors, temporary tables and locks that PostgreSQL ends with the
// client's transaction or session are on a link that outlives both.
#include <algorithm>
#include <memory>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/sql/words.h"

namespace based::postgres {
namespace {

void add(std::vector<StatementRef>& steps, StatementRef step) {
  if (step) steps.push_back(std::move(step));
}

}  // namespace

void Relay::note_sent(const Script& script) {
  for (const StatementRef& statement : script.statements) objects_.sent(*statement);
}

void Relay::note_object(const Statement& statement, std::string_view tag) {
  if (rules_.rooted) objects_.done(statement, tag, context_.objects);
}

// What was a part of another's transaction leaves them to that. Outside of a sandbox they are the
// server's own.
void Relay::commit_objects() {
  if (!stack_.outer()) return objects_.committed(context_.objects);
  LeftToOuter left{.objects = objects_.leave(),
                   .queried = stack_.outer()->queried,
                   .constraints = stack_.has_constraints(),
                   .tainted = settings_tainted_};
  LeaseWaiter* outer = context_.leases.outer();
  if (outer != nullptr && !rules_.inside) outer->take_over(std::move(left));
}

OuterTransaction Relay::as_outer() const {
  OuterTransaction outer = stack_.as_outer();
  outer.full = keeps_no_more();
  return outer;
}

void Relay::take_over(LeftToOuter left) {
  objects_.take_over(std::move(left.objects));
  if (left.queried) {
    stack_.note_snapshot();
    reached_.note_snapshot();
  }
  if (left.constraints) {
    stack_.note_constraints();
    reached_.note_constraints();
  }
  settings_tainted_ = settings_tainted_ || left.tainted;
  for (const ListenJournal::Action& action : left.said) {
    if (action.payload) notify(action.channel, *action.payload);
  }
}

// Before the client's transaction ends well: what PostgreSQL would have done by itself.
std::vector<StatementRef> Relay::ending(bool commits) {
  if (!rules_.rooted || stack_.outer()) return {};
  std::vector<StatementRef> steps;
  add(steps, drop_objects(objects_.ending()));
  if (commits || unit_wrote_) add(steps, delete_rows_of(objects_.emptied(context_.objects)));
  std::ranges::move(settings_ending(), std::back_inserter(steps));
  return steps;
}

// What a statement of transaction control, DISCARD or CLOSE ALL does beside what it is.
std::vector<StatementRef> Relay::ended_by(const Statement& control) {
  std::vector<StatementRef> steps;
  if (!rules_.rooted) return steps;
  if (control.kind == StatementKind::commit) return ending(true);
  if (control.kind == StatementKind::discard) {
    if (control.name == "all") add(steps, drop_objects(objects_.owned_cursors()));
    add(steps, drop_objects(objects_.owned_temporary()));
    if (control.name != "all") objects_.dropped(objects_.owned_temporary());
  }
  if (control.kind == StatementKind::other) {  // CLOSE ALL
    if (stack_.in_transaction() || objects_.declares()) {
      steps.push_back(close_transaction_cursors());
    }
    add(steps, drop_objects(objects_.owned_cursors()));
  }
  const bool alone = objects_.holds_locks() && context_.objects.lock_holders == 1;
  if (alone && asks_unlock_all(control)) steps.push_back(unlock_session());
  return steps;
}

// In front of a unit's guard, so that no error of the unit brings it back.
std::vector<StatementRef> Relay::left_by_others() {
  std::vector<StatementRef> steps;
  add(steps, drop_objects(context_.objects.clear()));
  return steps;
}

// DISCARD ALL.
void Relay::forget_objects() {
  if (objects_.holds_locks()) context_.objects.drop_lock_holder();
  objects_.forget();
}

// The client has gone.
void Relay::leave_objects() {
  for (const Item& made : items_) {  // it may have been executed, and committed
    if (made.done || !made.running()) continue;
    for (const StatementRef& statement : made.running()->statements) note_object(*statement, {});
  }
  for (const ClientObject& object : objects_.owned()) context_.objects.leave(object);
  forget_objects();
}

}  // namespace based::postgres
