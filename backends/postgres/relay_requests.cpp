// The Relay's way out: from the client's messages to the link.
#include <algorithm>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/ordinary.h"
#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"
#include "protocol/check.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

// A unit of more bytes is not kept for a second try.
constexpr std::size_t repeatable_bytes_max = 8 * 1024;
// A client that sends more units than these ahead waits for the first of them, and for its turn.
constexpr std::size_t units_ahead_max = 64;

// A message that the server refuses in any state: an error is then where the protocol wants it, and
// its text is ours, unless the transaction has failed before.
constexpr std::string_view refused_text = "SELECT refused_by_the_pooler";
constexpr std::string_view refused_name = "_based_refused";  // the unnamed statement stays

void append_head(std::string& out, char type, std::size_t body_bytes) {
  const std::size_t length = body_bytes + 4;
  const char head[message_header_bytes] = {
      type, static_cast<char>(length >> 24 & 0xFF), static_cast<char>(length >> 16 & 0xFF),
      static_cast<char>(length >> 8 & 0xFF), static_cast<char>(length & 0xFF)};
  out.append(head, sizeof head);
}

bool begins_extended(char type) {
  switch (type) {
    case request::parse:
    case request::bind:
    case request::describe:
    case request::execute:
    case request::close:
    case request::flush:
      return true;
    default:
      return false;
  }
}

bool is_of_copy(char type) {
  return type == request::copy_data || type == request::copy_done || type == request::copy_fail ||
         type == request::flush || type == request::sync;
}

bool is_unit_message(char type) {
  return begins_extended(type) || type == request::sync || type == request::query ||
         type == request::function_call;
}

}  // namespace

void Relay::pump() {
  if (state_ != State::flowing || held_.empty()) return;
  WireMessage message;
  bool full = false;
  while (state_ == State::flowing && !held_.empty() && !full) {
    held_.peek(message);
    if (must_wait(message)) {
      if (state_ != State::flowing || !link_->is_congested()) break;
      link_->flush();  // which may make room at once: then nobody says so later
      full = state_ == State::flowing && link_->is_congested();
      continue;
    }
    held_.pop();
    take(message);
  }
  // Where it is full it was just tried: now there might be room, of which nobody would say so.
  if (state_ == State::flowing && !full) link_->flush();
  watch_silence();
  if (held_.empty() && !taking_) {
    taking_ = true;
    client_.set_taking(true);
  }
}

// REQUIRES flowing.
bool Relay::must_wait(const WireMessage& message) {
  columns_.next_awaited = false;
  if (run_again_ || run_elsewhere_ || misplaced_ != 0 || link_->is_congested()) return true;
  if (copying_in_) {
    if (!is_of_copy(message.type)) fail_copy(message.type);
    return misplaced_ != 0;
  }
  // The Sync behind a COPY is read by the server either way; nothing else may be.
  if (copy_awaited_ != 0) return stacked() || !(message.type == request::sync && extended_);
  if (awaits_name(message) || awaits_batch(message) || awaits_guard(message)) return true;
  if (awaits_nesting(message)) return true;
  if (extended_ || !is_unit_message(message.type)) return awaits_columns(message);
  // What is prepared in a failed transaction depends on whether it still is one.
  if (!sent_.empty() && link_->status() == 'E' && !link_->queue().is_open()) return true;
  if (begin_due_ == BeginDue::sent) return true;
  if (!sent_.empty()) {
    const bool full = sent_.size() >= units_ahead_max;
    // What the server skips has to reach it: there is the Sync among it that it waits for.
    const bool resets = is_reset_ahead(items_) && !is_skipped();
    return stacked() || unsettled_ || full || resets || awaits_columns(message);
  }
  if (!needs_preparing()) {
    has_reset_ = has_reset_ && link_->status() == 'E';
    return awaits_columns(message);
  }
  prepare();  // it pumps again as soon as the link is ready, which may be now
  return true;
}

void Relay::take(const WireMessage& message) {
  if (!message.first) return take_part(message);
  flushed_ = message.type == request::flush;
  if (is_unit_message(message.type)) begin_repeatable();
  if (repeatable_) {
    unit_.add(message);
    repeatable_ = unit_.bytes() <= repeatable_bytes_max && message.last;
  }
  if (copying_in_) return take_copy(message);
  if (refuse_unhealed(message)) return;
  begin_nesting(message);
  if (begins_extended(message.type)) {
    if (stacked() && !link_->queue().is_open()) guard_unit(std::exchange(local_over_, false));
    begin_request();
    send_begin();
  }
  switch (message.type) {
    case request::query:
      return take_query(message);
    case request::parse:
      return take_parse(message);
    case request::bind:
      return take_bind(message);
    case request::describe:
    case request::close:
      return take_named(message);
    case request::execute:
      return take_execute(message);
    case request::flush:
      extended_ = true;  // its request is the client's to end
      tell_kept();
      return forward(message);
    case request::sync:
      return take_sync();
    case request::function_call:
      return take_function_call(message);
    case request::copy_data:
    case request::copy_done:
    case request::copy_fail:
      return take_copy(message);
    default:
      let_go();
      return end(Error::make(Sqlstate("08P01"),
                             "invalid frontend message type " +
                                 std::to_string(static_cast<unsigned char>(message.type))));
  }
}

void Relay::take_part(const WireMessage& message) {
  if (part_left_ == 0) return;
  link_->out().append(message.body);
  part_left_ -= message.body.size();
  fail_copy();
}

void Relay::forward(const WireMessage& message) {
  append_head(link_->out(), message.type, message.body_bytes);
  link_->out().append(message.body);
  part_left_ = message.body_bytes - message.body.size();
}

void Relay::bind_renamed(const WireMessage& message, const BindNames& names,
                         std::string_view portal, std::string_view statement, Fate fate,
                         std::uint32_t number) {
  if (between_statements_) watch_statement();
  link_->queue().append({.what = Expect::bind,
                         .fate = fate,
                         .index = number,
                         .statement = link_->statements().newest(statement)});
  std::string& out = link_->out();
  append_head(out, request::bind,
              message.body_bytes - names.portal.size() - names.statement.size() + portal.size() +
                  statement.size());
  out.append(portal).push_back('\0');
  out.append(statement).push_back('\0');
  out.append(names.rest);
  part_left_ = message.body_bytes - message.body.size();
}

void Relay::begin_request() {
  if (link_->queue().is_open()) return;
  if (!sent_.empty()) {
    // What the requests before this one have prepared is not sure until they are answered.
    link_->own_statements().doubt_sent();
  } else {
    if (timer_) timer_->disarm();
    if (context_.stack.rooted) begin_limits();
    Duration most = options_.statement_timeout;
    if (transaction_due_ != TimePoint()) {
      const Duration left = transaction_due_ - context_.reactor.now();
      if (most == Duration::zero() || left < most) most = std::max(left, Duration(1));
    }
    if (most > Duration::zero()) arm(most);
    failed_ = answered_ = false;
    sent_at_ = since_ = context_.reactor.now();
  }
  link_->send_owed();
  link_->queue().push({.requester = this, .open = true});
  link_->begin_group();
  for (const std::string& name : link_->statements().take_closable()) {
    FrontendWriter(link_->out()).close_statement(name);
    expect_swallowed(Expect::close);
  }
  if (std::exchange(link_is_new_, false)) close_left_names();
  sent_.push_back({.first_item = first_item_ + static_cast<std::uint32_t>(items_.size())});
}

void Relay::close_request(bool by_sync) { link_->queue().close(by_sync); }

void Relay::expect(Expect what, Fate fate, std::uint32_t number) {
  if (between_statements_) watch_statement();
  const UnitPhase phase = in_query_ ? UnitPhase::prologue : UnitPhase::step;
  link_->queue().append({.what = what, .fate = fate, .phase = phase, .index = number});
}

std::uint32_t Relay::add_item(Item&& added) {
  items_.push_back(std::move(added));
  return first_item_ + static_cast<std::uint32_t>(items_.size()) - 1;
}

// The server is made to refuse something here, and the client is told this error of ours; unless
// its transaction has failed before, and the server says that instead.
// A Query's own is a Query: behind an error the server skips it, with its ReadyForQuery.
// `said`: for a sandbox's log.
void Relay::refuse_here(const Error& error, bool in_failed, std::string_view said) {
  std::string bytes;
  BackendWriter(bytes).error("ERROR", error);
  Item refusal = item_of_bytes(ItemKind::refusal, std::move(bytes));
  refusal.in_failed = in_failed;
  if (context_.sandbox != nullptr) refusal.details().text = said;
  const std::uint32_t number = add_item(std::move(refusal));
  FrontendWriter writer(link_->out());
  if (in_query_) {
    writer.query(refused_text);
    link_->own_statements().unnamed.reset();
  } else {
    writer.parse(refused_name, refused_text, {});
  }
  expect(in_query_ ? Expect::query : Expect::parse, Fate::forward, number);
}

// What goes into the open request comes behind its error: the server will not even look at it.
bool Relay::is_skipped() const { return failed_ && link_->queue().size() == 1; }

void Relay::take_query(const WireMessage& message) {
  std::string_view text;
  std::uint32_t number = 0;
  bool refused = false;
  if (stacked() && extended_ && is_skipped()) return;
  const bool readable = decode_text(message.body, text);
  if (readable) link_->note_sent(text);
  if (readable) note_notifying(text);
  if (stacked() && readable) return begin_query(text);
  if (rules_.nested) erase_portal("");
  const bool ordinary = begin_due_ == BeginDue::due;  // else its BEGIN would have gone first
  const ScriptRef script = readable && !ordinary ? look_at(text) : nullptr;
  if (script) own_names_ahead(*script);
  begin_request();
  sent_.back().extended = sent_.back().extended || extended_;
  ScriptRef seen = script ? seen_through(script) : nullptr;
  if (seen) {
    in_query_ = true;
    refused = !may_run(*seen);
    if (refused) number = first_item_ + static_cast<std::uint32_t>(items_.size()) - 1;
  }
  if (seen && !refused) {
    // Behind a statement that is put in front of it, an error would skip the next ones too.
    const bool waits = own_names(*script) || std::ranges::any_of(seen->statements, holds_back);
    number = add_item({.kind = ItemKind::query, .script = std::move(seen)});
    if (waits && !is_skipped()) copy_awaited_ = number;
    const sql::SessionCalls calls =
        options_.group != 0 ? sql::find_session_calls(text) : sql::SessionCalls();
    if (!calls.empty()) item(number).details().calls = calls_made(calls, nullptr);
  }
  in_query_ = false;
  // Also if there is none now: a request that is not answered may be skipped and have dropped it.
  if (unnamed_ || awaits_unnamed(items_.size())) {
    if (number == 0) number = add_item({.kind = ItemKind::query});
    item(number).unnamed = true;
    item(number).was_there = has_unnamed();
    item(number).before = std::move(unnamed_);
    unnamed_.reset();
  }
  if (!refused) forward_query(message, number);
  link_->own_statements().unnamed.reset();
  extended_ = false;
  close_request(false);
}

}  // namespace based::postgres
