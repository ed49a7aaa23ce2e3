// The Relay's way back: from the link to the client, and what the replies say of the session.
#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_rules.h"
#include "backends/postgres/server_error.h"
#include "backends/postgres/wire_error.h"
#include "backends/postgres/wire_stack_text.h"
#include "protocol/check.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

constexpr std::size_t unsent_high = 1024 * 1024;
constexpr std::size_t unsent_low = 256 * 1024;
// A FATAL that comes within this after a unit was sent was on its way already.
constexpr Duration dying_link_max = std::chrono::milliseconds(50);
// How long a pinned session rests before it is asked whether it has to stay so.
constexpr Duration pin_rest = std::chrono::milliseconds(50);

bool names_of_ours(std::string_view message, std::string_view& name) {
  const std::size_t at = message.find("\"based_s");
  if (at == std::string_view::npos) return false;
  const std::size_t end = message.find('"', at + 1);
  if (end == std::string_view::npos) return false;
  name = message.substr(at + 1, end - at - 1);
  return true;
}

bool ends_statement(char type) {
  return type == reply::command_complete || type == reply::empty_query ||
         type == reply::portal_suspended;
}

// A Bind that fails behind this has made its portal.
bool fails_with_portal(const ErrorFields& fields) {
  static constexpr std::array<std::string_view, 4> before{"26000", "08P01", "25P02", "42P03"};
  return std::ranges::find(before, fields.sqlstate) == before.end();
}

}  // namespace

Flow Relay::to_client(std::string_view bytes) {
  tell_kept();
  answered_ = true;
  if (!held_tag_.empty()) client_.send(std::exchange(held_tag_, {}));
  client_.send(bytes);
  if (client_.unsent() <= unsent_high) return Flow::more;
  client_.notify_when_drained(unsent_low);
  return Flow::pause;
}

void Relay::send_ready(char status) {
  status_ = status;
  if (rules_.rooted && link_ != nullptr) tell_reported();  // what no server reports
  if (status == 'I') tell_notifications();
  const char bytes[6] = {reply::ready, 0, 0, 0, 5, status};
  client_.send({bytes, sizeof bytes});
  if (tell_rest_ && at_rest()) client_.on_at_rest();
}

Flow Relay::on_reply(const Reply& reply) {
  if (reply.type == '\0') return on_synthesised(reply), Flow::more;
  if (reply.type == reply::error) return on_error(reply), go_on_without_columns(), Flow::more;
  const Expectation* expectation = reply.expectation;
  const std::uint32_t number = expectation != nullptr ? expectation->index : 0;
  if (number != 0 && item(number).kind == ItemKind::described) {
    if (note_columns(reply, item(number))) return Flow::more;
  } else if (expectation != nullptr && reply.first) {
    if (number != 0) {
      if (note_begun(reply, item(number)) || note_own(reply, item(number))) return Flow::more;
      if (item(number).kind == ItemKind::refusal) {
        link_->close(Error::make(sqlstate::connection_failure,
                                 "the connection to PostgreSQL was lost: the server has taken "
                                 "what it has to refuse"));
        return Flow::more;
      }
      note_done(reply, item(number));
      note_copy(reply);
    }
    if (ends_statement(reply.type)) note_statement_end();
  }
  if (!reply.whole) return send_part_of(reply);
  if (reply.type == reply::parameter_description && may_keep_back()) {
    return keep_back(reply.raw), Flow::more;
  }
  const Flow flow = may_yet_fail(reply) ? to_client({}) : to_client(reply.raw);
  if (may_yet_fail(reply)) held_tag_ = reply.raw;
  return flow;
}

// A Query that is not in a transaction block says that it is done when it is committed.
bool Relay::may_yet_fail(const Reply& reply) const {
  return reply.type == reply::command_complete && rules_.rooted && parts_.empty() &&
         (!stack_.in_transaction() || stack_.executed_end()) &&
         reply.expectation->what == Expect::query;
}

Flow Relay::send_part_of(const Reply& reply) {
  in_part_ = !reply.last;
  if (reply.first) {
    const std::uint32_t length = reply.body_bytes + 4;
    std::string head(1, reply.type);
    for (int shift = 24; shift >= 0; shift -= 8) head += static_cast<char>(length >> shift & 0xFF);
    to_client(head);
  }
  return to_client(reply.raw);
}

void Relay::on_synthesised(const Reply& reply) {
  Item& made = item(reply.expectation->index);
  made.kept = made.kind == ItemKind::parse && may_keep_back();
  made.done = !made.kept;
  if (made.kind == ItemKind::control) return note_control(made);
  if (made.kind == ItemKind::reply) {
    to_client(made.bytes());
    return;
  }
  const char type = made.kind == ItemKind::parse ? reply::parse_complete : reply::close_complete;
  const char bytes[5] = {type, 0, 0, 0, 4};
  if (made.kept) return keep_back({bytes, sizeof bytes});
  to_client({bytes, sizeof bytes});
}

// Only of a pinned session's own link: others do not listen. But behind its own LISTEN the link
// hears what its transaction has notified, and the shared listener does not yet.
void Relay::on_notification(std::string_view raw) {
  if (listening_ && (listening_->on_link || listening_->unlistening)) return hear_on_link(raw);
  if (pinned_ || session_mode_) client_.send(raw);
}

// --- errors

void Relay::on_error(const Reply& reply) {
  ErrorFields fields;
  if (!decode_error(reply.body, fields)) {
    return link_->close(Error::make(sqlstate::connection_failure,
                                    "the connection to PostgreSQL was lost: the server sent an "
                                    "error that cannot be read"));
  }
  if (misplaced_ != 0 && end_misplaced(reply, fields)) return;
  const std::uint32_t number = reply.expectation != nullptr ? reply.expectation->index : 0;
  if (stacked() && number != 0 &&
      item(number).lacks_question(reply.expectation->what, fields.sqlstate)) {
    link_->statements().forget_all(false);
    item(number).control->due = item(number).control->lost = true;
    return note_control(item(number));
  }
  // Its savepoint is outside of a transaction: the root is lost, as the ready status will say.
  if (number != 0 && item(number).kind == ItemKind::placed && fields.sqlstate == "25P01") return;
  failed_ = true;
  if (copying_in_ && !extended_) {  // it is ready for others before its data are over
    link_->fill(std::exchange(part_left_, 0));
    link_->flush();
  }
  copying_in_ = false;
  if (link_->queue().size() == 1) copy_awaited_ = 0;  // it was skipped, or has failed
  note_statements_lost(reply, fields);
  // It has skipped a Query, and waits for a Sync: the client's, where it had begun in the extended
  // protocol; ours, where only what was put in front of the Query has failed.
  if (link_->queue().is_open() && !extended_) {
    const bool in_front = reply.expectation && reply.expectation->phase == UnitPhase::prologue;
    extended_ = sent_.front().extended && !in_front;
    if (!extended_) {
      FrontendWriter(link_->out()).sync();
      link_->queue().close(true);
      link_->flush();
    }
  }
  if (stacked()) {
    const bool ends = number != 0 && item(number).ends_transaction();
    if (number != 0 && item(number).kind == ItemKind::bind) {
      item(number).done = fails_with_portal(fields);
    }
    if (number != 0 && item(number).kind == ItemKind::check && note_check(fields)) return;
    if (std::exchange(unit_failed_, true) || recovering_)
      return;  // of what was pipelined behind the first one
    ending_failed_ = ends;
    run_again_ = stale_and_unheard(reply, fields);
    if (number != 0 && !run_again_) log_error(item(number), fields);
  } else {
    run_again_ = stale_and_unheard(reply, fields);
  }
  if (run_again_) return;
  // The link was about to end when the unit was sent: the server has done nothing of it.
  const bool soon = context_.reactor.now() - sent_at_ < dying_link_max;
  if (fields.fatal() && ends_orderly(fields.sqlstate) && repeatable_ && !answered_ && soon &&
      status_ == 'I' && sent_.size() == 1 && !pinned_ && !session_mode_ && !stacked()) {
    run_elsewhere_ = true;
    return link_->close(server_error(fields, {}));
  }
  // A session that cannot go on without its link hears of its end once.
  if (fields.fatal() && (pinned_ || session_mode_)) return link_->close(server_error(fields, {}));
  send_error(reply, fields);
}

void Relay::send_error(const Reply& reply, const ErrorFields& fields) {
  std::string bytes;
  std::string_view on_server;
  const Expectation* expectation = reply.expectation;
  const std::string_view hint =
      context_.stack.rooted ? sandbox_hint(fields.sqlstate) : std::string_view();
  const std::string detail =
      waited_for(fields.sqlstate, fields.detail, context_.leases, context_.siblings);
  const Item* made =
      expectation != nullptr && expectation->index != 0 ? &item(expectation->index) : nullptr;
  const bool refused = made != nullptr && made->kind == ItemKind::refusal;
  const std::int32_t before = made != nullptr ? made->before_it : 0;
  const bool taken = made != nullptr && made->kind == ItemKind::bind && !made->bytes().empty();
  if ((refused && (made->in_failed || fields.sqlstate != "25P02")) ||
      (taken && fails_with_portal(fields))) {
    bytes = made->bytes();
  } else if (!cancel_reason_.empty() && fields.sqlstate == "57014") {
    BackendWriter(bytes).error("ERROR", Error::make(sqlstate::query_canceled, cancel_reason_));
  } else if (fields.fatal() || !hint.empty() || !detail.empty() ||
             names_of_ours(fields.message, on_server) || before != 0) {
    const std::string own = name_told_for(on_server);
    if (fields.sqlstate == "26000") link_->statements().forget_all(false);  // by a function
    append_rewritten_error(bytes, reply.body,
                           {.soften = fields.fatal(),
                            .from = on_server,
                            .to = own,
                            .before = before,
                            .hint = hint,
                            .detail = detail});
  } else {
    to_client(reply.raw);
    return;
  }
  to_client(bytes);
}

// --- what is done

void Relay::note_done(const Reply& reply, Item& made) {
  if (made.kind == ItemKind::parse || made.kind == ItemKind::close) {
    made.done = true;
    if (!made.on_server().empty()) link_->statements().parsed(made.on_server());
    return;
  }
  if (made.kind == ItemKind::bind) {
    made.done = true;
    return;
  }
  made.before.reset();
  const std::string_view tag = reply.body.substr(0, reply.body.find('\0'));
  const bool stops = reply.type == reply::portal_suspended;
  if (stops || reply.type == reply::command_complete) {
    log_done(text_of(made), stops ? made.bytes() : tag);
    apply_calls(made, stops ? made.bytes() : tag);
  }
  const ScriptRef& script = made.kind == ItemKind::query ? made.script : made.prepared->script;
  if (script == nullptr) made.done = true;
  if (script == nullptr || reply.type != reply::command_complete) return;
  if (made.at >= script->statements.size()) return;
  const StatementRef statement = script->statements[made.at++];
  made.done = made.at == script->statements.size();
  note_statement(statement, tag);
}

// Of what may go behind a statement that holds it back.
void Relay::note_copy(const Reply& reply) {
  const Expectation& expectation = *reply.expectation;
  if (reply.type == reply::copy_in) {
    copying_in_ = true;
    if (expectation.what == Expect::execute) extended_ = true;  // its Sync was for nothing
    fail_copy();
  }
  if (!ends_statement(reply.type) || expectation.index != copy_awaited_) return;
  copying_in_ = false;
  const Item& made = item(expectation.index);
  const ScriptRef& script = made.kind == ItemKind::query ? made.script : made.prepared->script;
  const std::span<const StatementRef> statements(script->statements);
  if (std::ranges::none_of(statements.subspan(std::min<std::size_t>(made.at, statements.size())),
                           holds_back)) {
    copy_awaited_ = 0;
  }
}

void Relay::note_statement(const StatementRef& statement, std::string_view tag) {
  switch (statement->kind) {
    case StatementKind::prepare:
      note_prepare(statement, tag);
      break;
    case StatementKind::setting:
    case StatementKind::set_transaction:
      link_->settings().executed(*statement, true);
      break;
    case StatementKind::rollback:
    case StatementKind::rollback_to:
    case StatementKind::commit:
      if (tag == "ROLLBACK")
        link_->settings().rolled_back();
      else if (statement->kind == StatementKind::commit)
        link_->settings().committed(false);
      break;
    case StatementKind::discard:
      if (tag == "DISCARD ALL") {
        note_all_dropped();
        link_->settings().all_reset();
        unpin();
      }
      break;
    default:
      break;
  }
  if (statement->sets_local) link_->settings().doubt_literals();
  has_reset_ = has_reset_ || is_reset(statement);
  reached_.note_own(*statement);
  journal_.done(*statement, tag);
  note_listen(*statement, tag);
  note_object(*statement, tag);
}

// The first request is answered, and those skipped behind its error: what was not done is undone.
void Relay::drop_items() {
  const std::uint32_t next = first_item_ + static_cast<std::uint32_t>(items_.size());
  const std::size_t over = std::min(sent_.size(), skipped_ + 1);
  skipped_ = 0;
  sent_.erase(sent_.begin(), sent_.begin() + static_cast<std::ptrdiff_t>(over));
  drop_items_before(sent_.empty() ? next : sent_.front().first_item);
}

void Relay::drop_items_before(std::uint32_t number) {
  const std::size_t count = std::min<std::size_t>(number - first_item_, items_.size());
  for (std::size_t i = count; i-- > 0;) {
    Item& made = items_[i];
    if (!made.done && made.unnamed) {
      restore_unnamed(count, made.before);
      unnamed_stays_ = made.was_there;
    }
    if (made.done || made.name().empty()) continue;
    if (made.kind == ItemKind::bind) open_portals_.erase(made.detail->name);
    if (made.kind == ItemKind::parse) {
      const auto found = prepared_.find(made.name());
      if (found != prepared_.end() && found->second == made.prepared) prepared_.erase(found);
    } else if (made.kind == ItemKind::close && made.prepared) {
      prepared_.emplace(made.name(), std::move(made.prepared));
    } else if (made.kind == ItemKind::close && made.was_there) {
      open_portals_.emplace(made.name());
    }
  }
  items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(count));
  passed_items_ -= std::min<std::size_t>(passed_items_, count);
  first_item_ = number;
}

// --- the end of a unit

void Relay::on_ready(char status) {
  if (only_begun()) {
    return link_->close(Error::make(sqlstate::connection_failure,
                                    "the connection to PostgreSQL was lost: the server did not "
                                    "answer a statement"));
  }
  const bool failed = failed_;
  if (!run_again_) tell_kept();
  drop_items();
  if (failed) {
    link_->settings().rolled_back();
    doubt_statements();
  } else if (sent_.empty()) {
    link_->own_statements().settle();
  }
  if (failed || sent_.empty()) link_->statements().forget_unconfirmed();
  if (sent_.empty()) unnamed_sent_ = false;
  failed_ = false;
  copying_in_ = false;
  misplaced_ = 0;
  if (sent_.empty()) copy_awaited_ = 0;
  reached_.follow(status);
  if (run_again_ && !stacked()) return run_again();
  if (stacked()) {
    if (failed) journal_.ready(reached_.status(), true);
    if (!held_tag_.empty()) last_tag_ = std::exchange(held_tag_, {});
    return on_stack_ready();
  }
  if (status == 'I') link_->settings().committed(false);
  journal_.ready(status, failed);
  if (listening_) listening_->journal.ready(status, failed);
  answered_ = false;
  if (sent_.empty()) return end_unit(status);
  cancel_reason_.clear();  // it was for what is answered now
  send_ready(status);
  pump();
}

// Nothing is in flight any more.
void Relay::end_unit(char status) {
  if (status == 'I' && !settle_listening()) return;
  if (stacked()) journal_.ready(status, false);
  nesting_ = nesting_ && stack_.in_nested();
  if (status == 'I') {
    portals_.clear();
    portal_calls_.clear();
    local_set_ = local_over_ = false;
  }
  answered_ = retried_ = repeatable_ = limit_set_ = false;
  cancel_reason_.clear();
  unsettled_.reset();
  for (WireStack* stack : {&stack_, &reached_}) stack->forget_executed();
  unit_.clear();
  if (timer_) timer_->disarm();
  if (statement_due_) statement_due_->disarm();
  status_ = begin_due_ == BeginDue::sent ? 'E' : status;
  if (link_->cancel_state() != CancelState::none) {
    transition(State::settling);  // it must not strike what comes next
    return send_ready(status_);
  }
  send_ready(status_);
  if (held_.empty()) client_.flush();  // before anybody else gets the link: it has waited longest
  rest();
  go_on();
}

// With what has come meanwhile.
void Relay::go_on() {
  if (state_ == State::flowing) return pump();
  if (state_ == State::idle && !held_.empty()) pump_commands();
}

// Nothing is in flight.
void Relay::rest() {
  if (begin_due_ == BeginDue::sent) {
    fail_begin();
    return release();
  }
  const TimePoint now = context_.reactor.now();
  if (status_ == 'I') {
    transaction_due_ = TimePoint();
    if (extended_) return;
    rests_since_ = now;
    if (pinned_ && pin_lasts_) arm_pin_idle();
    if (pinned_ && !pin_lasts_) arm(pin_rest);
    return release();
  }
  if (stack_.is_hopeless()) return leave_failed();
  context_.leases.note_rest();
  if (transaction_due_ == TimePoint() && context_.transaction_timeout > Duration::zero()) {
    transaction_due_ = now + context_.transaction_timeout;
  }
  watch_rest();
}

}  // namespace based::postgres
