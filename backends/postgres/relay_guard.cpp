// The Relay's guards: what is around a unit that a client runs outside of a transaction, and where
// one begins and ends, in a sandbox.
//
// A turn begins with a savepoint, which travels in front of what is sent first. A unit goes back to
// that after an error, and so does a transaction that begins there; another one in the same turn
// has a savepoint of its own.
#include <memory>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/sandbox_settings.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

// The setting as it is without a SET LOCAL.
StatementRef setting_again(const std::string& name, const Settings& settings) {
  const auto found = settings.find(name);
  LinkSettings bare;
  Settings wanted;
  if (found == settings.end()) {
    bare.became({{name, ""}}, false);
  } else {
    wanted.insert(*found);
  }
  auto made = std::make_shared<Statement>();
  made->kind = StatementKind::setting;
  made->text = bare.difference(wanted).back();
  made->name = name;
  if (found != settings.end()) made->setting = found->second;
  return made;
}

}  // namespace

void Relay::guard_unit() {
  if (!stack_.needs_guard()) return;
  stack_.set_read_only(is_on(journal_.withheld("default_transaction_read_only")));
  std::vector<StatementRef> steps = left_by_others();
  WireStack::Plan plan = stack_.guard(std::exchange(at_turn_begin_, false) && steps.empty());
  plan.steps.insert(plan.steps.begin(), steps.begin(), steps.end());
  inject_steps(std::move(plan));
}

// What is seldom due is asked for, and has a round trip of its own. REQUIRES that nothing of the
// client's comes behind the plan in its request.
void Relay::ask_first(WireStack::Plan& plan) {
  if (plan.steps.empty()) return;
  const StatementRef question = question_of(plan.steps.back());
  if (question) plan.restoring = std::exchange(plan.steps.back(), question);
}

// A BEGIN by itself that means nothing to the server: its turn has begun with a savepoint.
bool Relay::begins_at_once(const QueryPart& part) {
  const bool alone = part.control && part.control->kind == StatementKind::begin && !part.executed &&
                     !part.in_script && parts_.empty();
  if (!alone || !at_turn_begin_ || !stack_.needs_guard() || link_->queue().is_open()) return false;
  if (!context_.left_objects.empty() || context_.left_locks) return false;
  WireStack begun = stack_;
  begun.set_read_only(is_on(journal_.withheld("default_transaction_read_only")));
  WireStack::Plan guard = begun.guard(true);
  WireStack::Plan plan = begun.plan(part.control);
  if (!guard.steps.empty() || !plan.steps.empty() || plan.error || plan.warning) return false;
  at_turn_begin_ = false;
  stack_ = std::move(begun);
  plan.made = std::move(guard.made);
  Item made{.kind = ItemKind::control, .text = part.control->text};
  made.control = std::make_unique<Control>(Control{.plan = std::move(plan), .after = stack_});
  note_control(made);
  querying_ = false;
  on_stack_ready();
  return true;
}

// At the end of a unit.
void Relay::let_guard_go() {
  if (!stacked()) return;
  const bool guarded = stack_.holds_guard();
  std::vector<StatementRef> last = ending();
  std::vector<StatementRef> steps =
      stack_.let_guard_go(std::exchange(unit_wrote_, false), std::move(last));
  if (!guarded) return;
  for (const std::string& name : stack_.take_local_names()) {
    steps.push_back(setting_again(name, journal_.settings()));
  }
  close_portals();
  WireStack::Plan plan{.steps = std::move(steps)};
  ask_first(plan);
  inject_steps(std::move(plan));
}

// Nothing has to be done at the end of the unit: it is over when what was sent is answered.
bool Relay::guard_goes_freely() {
  return stack_.goes_freely(unit_wrote_) && open_portals_.empty() && ending().empty();
}

// A transaction's end takes its portals with it, where it is the server's own.
void Relay::close_portals() {
  for (const std::string& name : std::exchange(open_portals_, {})) {
    FrontendWriter(link_->out()).close_portal(name);
    expect_swallowed(Expect::close);
  }
}

// What the client does not hear of.
bool Relay::note_own(const Reply& reply, Item& made) {
  if (made.kind == ItemKind::placed) {
    link_->statements().parsed(made.on_server);
  } else if (made.kind == ItemKind::control) {  // its question
    if (reply.type == reply::data_row) made.control->due = true;
  } else {
    return false;
  }
  return true;
}

}  // namespace based::postgres
