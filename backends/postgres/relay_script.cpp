// The Relay's simple queries where transactions are not the server's own.
//
// A text with transaction control in it goes in parts, one after the other, and the server has
// parsed the whole of it before the first: in front of that travels a statement that it can parse
// if it can parse them all. Where it cannot, and in a failed transaction, where it parses nothing,
// it is asked to prepare the text itself: its answer is the error of the text, or that there are
// several statements. That never runs anything, and costs a round trip. So is a text in a sandbox
// that Based cannot read, and where the server can, it is refused.
#include <algorithm>
#include <utility>

#include "backends/postgres/check_savepoint.h"
#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_replies.h"
#include "backends/postgres/split_text.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/ordinary.h"
#include "backends/sql/sandbox_form.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

constexpr std::string_view limit = "statement_timeout";
// So that the server is asked for all of the text.
constexpr std::string_view unreadable_body = "unreadable";

// The end of a statement in its script's text.
std::size_t end_of(const Statement& statement) { return statement.offset + statement.text.size(); }

// What a text of several statements is told that is to be prepared.
bool refuses_several(const ErrorFields& fields) {
  if (fields.sqlstate != "42601") return false;
  return fields.routine == "exec_parse_message" ||
         (fields.routine.empty() && fields.position.empty());
}

}  // namespace

void Relay::begin_parts() {
  querying_ = true;
  check_ = Check::none;
  split_text_.clear();
  parts_.clear();
}

void Relay::begin_query(std::string_view text) {
  unnamed_.reset();
  erase_portal("");
  begin_parts();
  // An implicit block that is open would not outlive a check that fails.
  const bool in_block =
      std::exchange(extended_, false) && !rules_.rooted && !stack_.in_transaction();
  cut_query(text);
  if (parts_.front().refusal) {
    split_text_ = std::string(text);
    one_body_ = unreadable_body;
    check_ = stack_.status() == 'E' ? Check::whole : Check::in_front;
  } else if (parts_.size() > 1 && !in_block) {
    const ScriptRef script = script_to_cut(text);
    split_text_ = std::string(text);
    one_body_ = as_one_body(*script);
    if (!one_body_.empty()) check_ = stack_.status() == 'E' ? Check::whole : Check::in_front;
  }
  advance_query();
}

// A Query in a batch that has failed is skipped by the server; where its transaction control is
// answered here, it has to be known whether it has. REQUIRES flowing.
bool Relay::awaits_batch(const WireMessage& message) {
  const bool simple = message.type == request::query || message.type == request::function_call;
  if (!simple || !message.first || !stacked() || !extended_ || failed_) return false;
  return awaits_replies();
}

bool Relay::awaits_replies() {
  if (!link_->queue().is_open() || !link_->queue().awaits_reply()) return false;
  if (!std::exchange(flushed_, true)) FrontendWriter(link_->out()).flush();
  link_->flush();  // which tells of what nothing has to be awaited for
  return state_ != State::flowing || link_->queue().awaits_reply();
}

void Relay::take_function_call(const WireMessage& message) {
  if (stacked() && extended_ && is_skipped()) return;
  if (stacked()) {
    begin_parts();
    guard_unit(std::exchange(local_over_, false));
    unit_wrote_ = true;
    stack_.note_snapshot();
  }
  begin_request();
  sent_.back().extended = !stacked() && (sent_.back().extended || extended_);
  extended_ = false;
  expect(Expect::function_call);
  forward(message);
  close_request(false);
}

// Has each of its statements a limit of its own?
bool Relay::is_limited(const Script& script) const {
  if (!context_.stack.rooted || script.statements.size() < 2) return false;
  return limit_of(limit) > Duration::zero() ||
         std::ranges::any_of(script.statements,
                             [](const StatementRef& s) { return s->name == limit; });
}

ScriptRef Relay::script_to_cut(std::string_view text) const {
  ScriptRef script = look_at(text);
  if (script || limit_of(limit) <= Duration::zero()) return script;
  const Result<ScriptRef> all = context_.texts.intern(text, ParameterStyle::verbatim);
  return all && (*all)->statements.size() > 1 ? *all : nullptr;
}

// Into parts_.
void Relay::cut_query(std::string_view text) {
  if (rules_.rooted) {
    if (std::optional<Error> refusal = unreadable(context_.texts, text)) {
      return parts_.push_back({.refusal = std::move(refusal)});
    }
  }
  const ScriptRef script = script_to_cut(text);
  std::string in_form(text);
  if (script) sql::use_sandbox_forms(*script, in_form);
  text = in_form;
  const ScriptRef seen = seen_through(script);
  const std::vector<bool> controls = script ? stack_.controls_in(*seen) : std::vector<bool>();
  const bool apart = script && is_limited(*script);
  if (!script || (!apart && std::ranges::find(controls, true) == controls.end())) {
    QueryPart whole{.text = std::string(text), .script = script};
    whole.in_script = script && script->statements.size() > 1;
    whole.reads = !script && sql::is_ordinary(text) && (text[0] == 's' || text[0] == 'S');
    parts_.push_back(std::move(whole));
    return;
  }
  const Reported& reported = *link_->reported();
  const auto is = [&reported](std::string_view name, std::string_view value) {
    const auto found = reported.find(name);
    return found != reported.end() && found->second == value;
  };
  const bool utf8 = is("client_encoding", "UTF8") && !is("server_encoding", "SQL_ASCII");
  const bool several = script->statements.size() > 1;
  std::string notices;
  for (std::size_t i = 0; i < script->statements.size();) {
    const StatementRef& first = script->statements[i];
    if (controls[i]) {
      const bool executed = first != seen->statements[i];
      notices += noticed_names(*first);
      parts_.push_back(
          {.control = seen->statements[i], .executed = executed, .in_script = several});
      ++i;
      continue;
    }
    std::size_t last = i;
    const auto goes_on = [&](std::size_t next) {
      return !apart && next < script->statements.size() && !controls[next];
    };
    while (goes_on(last + 1)) ++last;
    const std::size_t end = end_of(*script->statements[last]);
    QueryPart part{
        .in_script = several,
        .text = std::string(text.substr(first->offset, end - first->offset)),
        .before = static_cast<std::int32_t>(characters_before(text, first->offset, utf8))};
    auto own = std::make_shared<Script>();
    for (; i <= last; ++i) own->statements.push_back(script->statements[i]);
    part.script = std::move(own);
    parts_.push_back(std::move(part));
  }
  parts_.front().notices = std::move(notices);
}

// The next part; or, behind the last, the end of the guard; or the end of the query.
void Relay::advance_query() {
  if (check_ == Check::whole) return check_whole();
  if (!parts_.empty()) {
    QueryPart part = std::move(parts_.front());
    parts_.erase(parts_.begin());
    return send_part(std::move(part));
  }
  querying_ = false;
  const bool ends = stack_.executed_end() != nullptr;
  if (!ends && (stack_.in_transaction() || !rules_.rooted || stack_.needs_guard())) {
    return on_stack_ready();
  }
  if (!ends && guard_goes_freely()) {
    stack_.let_guard_go(false);
    reached_ = stack_;
    return on_stack_ready();
  }
  begin_request();
  let_guard_go();
  end_request();
}

void Relay::send_part(QueryPart part) {
  if (begins_at_once(part)) return;
  guard_unit(std::exchange(local_over_, false) || !split_text_.empty());
  begin_request();
  sent_.back().extended = false;
  if (!part.notices.empty()) reply_here(std::move(part.notices));
  if (check_ == Check::in_front) check_in_front();
  if (part.refusal) {
    refuse_here(*part.refusal);
    return end_request();
  }
  if (part.control) {
    if (part.executed && refuse_in_failed_transaction()) return end_request();
    if (part.executed) stack_.note_text("execute");  // which needs a snapshot
    const Showing showing = Showing::with_columns;
    part.executed ? take_executed(part.control, showing, parts_.empty())
                  : take_control(part.control, showing, part.in_script);
    return end_request();
  }
  const ScriptRef seen = seen_through(part.script);
  if (refuse_what_cannot(seen, part.text, part.in_script) || (seen && !may_run(*seen)))
    return end_request();
  const bool copies = seen && may_copy(*seen);
  unit_wrote_ = unit_wrote_ || !part.reads;
  if (rules_.rooted && !seen) context_.leases.note_text(part.text);
  if (part.script) own_names(*part.script);
  std::vector<CallMade> calls;
  if (rules_.rooted) {
    const sql::SessionCalls found = sql::find_session_calls(part.text);
    calls = calls_made(found, nullptr);
    if (const std::optional<Error> full = journal_.refuse_more(calls)) {
      refuse_here(*full);
      return end_request();
    }
    note_taint(found, calls);
    if (seen) {
      note_taint(*seen);
      note_sent(*seen);
    }
  }
  std::uint32_t number = 0;
  if (seen || context_.sandbox != nullptr) {
    // The log has each of several by itself.
    ScriptRef said = seen ? seen : several_in(context_.texts, part.text);
    number =
        add_item({.kind = ItemKind::query, .before_it = part.before, .script = std::move(said)});
    if (context_.sandbox != nullptr) item(number).details().text = part.text;
    if (!calls.empty()) item(number).details().calls = std::move(calls);
  }
  copy_awaited_ = copies ? number : 0;
  expect(Expect::query, Fate::forward, number);
  FrontendWriter(link_->out()).query(part.text);
  own_portal_ = true;  // there is none
  link_->own_statements().unnamed.reset();
  close_request(false);
  // The guard's end travels with the last part, unless that may be a COPY, which would read it, or
  // drop what it is prepared as, or is a ROLLBACK, which an error in front of it would not stop.
  // What is set for good behind a SET LOCAL is what the guard's end has to leave.
  const bool sets = stack_.has_local_names() && !sql::find_session_calls(part.text).empty();
  const bool waits = sets || stack_.executed_end() != nullptr ||
                     (seen && std::ranges::any_of(seen->statements, holds_back));
  const bool last = parts_.empty() && !waits && !stack_.in_transaction();
  if (last && rules_.rooted && !guard_goes_freely()) {
    querying_ = false;
    begin_request();
    let_guard_go();
    return end_request();
  }
  link_->flush();
}

// What a transaction before it in the same text has set for itself ends with that.
std::vector<std::string> Relay::undo_local_settings() {
  const Settings& wanted = journal_.settings();
  if (!rules_.rooted || link_->settings().has(wanted)) return {};
  std::vector<std::string> texts = link_->settings().difference(wanted, journal_.user());
  link_->settings().became(wanted, true);
  return texts;
}

// --- can the server parse the whole of it?

void Relay::expect_check(std::string_view text) {
  FrontendWriter(link_->out()).parse("", text, {});
  link_->own_statements().unnamed.reset();
  expect(Expect::parse, Fate::swallow, add_item({.kind = ItemKind::check}));
}

// With a savepoint around it, as an error is not yet the client's.
void Relay::check_in_front() {
  const bool inside = stack_.in_transaction();
  if (inside) inject_steps({.steps = {enter_check()}});
  expect_check(one_body_);
  if (inside) inject_steps({.steps = {leave_check()}});
}

void Relay::check_whole() {
  const ScriptRef script = script_to_cut(split_text_);
  check_ = Check::asked;
  begin_request();
  expect_check(script ? without_commands(split_text_, *script) : split_text_);
  end_request();
}

// True: the client does not hear of it.
bool Relay::note_check(const ErrorFields& fields) {
  if (check_ == Check::in_front && fields.sqlstate == "42601") {
    check_ = Check::whole;
    return true;
  }
  if (check_ != Check::asked || !refuses_several(fields)) return false;
  check_ = Check::passed;
  return true;
}

// Everything that was sent is answered. True: so is a check, and more was sent.
bool Relay::settle_check() {
  const Check settled = std::exchange(check_, Check::none);
  if (settled == Check::none || settled == Check::in_front) return false;
  stack_ = reached_;
  unit_wrote_ = querying_ = true;
  parts_.clear();
  if (settled == Check::whole) {
    begin_request();
    inject_steps({.steps = stack_.undo_check(false)});
    check_whole();
    return true;
  }
  cut_query(split_text_);
  parts_.front().notices.clear();  // the server has told of them
  std::vector<StatementRef> steps = stack_.undo_check(true);
  if (steps.empty()) return false;
  begin_request();
  inject_steps({.steps = std::move(steps)});
  end_request();
  return true;
}

}  // namespace based::postgres
