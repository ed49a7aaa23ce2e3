// The Relay where a client's transactions are not the server's own: nested ones, and sandboxes.
//
// One unit is in flight. Its transaction control is answered here: Based's own statements run
// instead, and what the client is told of them is put in its place between the server's replies. A
// simple Query with transaction control in it is sent in parts, one after the other.
#include <algorithm>
#include <array>
#include <utility>

#include "backends/postgres/check_savepoint.h"
#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_replies.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/control.h"
#include "protocol/check.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

bool sets_constraints(const Statement& statement) {
  return statement.kind == StatementKind::set_transaction &&
         word_at(statement.text, 1) == "constraints";
}

// A recovery that is struck, by a limit that a function of the client's has set, is run again.
constexpr unsigned recoveries_max = 8;

}  // namespace

// Without a name: a function of the client's may have dropped every prepared statement, and a step
// that fails takes the client's work with it.
void Relay::inject(const StatementRef& step, std::uint32_t number) {
  FrontendWriter writer(link_->out());
  if (step->kind == StatementKind::definition) link_->note_sent(step->text);
  writer.parse("", step->text, {});
  expect(Expect::parse, Fate::swallow, number);
  link_->own_statements().unnamed.reset();
  link_->own_statements().doubted.reset();
  // In a sandbox the client's portal without a name gives way (close_own_portal).
  const std::string_view portal = rules_.rooted ? "" : "_based";
  writer.begin_bind(portal, "", {});
  writer.end_bind();
  writer.execute(portal, 0);
  own_portal_ = own_portal_ || rules_.rooted;
  expect(Expect::bind, Fate::swallow, number);
  expect(Expect::execute, Fate::swallow, number);
  if (rules_.rooted) return;
  writer.close_portal(portal);
  expect_swallowed(Expect::close);
}

// The number of its item.
std::uint32_t Relay::inject_steps(WireStack::Plan plan) {
  Item made{.kind = ItemKind::control};
  made.control = std::make_unique<Control>(Control{.plan = std::move(plan), .after = stack_});
  const std::vector<StatementRef> steps = made.control->plan.steps;
  const bool asks = made.control->plan.restoring != nullptr;
  const std::uint32_t number = add_item(std::move(made));
  for (const StatementRef& step : steps) {
    const bool question = asks && step == steps.back();
    question ? inject_question(step, number) : inject(step, number);
  }
  expect(Expect::execute, Fate::synthesise, number);
  return number;
}

// In its turn the client is told this, of which the server was not asked.
void Relay::reply_here(std::string bytes) {
  expect(Expect::execute, Fate::synthesise,
         add_item(item_of_bytes(ItemKind::reply, std::move(bytes))));
}

bool Relay::refuse_in_failed_transaction() {
  if (stack_.status() != 'E') return false;
  refuse_here(
      Error::make(sqlstate::in_failed_sql_transaction,
                  "current transaction is aborted, commands ignored until end of transaction "
                  "block"));
  return true;
}

void Relay::take_control(const StatementRef& statement, Showing showing, bool in_script) {
  if (statement->kind == StatementKind::sandbox) return take_sandbox(statement);
  if (statement->kind == StatementKind::commit) close_portals();
  local_set_ = local_set_ || statement->kind == StatementKind::set_transaction;
  unit_wrote_ = unit_wrote_ || sets_constraints(*statement);  // which the guard's end brings back
  WireStack::Plan plan = stack_.plan(statement, in_script, ended_by(*statement));
  if (showing == Showing::told) plan.warnings.clear();
  for (const Error& warning : plan.warnings) {
    std::string bytes;
    BackendWriter(bytes).notice("WARNING", warning);
    reply_here(std::move(bytes));
  }
  const bool ran = plan.error && plan.shows && showing == Showing::with_columns;
  if (ran) reply_here(columns_of(*statement));
  const bool ends_failed = plan.error && plan.ends_transaction;
  if (const auto unknown = refuse_unknown(*statement)) plan.error = unknown;
  if (const auto full = journal_.refuse_more(std::span(&statement, 1))) plan.error = full;
  if (plan.error) {
    refuse_here(*plan.error, true, statement->text);
    items_.back().ends = ends_failed;
    return;
  }
  if (plan.committed) close_portals();
  const bool ends = plan.ends_transaction || plan.committed;
  if (ends && (!rules_.nested || !stack_.in_transaction())) {
    portals_.clear();
    portal_calls_.clear();
    open_portals_.clear();
  }
  if (plan.ends_transaction && !stack_.in_transaction()) {
    local_over_ = std::exchange(local_set_, false) && extended_;
  }
  if (plan.setting && plan.setting->name == "statement_timeout") {
    limit_set_ = true;  // what is before it is to be heard of before what it limits runs
    if (extended_) FrontendWriter(link_->out()).flush();
  }
  if (statement->kind == StatementKind::commit) plan.ask_first();
  const std::uint32_t number = inject_steps(std::move(plan));
  Control& control = *item(number).control;
  control.discards = statement->kind == StatementKind::discard && statement->name == "all";
  control.showing = showing;
  if (context_.sandbox != nullptr) item(number).details().text = statement->text;
}

// The server takes an EXECUTE for no transaction control: what that runs of it takes effect when
// the batch, or the text, is done, and what fails behind it takes all of it. `last`: nothing is
// behind.
void Relay::take_executed(const StatementRef& statement, Showing showing, bool last) {
  if (!rules_.rooted || last || stack_.in_nested() || !stack_.note_executed(statement)) {
    return take_control(statement, showing, true);
  }
  WireStack after = stack_;
  WireStack::Plan plan = after.plan(statement, true);
  std::string bytes;
  for (const Error& warning : plan.warnings) BackendWriter(bytes).notice("WARNING", warning);
  if (!bytes.empty()) reply_here(std::move(bytes));
  const std::uint32_t number = inject_steps({.tag = std::move(plan.tag)});
  item(number).control->showing = Showing::later;
}

bool Relay::refuse_what_cannot(const ScriptRef& script, std::string_view text, bool in_script) {
  if (refuse_listen(nullptr, text)) return true;
  if (!script) stack_.note_text(text);
  if (!script) return false;
  // What an EXECUTE executes is taken for a part of it.
  in_script = in_script || word_at(text, 0) == "execute";
  for (const StatementRef& statement : script->statements) {
    context_.leases.note_statement(*link_, statement);
    if (const std::optional<Error> refusal = stack_.check(*statement, in_script)) {
      if (querying_) expect_check(text);  // what the server says of it otherwise comes first
      refuse_here(*refusal, false, statement->text);
      return true;
    }
    stack_.note(*statement);
  }
  return false;
}

// The steps are done.
void Relay::note_control(Item& made) {
  if (unit_failed_) return;  // the unit's end, which was sent behind what has failed
  Control& control = *made.control;
  if (control.due) {
    restoring_ = std::make_unique<Restoring>(Restoring{.plan = std::move(control.plan),
                                                       .text = std::string(made.text()),
                                                       .showing = control.showing});
    restoring_->plan.steps.clear();
    if (control.lost) {
      restoring_->plan.steps = {back_to_check(), leave_check()};
    }
    restoring_->plan.steps.push_back(std::exchange(restoring_->plan.restoring, nullptr));
    return;
  }
  reached_ = control.after;
  if (control.showing == Showing::later) return tell_control(made);
  for (const StatementRef& savepoint : control.plan.made) {
    context_.leases.note_savepoint(*savepoint);
    if (rules_.rooted) objects_.note_savepoint(*savepoint);
    journal_.done(*savepoint, "SAVEPOINT");
    if (listening_) listening_->journal.done(*savepoint, "SAVEPOINT");
  }
  for (const StatementRef& step : control.plan.steps) {
    context_.leases.note_savepoint(*step);
    if (rules_.rooted) objects_.note_savepoint(*step);
    if (step->kind == StatementKind::rollback_to || control.plan.tag == "ROLLBACK") {
      link_->settings().rolled_back();
    }
    const bool resets = step->kind == StatementKind::other && step->name == "all";
    if (step->kind == StatementKind::set_transaction || step->kind == StatementKind::setting ||
        resets) {
      link_->settings().executed(*step, true);
    }
    journal_.done(*step, control.plan.tag);
    if (listening_) listening_->journal.done(*step, control.plan.tag);
  }
  if (control.plan.setting) {
    journal_.done(*control.plan.setting, control.plan.tag);
    note_statement_end();  // it may limit what comes behind it
  }
  // What fails behind it in the same text does not take it back.
  const bool says_commit = control.plan.tag == "COMMIT" || control.plan.committed;
  const bool commits = says_commit && !control.after.in_transaction();
  const bool goes_on = control.after.has_behind() && !control.after.in_nested();
  if (rules_.rooted && (commits || goes_on)) context_.leases.note_committed();
  if (control.plan.tag == "ROLLBACK" && control.plan.ends_transaction) objects_.rolled_back();
  if (says_commit && (commits || goes_on)) {
    commit_objects();
    if (rules_.rooted) {
      journal_.committed();
      link_->settings().committed(true);
    }
  }
  if (commits && rules_.rooted && listening_) listening_->journal.ready('I', false);
  if (control.plan.tag == "CLOSE CURSOR ALL") objects_.closed_cursors();
  if (control.discards) {
    prepared_.clear();
    unnamed_.reset();
    journal_.reset();
    journal_.committed();
    forget_objects();
    if (context_.channels != nullptr) context_.channels->unsubscribe_all(*this);
  }
  if (!control.plan.tag.empty()) tell_control(made);
}

void Relay::tell_control(const Item& made) {
  const Control& control = *made.control;
  if (control.showing == Showing::told) return log_done(made.text(), control.plan.tag);
  std::string bytes;
  BackendWriter writer(bytes);
  if (control.plan.shows) {
    const Field column = column_of(*control.plan.shows);
    if (control.showing == Showing::with_columns) writer.row_description({&column, 1});
    writer.begin_row(1);
    writer.begin_cell();
    bytes += shown(control.plan);
    writer.end_cell();
    writer.end_row();
  }
  if (control.plan.shows && control.showing == Showing::row_suspended) {
    writer.portal_suspended();
  } else {
    if (control.showing != Showing::later) log_done(made.text(), control.plan.tag);
    std::string tag;
    BackendWriter(tag).command_complete(control.plan.tag);
    if (querying_ && parts_.empty() && control.after.holds_guard()) {
      to_client(bytes);
      held_tag_ = std::move(tag);  // what is left to do may yet fail
      return;
    }
    bytes += tag;
  }
  to_client(bytes);
}

void Relay::end_request() {
  FrontendWriter(link_->out()).sync();
  close_request(true);
  link_->flush();
}

// A request is answered. The client hears of the last one of its unit.
void Relay::on_stack_ready() {
  // A cancel under way must not strike what is sent next: without that the root might be lost.
  if (sent_.empty() && link_->cancel_state() != CancelState::none) {
    sent_.push_back({.first_item = first_item_ + static_cast<std::uint32_t>(items_.size())});
    return transition(State::settling);
  }
  if (unit_failed_) {
    parts_.clear();
    last_tag_.clear();
    check_ = Check::none;
    querying_ = false;
    restoring_.reset();
  }
  if (!sent_.empty() || settle_check()) return;
  if (restoring_) {
    begin_request();
    Restoring due = *std::exchange(restoring_, nullptr);
    const std::uint32_t number = inject_steps(std::move(due.plan));
    item(number).control->showing = due.showing;
    if (!due.text.empty()) item(number).details().text = std::move(due.text);
    return end_request();
  }
  if (run_behind()) return;
  if (std::exchange(breaking_, false) && !unit_failed_) {
    recovering_ = false;
    return pump();
  }
  if (querying_) {
    recovering_ = false;
    return advance_query();
  }
  if ((unit_failed_ || reached_.is_left_failed()) && recover_unit()) return;
  recovering_ = false;
  recovery_ = {};
  if (!rules_.rooted) stack_ = reached_;
  const char status = stack_.status();
  const bool fails = status == 'E' && !stack_.is_freed();
  const char expected = fails ? 'E' : rules_.rooted ? 'T' : status;
  if (link_->status() != expected) {
    // Its client waits for an answer all the same.
    sent_.push_back({.first_item = first_item_ + static_cast<std::uint32_t>(items_.size())});
    return link_->close(
        Error::make(sqlstate::connection_failure, "its transaction is not what Based made of it"));
  }
  if (run_again_) return run_again();
  if (!last_tag_.empty()) to_client(std::exchange(last_tag_, {}));
  if (status == 'I') {
    if (rules_.rooted) context_.leases.note_committed();
    unit_wrote_ = false;
    // Its end tells the client what these are again: that is not left to the next unit.
    const bool alone = rules_.rooted && !rules_.inside && !stack_.outer();
    const bool tells = alone && link_->settings().has_left_of(*link_->reported());
    link_->settings().committed(rules_.rooted);
    if (tells && run_behind(true)) return;
    commit_objects();
    settings_tainted_ = false;
    if (listening_) listening_->journal.ready('I', false);
  }
  end_unit(status);
}

// True: what brings back the state before the error was sent.
bool Relay::recover_unit() {
  unit_failed_ = false;
  const bool again = recovering_ && !recovery_.steps.empty();
  if (!again) {
    unit_wrote_ = false;
    stack_ = reached_;
    recovery_.steps = stack_.recover(std::exchange(ending_failed_, false));
    stack_.in_transaction() ? objects_.failed() : objects_.rolled_back();
    reached_ = stack_;
    if (!stack_.in_transaction()) open_portals_.clear();
  }
  if (recovery_.steps.empty() || ++recovery_.tries > recoveries_max) return false;
  begin_request();
  recovering_ = true;
  inject_steps({.steps = recovery_.steps});
  end_request();
  return true;
}

}  // namespace based::postgres
