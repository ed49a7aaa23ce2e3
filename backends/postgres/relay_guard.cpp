// The Relay's guards: what is around a unit that a client runs outside of a transaction, and where
// one begins and ends, in a sandbox.
//
// A turn begins with a savepoint, which travels in front of what is sent first. A unit goes back to
// that after an error, and so does a transaction that begins there. Behind a COMMIT the turn begins
// again (LeaseSource::renew_turn); what else is in the same turn has a savepoint of its own.
#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "backends/postgres/check_savepoint.h"
#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/sandbox_settings.h"
#include "backends/postgres/wire_stack_text.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

// The setting as it is without a SET LOCAL.
StatementRef setting_again(const std::string& name, const Settings& settings) {
  const auto found = settings.find(name);
  LinkSettings bare;
  Settings wanted;
  if (found == settings.end()) {
    bare.became({{name, "DEFAULT"}}, false);
  } else {
    wanted.insert(*found);
  }
  auto made = std::make_shared<Statement>();
  made->kind = StatementKind::setting;
  made->text = bare.difference(wanted, {}).back();
  made->name = name;
  if (found != settings.end()) made->setting = found->second;
  return made;
}

// What was sent of the same unit and sets it for good, if it is done; null: nothing.
StatementRef setting_ahead(const std::string& name, const std::vector<Item>& items) {
  for (std::size_t i = items.size(); i-- > 0;) {
    const ScriptRef& script = items[i].running();
    if (!script || items[i].done) continue;
    for (std::size_t at = script->statements.size(); at-- > 0;) {
      const StatementRef& statement = script->statements[at];
      if (statement->kind == StatementKind::setting && statement->name == name) return statement;
    }
  }
  return nullptr;
}

}  // namespace

// In a Sync group of its own, in front of the unit's: where a cancel struck it, there would be
// nothing to go back to. `undoes`: what a transaction before it in the same unit has set for
// itself.
void Relay::guard_unit(bool undoes) {
  if (link_->queue().is_open() || !stack_.needs_guard()) return;
  if (context_.leases.renew_turn()) at_turn_begin_ = context_.begins_turn();
  std::vector<std::string> texts;
  if (undoes) texts = undo_local_settings();
  std::vector<StatementRef> steps = left_by_others();
  for (const StatementRef& step : steps) link_->note_sent(step->text);
  const bool on_turn = at_turn_begin_ && steps.empty() && texts.empty();
  WireStack::Plan plan = stack_.guard(on_turn, default_modes());
  at_turn_begin_ = false;
  plan.steps.insert(plan.steps.begin(), steps.begin(), steps.end());
  for (const StatementRef& step : plan.steps) texts.push_back(step->text);
  Item made{.kind = ItemKind::control};
  made.control = std::make_unique<Control>(Control{.plan = std::move(plan), .after = stack_});
  note_control(made);
  if (texts.empty()) return;
  link_->send_owed();
  link_->owe({.texts = std::move(texts), .as_query = true});
  link_->send_owed();
}

// What comes behind a transaction's end in the same batch has a guard of its own; so that this can
// have a Sync group of its own, what is before it has to be known to be done.
bool Relay::awaits_guard(const WireMessage& message) {
  if (breaking_) return true;
  const bool due = stack_.needs_guard() || stack_.has_behind();
  if (!due || !extended_ || !message.first || failed_ || !link_->queue().is_open()) return false;
  const bool ends = message.type == request::sync || message.type == request::copy_data ||
                    message.type == request::copy_done || message.type == request::copy_fail;
  if (ends) return false;
  if (awaits_replies()) return true;
  if (failed_) return false;
  breaking_ = true;
  repeatable_ = false;
  unit_.clear();
  end_request();
  return true;
}

// What must not be struck: nobody cancels it. True: it was sent. `undoes`: what the transaction has
// set for itself, also where nothing else is due.
bool Relay::run_behind(bool undoes) {
  if (unit_failed_ || (!stack_.has_behind() && !undoes)) return false;
  std::vector<StatementRef> steps;
  for (std::string& text : undo_local_settings()) {
    steps.push_back(step(StatementKind::other, std::move(text)));
  }
  std::ranges::move(stack_.take_behind(), std::back_inserter(steps));
  if (undoes && steps.empty()) return false;
  if (!undoes) context_.leases.renew_turn();
  begin_request();
  recovering_ = true;
  inject_steps({.steps = std::move(steps)});
  end_request();
  return true;
}

// A BEGIN by itself that means nothing to the server: its turn has begun with a savepoint.
bool Relay::begins_at_once(const QueryPart& part) {
  const bool alone = part.control && part.control->kind == StatementKind::begin && !part.executed &&
                     !part.in_script && parts_.empty();
  if (!alone || !at_turn_begin_ || !stack_.needs_guard() || link_->queue().is_open()) return false;
  if (!context_.objects.left.empty()) return false;
  WireStack begun = stack_;
  WireStack::Plan guard = begun.guard(true, default_modes());
  WireStack::Plan plan = begun.plan(part.control);
  if (!guard.steps.empty() || !plan.steps.empty() || plan.error || !plan.warnings.empty())
    return false;
  at_turn_begin_ = false;
  stack_ = std::move(begun);
  plan.made = std::move(guard.made);
  Item made{.kind = ItemKind::control};
  made.details().text = part.control->text;
  made.control = std::make_unique<Control>(Control{.plan = std::move(plan), .after = stack_});
  note_control(made);
  querying_ = false;
  on_stack_ready();
  return true;
}

// At the end of a unit.
void Relay::let_guard_go() {
  if (!stacked()) return;
  const StatementRef end = stack_.executed_end();
  const bool is_guards = end && end->kind == StatementKind::commit && !stack_.in_transaction();
  if (end && !is_guards) take_control(end, Showing::told, true);
  const bool guarded = stack_.holds_guard();
  std::vector<StatementRef> last = ending();
  std::vector<StatementRef> steps =
      stack_.let_guard_go(std::exchange(unit_wrote_, false), std::move(last));
  if (!guarded) return;
  const bool releases = !steps.empty() && steps.back()->kind == StatementKind::release;
  for (const std::string& name : stack_.take_local_names()) {
    // Not behind the release: there would be no guard to go back to.
    const StatementRef ahead = setting_ahead(name, items_);
    steps.insert(releases ? std::prev(steps.end()) : steps.end(),
                 ahead ? ahead : setting_again(name, journal_.settings()));
  }
  close_portals();
  WireStack::Plan plan{.steps = std::move(steps)};
  plan.ask_first();
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

// It is dear to plan, so it has a name. Where that is gone, the savepoint keeps the client's work.
void Relay::inject_question(const StatementRef& question, std::uint32_t number) {
  static const PreparedRef text = std::make_shared<const PreparedText>(
      PreparedText{.text = question->text, .types = {}, .script = nullptr});
  inject(enter_check(), add_item({.kind = ItemKind::placed, .done = true}));
  const std::string_view name = name_on_link(text, "");
  FrontendWriter writer(link_->out());
  writer.begin_bind("", name, {});
  writer.end_bind();
  writer.execute("", 0);
  expect(Expect::bind, Fate::swallow, number);
  expect(Expect::execute, Fate::forward, number);
  inject(leave_check(), number);
}

// What the client does not hear of.
bool Relay::note_own(const Reply& reply, Item& made) {
  if (made.kind == ItemKind::placed) {
    link_->statements().parsed(made.on_server());
  } else if (made.kind == ItemKind::control) {  // its question
    if (reply.type == reply::data_row) made.control->due = true;
  } else {
    return false;
  }
  return true;
}

}  // namespace based::postgres
