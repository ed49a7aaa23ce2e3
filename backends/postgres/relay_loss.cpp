// The Relay's losses: what its client is told when the link is gone, and how it lets one go.
#include <algorithm>
#include <utility>

#include "backends/postgres/relay.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

// It may have been executed, and the transaction around it committed, in the same request as what
// was abandoned. True: the link may have a statement of the client's, under its name, or listen.
bool doubt_unanswered(const Item& made, Link& link) {
  if (made.done) return false;
  for (const CallMade& call : made.calls()) {
    if (const auto setting = setting_made(call)) link.settings().may_have_executed(*setting);
  }
  const ScriptRef& script = made.running();
  if (!script) return false;
  bool leaves = false;
  for (const StatementRef& statement : script->statements) {
    link.settings().may_have_executed(*statement);
    leaves = leaves || statement->kind == StatementKind::prepare ||
             statement->kind == StatementKind::listen;
  }
  if (leaves) link.own_statements().doubt();
  return leaves;
}

}  // namespace

// What it was to do behind those that have its link will not be done, and the client does not know
// what that has become of; so its transaction fails as if the server had begun with it.
void Relay::strike_parked() {
  parked_ = Parked::struck;
  stack_.fail();
  reached_.fail();
}

// Its transaction is gone with another link, or was struck while that was lent. In a real failed
// one the server itself says what every further statement gets, up to the ROLLBACK.
void Relay::enter_failed_transaction() {
  arm(context_.settings_timeout);
  if (lost_) {
    stack_ = reached_;
    stack_.lose();
    reached_ = stack_;
    nesting_ = !rules_.rooted && stack_.in_nested();
    link_->run_chore(
        {.texts = {rules_.rooted ? "SAVEPOINT _based_t1" : "BEGIN"}, .of_holder = true});
  }
  at_turn_begin_ = false;  // what it begins next in this turn has a savepoint of its own
  link_->run_chore({.texts = {"the transaction was lost"},
                    .then =
                        [this](const std::optional<Error>&) {
                          if (std::exchange(parked_, Parked::no) != Parked::no) {
                            link_->settings().rolled_back();
                            doubt_statements();
                          }
                          lost_ = false;
                          own_portal_ = true;
                          on_prepared();
                        },
                    .of_holder = true,
                    .may_fail = true});
}

// Whatever the state: what runs is cancelled, what is open is rolled back.
void Relay::let_go() {
  columns_.asked = false;
  if (link_ == nullptr) return;
  Link& link = *std::exchange(link_, nullptr);
  RequestQueue& queue = link.queue();
  bool leaves = listening_ && listening_->on_link;
  for (const Item& made : items_) leaves = doubt_unanswered(made, link) || leaves;
  // In a sandbox the link is everybody's.
  if (rules_.rooted) link.fill(std::exchange(part_left_, 0));
  if (part_left_ != 0) {
    link.close(Error::make(sqlstate::connection_failure, "its client went in mid-message"));
  } else if (queue.is_open()) {
    FrontendWriter writer(link.out());
    if (copying_in_ || copy_awaited_ != 0) writer.copy_fail("the client is gone");
    // What was not ended with a Sync of the client's is not to be committed by ours; in a sandbox
    // it is not.
    if (!copying_in_ && (!rules_.rooted || copy_awaited_ != 0)) {
      writer.parse("", "SELECT the_client_is_gone", {});
      queue.append({.what = Expect::parse, .fate = Fate::swallow});
      link.own_statements().unnamed.reset();
    }
    writer.sync();
    queue.close(true);
  } else if (copying_in_) {
    FrontendWriter(link.out()).copy_fail("the client is gone");
  }
  link.forget(this);
  link.flush();
  if (pinned_) --context_.pins.count;
  pinned_ = false;
  const bool clean = link.quiet() && has_nothing_open();
  const bool unseen = context_.verify_release && !rules_.rooted && !clean;
  if (session_mode_ || unseen || (leaves && !rules_.rooted)) context_.leases.pin(link, {});
  link.release(clean ? Leaving::finished : Leaving::abandoned);
}

bool ends_orderly(std::string_view sqlstate) {
  return sqlstate.starts_with("57P") && sqlstate != "57P02";
}

// --- losing it

Error Relay::lost_error(const Error& reason) const {
  Error error = reason;
  const Sqlstate code = error.sqlstate;  // it says so itself
  if (code.klass() == "08" || code == sqlstate::serialization_failure) return error;
  const bool timeout = code == Sqlstate("25P03") || code == Sqlstate("25P04");
  if (code.klass() != "57" && !timeout) error.sqlstate = sqlstate::connection_failure;
  error.message = "the connection to PostgreSQL was lost: " + reason.message;
  return error;
}

void Relay::on_link_lost(const Error& reason) {
  link_ = nullptr;
  columns_.asked = false;
  parked_ = Parked::no;
  part_left_ = 0;
  settings_under_way_ = false;
  unsettled_.reset();
  if (context_.stack.rooted) losses_seen_ = context_.leases.losses() + 1;  // it hears of it now
  const bool state_lost = pinned_ || session_mode_;
  if (pinned_) --context_.pins.count;
  pinned_ = false;
  lose(lost_error(reason), state_lost);
}

// By a reset of the sandbox, or for those who wait. The link stays the sandbox's.
void Relay::on_lease_revoked(const Error& reason) {
  parked_ = Parked::no;
  losses_seen_ = context_.leases.losses();  // it hears of it now
  let_go();
  part_left_ = 0;
  settings_under_way_ = false;
  run_elsewhere_ = false;
  lose(reason, false);
}

// What the session did on its link is gone. `state_lost`: what it cannot go on without, too.
void Relay::lose(const Error& error, bool state_lost) {
  if (state_ == State::ended) return;
  if (listening_) listening_->on_link = listening_->unlistening = false;
  if (state_ == State::listening && !state_lost) return go_on_listening();
  if (state_ == State::preparing && welcomed_ && held_.empty() && !state_lost) {
    transition(State::idle);  // it was asked for nothing of the client's
    if (begin_due_ == BeginDue::due) acquire();
    return;
  }
  if (state_ == State::preparing && has_nothing_open() && !state_lost && !retried_) {
    retried_ = true;
    return acquire();
  }
  if (std::exchange(run_elsewhere_, false) && state_ == State::flowing) return run_elsewhere();
  if (state_ == State::skipping && !state_lost) {
    lost_ = status_ != 'I';
    begin_due_ = BeginDue::no;
    forget_listens();
    return journal_.roll_back();
  }
  // A pinned session has lost what it was pinned for; half a row cannot be completed.
  if (state_lost || in_part_) return end(error);
  if (state_ == State::preparing) {
    if (!welcomed_) return welcome_from_memory(error);
    if (!has_nothing_open()) {  // its settings were brought back behind a RESET
      lost_ = true;
      begin_due_ = BeginDue::no;
      forget_listens();
      journal_.roll_back();
    }
    return refuse_unit(error);
  }
  forget_listens();
  journal_.roll_back();
  answer_lost(error);
}

// The unit in flight once more, on another link.
void Relay::run_elsewhere() {
  drop_items();
  items_.clear();
  passed_items_ = 0;
  kept_back_.clear();
  extended_ = failed_ = repeatable_ = false;
  if (begin_due_ == BeginDue::sent) begin_due_ = BeginDue::due;
  HeldMessages all = std::exchange(unit_, {});
  WireMessage message;
  for (; !held_.empty(); held_.pop()) {
    held_.peek(message);
    all.add(message);
  }
  held_ = std::move(all);
  transition(State::idle);
  acquire();
  retried_ = true;
}

// Every request that was sent gets its answer; what has been begun is skipped.
void Relay::answer_lost(const Error& error) {
  Error told = error;
  // A text may have begun or ended one before the rest of it was lost.
  const bool in_transaction = stacked() ? reached_.in_transaction() : status_ != 'I';
  lost_ = in_transaction;
  begin_due_ = BeginDue::no;
  if (lost_ && sent_.empty()) loss_ = std::make_unique<Error>(told);
  const bool commits = std::ranges::any_of(items_, [](const Item& item) {
    const ScriptRef& script = item.prepared ? item.prepared->script : item.script;
    return !item.done && script != nullptr &&
           std::ranges::any_of(script->statements, [](const StatementRef& statement) {
             return statement->kind == StatementKind::commit;
           });
  });
  if (commits && in_transaction && told.sqlstate != sqlstate::serialization_failure) {
    told.sqlstate = sqlstate::transaction_resolution_unknown;
    told.message += "; whether the transaction was committed is not known";
  }
  const bool open = extended_;
  // What is held then would only be silent again in its next turn.
  const bool silent = std::exchange(columns_.next_awaited, false) &&
                      told.sqlstate == sqlstate::idle_in_transaction_session_timeout;
  const std::size_t requests = stacked() ? std::min<std::size_t>(sent_.size(), 1) : sent_.size();
  drop_items();
  sent_.clear();
  items_.clear();
  passed_items_ = 0;
  kept_back_.clear();
  portals_.clear();
  portal_calls_.clear();
  open_portals_.clear();
  parts_.clear();
  check_ = Check::none;
  held_tag_.clear();
  last_tag_.clear();
  querying_ = unit_failed_ = unit_wrote_ = ending_failed_ = false;
  nesting_ = false;
  stack_ = reached_;
  if (!in_transaction) stack_ = reached_ = WireStack(rules_);
  copy_awaited_ = 0;
  misplaced_ = 0;
  copying_in_ = run_again_ = recovering_ = breaking_ = false;
  local_set_ = local_over_ = limit_set_ = false;
  cancel_reason_.clear();
  transition(State::idle);
  std::string bytes;
  for (std::size_t i = 0; i < requests; ++i) {
    if (i > 0 || !failed_) BackendWriter(bytes).error("ERROR", told);
    if (i + 1 == requests && open) break;
    client_.send(std::exchange(bytes, {}));
    send_ready(lost_ ? 'E' : 'I');
  }
  failed_ = false;
  if (open) {  // the rest up to its Sync
    client_.send(bytes);
    transition(State::skipping);
    finish_skipping();
  } else if (!held_.empty()) {
    if (silent && !lost_) return refuse_unit(told);
    pump_commands();
  }
}

}  // namespace based::postgres
