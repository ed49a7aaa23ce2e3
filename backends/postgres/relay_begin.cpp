// The Relay's BEGIN: answered here, and told to the server in front of the transaction's first
// statement.
//
// A BEGIN by itself asks nothing of the server, so its client need not wait for a link, nor the
// link for its client. It goes to the server with the first statement, in the same request: should
// either fail, the other is not done. What is not ordinary, and cannot be sent in one request with
// it, waits until the server has answered a BEGIN of its own; so does a client that is silent for
// `begin_wait`, so that its transaction is not much younger than it thinks. What ends before that,
// or for want of a link was never begun, or is gone with its link, ends here, too.
//
// So does DEALLOCATE by itself: the statements of a session that holds no link are a list that
// Based keeps. Somebody else may have the only link or turn, and even wait for this: PDO
// deallocates a statement when its variable is gone, in whatever transaction of another connection
// that happens. What a link has of it goes when the name is used again there, or in its time.
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/ordinary.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

constexpr Duration begin_wait = std::chrono::milliseconds(10);
constexpr std::string_view begin_text = "BEGIN;";

}  // namespace

// Is the message a BEGIN or a DEALLOCATE, or the end of a transaction that no server has heard of,
// or of the batch of one as far as that has come? Then it is kept here. REQUIRES idle.
bool Relay::keeps_control(const WireMessage& message) {
  using Kind = ControlBatch::Kind;
  const bool unheard = begin_due_ == BeginDue::due || lost_;
  Kind kind = unheard ? Kind::end : Kind::begin;
  if (control_batch_.has_begun()) {
    kind = control_batch_.kind();
  } else {
    const bool comes_first = (unheard || status_ == 'I') && welcomed_ && !loss_;
    if (comes_first && !unheard && ControlBatch::may_be(Kind::forget, message)) kind = Kind::forget;
    if (!comes_first || !ControlBatch::may_be(kind, message)) return false;
    const bool kept = session_mode_ || parked_ != Parked::no || options_.group != 0;
    if (kind != Kind::forget && (stacked() || rules_.nested || kept)) return false;
  }
  if (!control_batch_.takes(kind, message, script_of(message))) return false;
  const bool over = message.type == request::query || message.type == request::sync;
  if (!over) {
    hold(message);
    return true;
  }
  const ControlBatch batch = std::exchange(control_batch_, {});
  if (batch.parses()) {
    unnamed_ = std::make_shared<PreparedText>(
        PreparedText{.text = batch.statement()->text, .types = {}, .script = batch.script()});
  } else if (batch.simple()) {
    unnamed_.reset();
  }
  held_.clear();
  if (batch.kind() == Kind::forget) {
    forget_statements(batch);
    return true;
  }
  if (unheard) {
    end_unheard(batch);
    return true;
  }
  begin_due_ = BeginDue::due;
  if (context_.transaction_timeout > Duration::zero()) {
    transaction_due_ = context_.reactor.now() + context_.transaction_timeout;
  }
  const bool starts = word_at(batch.statement()->text, 0) == "start";
  client_.send(batch.replies(starts ? "START TRANSACTION" : "BEGIN"));
  send_ready('T');
  arm(begin_wait);
  return true;
}

// What is not begun, or gone, needs no link to be ended: there may be none to be had.
void Relay::end_unheard(const ControlBatch& batch) {
  const bool commits = !lost_ && batch.statement()->kind == StatementKind::commit;
  begin_due_ = BeginDue::no;
  lost_ = false;
  transaction_due_ = TimePoint();
  if (timer_) timer_->disarm();
  client_.send(batch.replies(commits ? "COMMIT" : "ROLLBACK"));
  send_ready('I');
}

void Relay::forget_statements(const ControlBatch& batch) {
  for (const std::string& name : batch.closes()) {
    if (name.empty()) unnamed_.reset();
    prepared_.erase(name);
  }
  if (!batch.closes().empty()) {
    client_.send(batch.replies(""));
    return send_ready('I');
  }
  const Statement& statement = *batch.statement();
  const bool all = statement.name.empty();
  since_ = context_.reactor.now();
  if (all || prepared_.erase(statement.name) > 0) {
    const std::string_view tag = all ? "DEALLOCATE ALL" : "DEALLOCATE";
    if (all) prepared_.clear();
    client_.send(batch.replies(tag));
    log_done(statement.text, tag);
    return send_ready('I');
  }
  const Error error = Error::make(Sqlstate("26000"),
                                  "prepared statement \"" + statement.name + "\" does not exist");
  std::string bytes = batch.replies("");
  BackendWriter(bytes).error("ERROR", error);
  client_.send(bytes);
  Item said;
  said.details().text = statement.text;
  log_error(said, {.sqlstate = "26000", .message = error.message});
  send_ready('I');
}

// Does the first statement take the BEGIN with it?
bool Relay::takes_begin(const WireMessage& message) const {
  if (!message.whole()) return false;
  std::string_view text;
  ParseRequest parse;
  BindNames names;
  if (message.type == request::query) {
    return decode_text(message.body, text) && sql::is_ordinary(text);
  }
  if (message.type == request::parse) {
    return decode_parse(message.body, parse) && sql::is_ordinary(parse.text);
  }
  if (message.type != request::bind || !decode_bind_names(message.body, names)) return false;
  const PreparedRef* prepared =
      names.statement.empty() ? &unnamed_ : find_prepared(names.statement);
  return prepared != nullptr && *prepared && !(*prepared)->script && !(*prepared)->from_sql;
}

// Before the client's unit, where it cannot go with that. True: the server is being told.
bool Relay::begins_first() {
  if (begin_due_ != BeginDue::due) return false;
  WireMessage message;
  if (!held_.empty()) {
    held_.peek(message);
    if (takes_begin(message)) return false;
  }
  arm(context_.settings_timeout);
  const PreparedRef unnamed = unnamed_begin();
  link_->run_chore({.texts = {unnamed ? unnamed->text : "BEGIN"},
                    .then =
                        [this, unnamed](const std::optional<Error>& error) {
                          if (error) return refuse_unit(*error);
                          begin_due_ = BeginDue::no;
                          own_portal_ = true;
                          link_->own_statements().unnamed = unnamed;
                          on_prepared();
                          if (state_ == State::flowing && sent_.empty()) rest();
                        },
                    .of_holder = true});
  return true;
}

// What the client has begun with, where that is its unnamed statement: it is to be the link's, too.
PreparedRef Relay::unnamed_begin() const {
  const bool begins = unnamed_ && ControlBatch::is_one(ControlBatch::Kind::begin, unnamed_->script);
  return begins ? unnamed_ : nullptr;
}

// In front of the first message of an extended unit.
void Relay::send_begin() {
  if (begin_due_ != BeginDue::due) return;
  begin_due_ = BeginDue::sent;
  FrontendWriter writer(link_->out());
  PreparedRef unnamed = unnamed_begin();
  writer.parse("", unnamed ? std::string_view(unnamed->text) : begin_text, {});
  writer.begin_bind("", "", {});
  writer.end_bind();
  writer.execute("", 0);
  link_->own_statements().unnamed = std::move(unnamed);
  own_portal_ = true;
  expect_swallowed(Expect::parse);
  expect_swallowed(Expect::bind);
  expect(Expect::execute, Fate::forward, add_item({.kind = ItemKind::query, .begins = true}));
}

// A Query, with the BEGIN in its text.
void Relay::forward_query(const WireMessage& message, std::uint32_t number) {
  if (begin_due_ != BeginDue::due) {
    expect(Expect::query, Fate::forward, number);
    return forward(message);
  }
  begin_due_ = BeginDue::sent;
  if (number == 0) number = add_item({.kind = ItemKind::query});
  item(number).begins = true;
  item(number).before_it = -static_cast<std::int32_t>(begin_text.size());
  expect(Expect::query, Fate::forward, number);
  std::string text(begin_text);
  text.append(message.body, 0, message.body.size() - 1);
  FrontendWriter(link_->out()).query(text);
}

// The server has begun: what follows is done in the transaction.
bool Relay::note_begun(const Reply& reply, Item& made) {
  if (!made.begins || reply.type != reply::command_complete) return false;
  made.begins = false;
  made.done = made.script == nullptr && !made.unnamed;
  begin_due_ = reply.expectation->what == Expect::query ? BeginDue::begun : BeginDue::no;
  repeatable_ = false;
  return true;
}

// At the end of a request: has the server begun, and said nothing of the statement?
bool Relay::only_begun() {
  if (begin_due_ != BeginDue::begun) return false;
  begin_due_ = BeginDue::no;
  return !failed_ && !answered_;
}

// Nothing of the transaction was begun, nor will be: its client finds itself in a failed one.
void Relay::fail_begin() {
  begin_due_ = BeginDue::no;
  lost_ = true;
  journal_.roll_back();
}

}  // namespace based::postgres
