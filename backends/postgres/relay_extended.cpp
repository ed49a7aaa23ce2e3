// The Relay's extended protocol, behind Parse: Bind, Describe, Close, Execute and Sync.
#include <algorithm>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/wire_stack_text.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {

void Relay::take_bind(const WireMessage& message) {
  extended_ = true;
  const bool other_columns = columns_.take_difference();
  BindNames names;
  const bool readable = decode_bind_names(message.body, names);
  const PreparedRef* prepared = nullptr;
  if (readable && names.statement.empty()) {
    prepared = unnamed_ ? &unnamed_ : nullptr;
    if (prepared != nullptr && (*prepared)->script) own_names(*(*prepared)->script);
    if (!unnamed_ || !unnamed_->control) inject_unnamed();
  } else if (readable) {
    prepared = find_prepared(names.statement);
    if (refuse_in_failed(names.statement, prepared)) return;
    if (prepared != nullptr && (*prepared)->script) own_names(*(*prepared)->script);
    if (prepared == nullptr || (*prepared)->from_sql) own_name(names.statement);
  }
  if (refuse_portal(names.portal)) return;
  if (prepared != nullptr) note_notifying((*prepared)->text);
  const bool controls = prepared != nullptr && (*prepared)->control;
  const bool snapshot = rules_.rooted && prepared != nullptr && !controls;
  if (snapshot && is_parsed_by_snapshot((*prepared)->text)) stack_.note_snapshot();
  const bool named = !names.statement.empty() || (prepared != nullptr && (*prepared)->unasked);
  const bool renamed = prepared != nullptr && named && !(*prepared)->from_sql && !controls;
  const std::string settings = renamed ? settings_key() : std::string();
  if (renamed && other_columns) return refuse_columns();
  note_bound(names.portal, !names.statement.empty() && !controls ? prepared : nullptr);
  const std::string_view name = renamed ? name_on_link(*prepared, settings) : std::string_view();
  if (renamed) columns_.on_link = name;
  unit_wrote_ = unit_wrote_ || prepared == nullptr || !(*prepared)->reads;
  if (prepared != nullptr && !controls && is_taken(names, false)) {
    if (message.whole()) try_bind(message, names, renamed ? name : names.statement);
    return refuse_here(taken_error(names.portal));
  }
  if (controls) return bind_control(names, *prepared);
  if (prepared != nullptr && ((*prepared)->script || context_.sandbox != nullptr)) {
    portals_[std::string(names.portal)] = seen_through(*prepared);
    if (!(*prepared)->calls.empty()) {
      portal_calls_.set(names.portal, calls_made((*prepared)->calls, &message));
    }
  } else {
    erase_portal(names.portal);
  }
  std::uint32_t number = 0;
  if (rules_.rooted && !names.portal.empty() && open_portals_.emplace(names.portal).second) {
    stack_.note_portal();
    number = add_item(item_named(ItemKind::bind, names.portal));
  }
  if (names.portal.empty()) own_portal_ = false;
  if (renamed) return bind_renamed(message, names, names.portal, name, Fate::forward, number);
  expect(Expect::bind, Fate::forward, number);
  forward(message);
}

void Relay::take_named(const WireMessage& message) {
  extended_ = true;
  NamedRequest named;
  const bool closes = message.type == request::close;
  const bool readable = decode_named(message.body, named);
  if (readable && stacked() && answer_for_control(named, closes)) return;
  if (readable && named.what == 'S') {
    if (closes) return take_close_statement(message, named.name);
    if (describe_without_rows(named.name.empty() ? &unnamed_ : find_prepared(named.name))) return;
    const bool unasked = named.name.empty() && unnamed_ && unnamed_->unasked;
    if (named.name.empty() && !unasked) {
      // What an EXECUTE executes is looked at.
      if (unnamed_ && unnamed_->script) own_names(*unnamed_->script);
      inject_unnamed();
    } else {
      const PreparedRef* prepared = unasked ? &unnamed_ : find_prepared(named.name);
      if (refuse_in_failed(named.name, prepared)) return;
      if (prepared != nullptr && !(*prepared)->from_sql) {
        if ((*prepared)->script) own_names(*(*prepared)->script);
        const std::string_view name = name_to_describe(*prepared);
        if (!unasked) return describe_named(*prepared, name, false);
        expect(Expect::describe_statement);
        return FrontendWriter(link_->out()).describe_statement(name);
      }
      own_name(named.name);
    }
    expect(Expect::describe_statement);
  } else if (closes) {
    std::uint32_t number = 0;
    if (readable) erase_portal(named.name);
    const auto open = readable ? open_portals_.find(named.name) : open_portals_.end();
    if (open != open_portals_.end()) {
      open_portals_.erase(open);
      number = add_item(item_named(ItemKind::close, named.name));
      item(number).was_there = true;
    }
    expect(Expect::close, Fate::forward, number);
  } else {
    if (readable && named.name.empty()) close_own_portal();
    const bool portal = readable && named.what == 'P';
    expect(portal ? Expect::describe_portal : Expect::describe_statement, Fate::forward,
           portal ? note_described(named.name) : 0);
  }
  forward(message);
}

void Relay::take_execute(const WireMessage& message) {
  extended_ = true;
  ExecuteRequest execute;
  std::uint32_t number = 0;
  bool waits = false;
  if (!portals_.empty() && decode_execute(message.body, execute)) {
    const auto found = portals_.find(execute.portal);
    if (found != portals_.end()) {
      const PreparedRef text = found->second;
      if (is_control(*text)) return execute_control(execute, text);
      if (stacked() && refuse_what_cannot(text->script, text->text)) return;
      if (rules_.rooted && !text->script) context_.leases.note_text(text->text);
      if (text->script) own_names(*text->script);  // they may be prepared since it was bound
      if (text->script && !may_run(*text->script)) return;
      const bool hears = rules_.rooted || options_.group != 0;
      const auto* calls = hears ? portal_calls_.find(execute.portal) : nullptr;
      if (calls != nullptr && text->calls.empty()) calls = nullptr;
      if (calls != nullptr) {
        if (const auto full = journal_.refuse_more(*calls)) return refuse_here(*full);
      }
      waits = text->script && std::ranges::any_of(text->script->statements, holds_back);
      number = add_item({.kind = ItemKind::execute, .prepared = text});
      link_->definitions().note_executed(text->text);
      if (calls != nullptr) item(number).details().calls = *calls;
      if (rules_.rooted) {
        if (execute.rows_max > 0) item(number).details().bytes = rows_tag(execute.rows_max);
        note_taint(text->calls, item(number).calls());
        local_set_ = local_set_ || !text->calls.empty();
        if (text->script) {
          note_taint(*text->script);
          note_sent(*text->script);
        }
      }
    }
  }
  if (message.body.starts_with('\0')) close_own_portal();
  if (columns_.bound) note_executed(message.body.substr(0, message.body.find('\0')));
  forget_begun(message);
  if (!message.body.ends_with(std::string_view("\0\0\0\0", 4))) sent_.back().limited = true;
  expect(Expect::execute, Fate::forward, number);
  forward(message);
  waits = waits && !is_skipped();
  if (waits) copy_awaited_ = number;
  // A limit is for each: the server says at once when this one is over.
  if (waits || limit_set_ || limit_of("statement_timeout") > Duration::zero()) {
    FrontendWriter(link_->out()).flush();
  }
}

void Relay::take_sync() {
  begin_request();
  let_guard_go();
  FrontendWriter(link_->out()).sync();
  extended_ = false;
  close_request(true);
}

}  // namespace based::postgres
