// The Relay's prepared statements: the client's names, and where the link has them.
#include <algorithm>
#include <set>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_replies.h"
#include "backends/postgres/split_text.h"
#include "backends/postgres/wire_stack_text.h"
#include "backends/sql/control.h"
#include "backends/sql/ordinary.h"
#include "backends/sql/sandbox_form.h"
#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

// Of a Parse in place of the client's, which the link does not need.
constexpr std::string_view shown_name = "_based_shown";

Error too_many_prepared() {
  return Error::make(sqlstate::configuration_limit_exceeded,
                     "the session has too many prepared statements")
      .with_hint("Close some, or raise prepared_statements.");
}

bool decides_settings(const Statement& statement) {
  if (statement.sets_local) return true;
  switch (statement.kind) {
    case StatementKind::setting:
    case StatementKind::set_transaction:
    case StatementKind::discard:
    case StatementKind::rollback:
    case StatementKind::rollback_to:
    case StatementKind::commit:
      return true;
    default:
      return false;
  }
}

// Of Based's own.
bool step_decides_settings(const Statement& step) {
  return step.kind == StatementKind::rollback_to || step.kind == StatementKind::setting ||
         (step.kind == StatementKind::set_transaction && !step.name.empty());
}

// What does not, never will.
bool decides_settings(const Item& item) {
  if (item.done || item.kind == ItemKind::parse) return false;
  const auto steps = [](const StatementRef& step) { return step_decides_settings(*step); };
  if (item.control && std::ranges::any_of(item.control->plan.steps, steps)) return true;
  const ScriptRef& script = item.prepared ? item.prepared->script : item.script;
  const auto decides = [](const StatementRef& statement) { return decides_settings(*statement); };
  return script && std::ranges::any_of(script->statements, decides);
}

}  // namespace

void Relay::take_parse(const WireMessage& message) {
  const bool begins = !std::exchange(extended_, true);
  ParseRequest parse;
  if (!decode_parse(message.body, parse)) {
    expect(Expect::parse);
    return forward(message);
  }
  if (parse.statement.empty() && begins && prepare_unasked(parse)) return;
  if (parse.statement.empty() && is_unnamed(parse)) {
    unnamed_sent_ = unnamed_sent_ || !has_unnamed();
    link_->own_statements().unnamed = unnamed_;
    expect(Expect::parse);
    return forward(message);
  }
  link_->note_sent(parse.text);
  if (rules_.rooted) {
    if (const auto refusal = unreadable(context_.texts, parse.text)) {
      expect_check(parse.text);
      return refuse_here(*refusal);
    }
  }
  auto text = std::make_shared<PreparedText>(PreparedText{.text = std::string(parse.text),
                                                          .types = std::move(parse.types),
                                                          .script = look_at(parse.text)});
  text->reads = sql::begins_with_select(parse.text);
  if (stacked()) note_control_text(*text);
  if (rules_.rooted && is_parsed_by_snapshot(parse.text)) stack_.note_snapshot();
  if (text->script) sql::use_sandbox_forms(*text->script, text->text);
  if (rules_.rooted || options_.group != 0) text->calls = sql::find_session_calls(text->text);
  if (text->script) {
    own_names(*text->script);
    text->executes = executed_by(*text->script);
  }
  if (text->control) {
    std::string notices = noticed_names(*text->script->statements.front());
    if (!notices.empty()) reply_here(std::move(notices));
    if (refuse_failed_control(*text)) return;
  }
  if (!parse.statement.empty()) return take_named_parse(parse, text);
  if (text->control) {
    return expect(Expect::parse, Fate::synthesise,
                  replace_unnamed(ItemKind::parse, std::move(text)));
  }
  expect(Expect::parse, Fate::forward, replace_unnamed(ItemKind::parse, text));
  link_->own_statements().unnamed = text;
  if (text->text == parse.text) return forward(message);
  FrontendWriter(link_->out()).parse("", text->text, text->types);
}

void Relay::take_named_parse(const ParseRequest& parse, const std::shared_ptr<PreparedText>& text) {
  const std::string name(parse.statement);
  if (prepared_.contains(name)) {
    return refuse_here(
        Error::make(Sqlstate("42P05"), "prepared statement \"" + name + "\" already exists"));
  }
  if (context_.prepared_max > 0 && prepared_.size() >= context_.prepared_max) {
    return refuse_here(too_many_prepared());
  }
  prepared_[name] = text;
  Item made = item_named(ItemKind::parse, name);
  made.prepared = text;
  StatementCache& cache = link_->statements();
  if (text->control) return expect(Expect::parse, Fate::synthesise, add_item(std::move(made)));
  // In a failed transaction the server is to say so.
  const std::string settings = text->parsed_under = settings_key();
  if (cache.find_current(text->text, text->types, settings) != nullptr && link_->status() != 'E') {
    if (std::exchange(sent_.back().limited, false)) {  // what that has changed, a Parse shows
      FrontendWriter(link_->out()).parse(shown_name, "", {});
      expect_swallowed(Expect::parse);
      FrontendWriter(link_->out()).close_statement(shown_name);
      expect_swallowed(Expect::close);
    }
    return expect(Expect::parse, Fate::synthesise, add_item(std::move(made)));
  }
  const std::string& on_server = made.detail->on_server = name_for(text, settings);
  FrontendWriter(link_->out()).parse(on_server, text->text, text->types);
  if (on_server.empty()) link_->own_statements().unnamed.reset();
  expect(Expect::parse, Fate::forward, add_item(std::move(made)));
}

// A new name on the server for a statement that the link lacks; empty where there is no room for
// one: then it is parsed without a name, each time.
std::string_view Relay::name_for(const PreparedRef& text, std::string_view settings) {
  StatementCache& cache = link_->statements();
  if (cache.full()) {
    if (const std::optional<std::string> evicted = cache.evict()) cache.close_later(*evicted);
  }
  const StatementCache::Entry* entry = cache.add(text->text, text->types, settings);
  return entry == nullptr ? std::string_view() : std::string_view(entry->name);
}

// The settings that a statement is parsed under; where requests that are not answered decide over
// them, a key that nothing else has.
std::string Relay::settings_key() {
  bool sure = link_->queue().size() == (link_->queue().is_open() ? 1U : 0U) || !journal_.in_doubt();
  // What has passed once stays so: a unit of many statements asks for each of them.
  while (passed_items_ < items_.size() && !decides_settings(items_[passed_items_])) ++passed_items_;
  sure = sure && passed_items_ == items_.size();
  sure = sure || is_in_failed();  // in a failed transaction nothing is parsed
  const std::optional<std::string> local = link_->settings().literals_key();
  if (!sure || !local) return "?" + std::to_string(++context_.unsure_keys);
  return journal_.fingerprint() + *local;
}

const PreparedRef* Relay::find_prepared(std::string_view name) const {
  const auto found = prepared_.find(name);
  return found == prepared_.end() ? nullptr : &found->second;
}

// The name under which the link has the statement; it is parsed first where the link lacks it.
std::string_view Relay::name_on_link(const PreparedRef& text, std::string_view settings) {
  StatementCache& cache = link_->statements();
  if (const auto* entry = cache.find(text->text, text->types, settings)) return entry->name;
  const std::string_view name = name_for(text, settings);
  FrontendWriter(link_->out()).parse(name, text->text, text->types);
  if (name.empty()) link_->own_statements().unnamed.reset();
  Item made{.kind = ItemKind::placed, .done = true, .prepared = text};
  made.details().on_server = name;
  expect(Expect::parse, Fate::forward, add_item(std::move(made)));
  return name;
}

// The server describes a statement without rows as it was parsed, whatever its text means by now.
std::string_view Relay::name_to_describe(const PreparedRef& text) {
  StatementCache& cache = link_->statements();
  const std::string settings = settings_key();
  if (cache.find(text->text, text->types, settings) == nullptr) {
    const auto* entry = cache.find(text->text, text->types, text->parsed_under);
    if (entry != nullptr) return entry->name;
  }
  return name_on_link(text, settings);
}

// Before a text or message that uses a name as it is: the link has this session's statement of that
// name, or none.
void Relay::own_name(std::string_view name) {
  auto& there = link_->own_statements().named;
  const auto found = there.find(name);
  const PreparedRef* prepared = find_prepared(name);
  if (found != there.end()) {
    if (prepared != nullptr && found->second.text == *prepared) return;
    FrontendWriter(link_->out()).close_statement(name);
    expect_swallowed(Expect::close);
    found->second = {.text = nullptr, .closed = true};
  }
  // Nothing can be made in a failed transaction. What uses the name behind its end, in one text,
  // finds none.
  if (prepared == nullptr || is_in_failed()) return;
  if ((*prepared)->from_sql) {
    run_swallowed((*prepared)->text);
  } else {
    FrontendWriter(link_->out()).parse(name, (*prepared)->text, (*prepared)->types);
    expect_swallowed(Expect::parse);
  }
  there[std::string(name)] = {.text = *prepared};
}

// Is what comes next in a failed transaction, as far as can be known? What was sent before it may
// end that.
bool Relay::is_in_failed() const {
  if (link_->status() != 'E') return false;
  if (stacked()) return stack_.status() == 'E';
  return std::ranges::none_of(items_, [](const Item& made) {
    if (made.done || made.kind != ItemKind::execute || !made.prepared->script) return false;
    return std::ranges::any_of(made.prepared->script->statements,
                               [](const StatementRef& s) { return runs_in_failed(*s); });
  });
}

// Before a PREPARE, which the server is to refuse where the session has a statement of that name,
// and before a DEALLOCATE of it: whether it can still be parsed is nothing to either.
void Relay::take_name(std::string_view name) {
  const PreparedRef* prepared = find_prepared(name);
  if (prepared == nullptr || is_in_failed()) return own_name(name);
  auto& there = link_->own_statements().named;
  const auto found = there.find(name);
  if (found != there.end()) {
    if (found->second.text == *prepared) return;
    FrontendWriter(link_->out()).close_statement(name);
    expect_swallowed(Expect::close);
  }
  FrontendWriter(link_->out()).parse(name, "", {});
  expect_swallowed(Expect::parse);
  there[std::string(name)] = {};
}

// In a failed transaction nothing can be prepared, so what the link lacks is refused: the server
// would do so, but where a statement without rows is described.
bool Relay::refuse_in_failed(std::string_view name, const PreparedRef* prepared) {
  if (prepared == nullptr || !(*prepared)->from_sql || !is_in_failed()) return false;
  const auto& there = link_->own_statements().named;
  const auto found = there.find(name);
  if (found != there.end() && found->second.text == *prepared) return false;
  refuse_here(Error::make(Sqlstate("25P02"),
                          "current transaction is aborted, commands ignored until end of "
                          "transaction block"));
  return true;
}

// The server does describe what has no rows. The link may lack it, and in a failed transaction, or
// where its table is gone, it cannot be parsed again.
bool Relay::describe_without_rows(const PreparedRef* prepared) {
  if (prepared == nullptr || !*prepared) return false;
  const bool lacks = prepared == &unnamed_ && !unnamed_->unasked && !has_unnamed() &&
                     !awaits_unnamed(items_.size());
  if (!lacks && !is_in_failed()) return false;
  if (!describes_nothing((*prepared)->text)) return false;
  std::string bytes;
  BackendWriter(bytes).parameter_description((*prepared)->types);
  reply_here(bytes.append("n\0\0\0\4", 5));
  return true;
}

// A statement of the session's, without its knowledge; its portals stay as they are.
void Relay::run_swallowed(std::string_view text) {
  FrontendWriter writer(link_->out());
  writer.parse("", text, {});
  writer.begin_bind("_based", "", {});
  writer.end_bind();
  writer.execute("_based", 0);
  writer.close_portal("_based");
  for (const Expect what : {Expect::parse, Expect::bind, Expect::execute, Expect::close}) {
    expect_swallowed(what);
  }
  link_->own_statements().unnamed.reset();
}

// What an EXECUTE finds behind a PREPARE or DEALLOCATE of its name is that one's matter.
bool Relay::own_names(const Script& script) {
  const std::size_t before = link_->out().size();
  std::set<std::string_view> changed;
  for (const StatementRef& statement : script.statements) {
    const bool names = statement->kind == StatementKind::prepare && !statement->name.empty();
    const bool runs = names && executes(*statement);
    const std::string& run = runs ? statement->name : statement->executes;
    if (!run.empty() && !changed.contains(run)) own_name(run);
    if (!names || runs) continue;
    take_name(statement->name);
    changed.insert(statement->name);
  }
  return link_->out().size() != before;
}

// What a session keeps only so much of. SQL's PREPARE fills the same table as Parse.
bool Relay::refuse_more(const Script& script) {
  if (refuse_listen(&script)) return true;
  if (const std::optional<Error> full = journal_.refuse_more(script.statements)) {
    refuse_here(*full);
    return true;
  }
  if (context_.prepared_max == 0) return false;
  const auto more = std::ranges::count_if(script.statements, [this](const StatementRef& s) {
    return s->kind == StatementKind::prepare && s->setting == "prepare" &&
           !prepared_.contains(s->name);
  });
  if (more == 0 || prepared_.size() + static_cast<std::size_t>(more) <= context_.prepared_max) {
    return false;
  }
  refuse_here(too_many_prepared());
  return true;
}

// Before each run. False: it was refused.
bool Relay::may_run(const Script& script) {
  if (refuse_more(script) || !pin(script)) return false;
  for (const StatementRef& statement : script.statements) {
    if (!statement->makes.empty()) link_->note_sent(*statement);
  }
  return true;
}

// What sessions have left on the link under names of their own, where that is more than a link
// keeps. Who comes back makes it again.
void Relay::close_left_names() {
  auto& there = link_->own_statements().named;
  if (there.size() <= link_->statements().entries_max()) return;
  for (auto& [name, left] : there) {
    const PreparedRef* own = find_prepared(name);
    if (own != nullptr && left.text == *own) continue;
    FrontendWriter(link_->out()).close_statement(name);
    expect_swallowed(Expect::close);
    left = {.text = nullptr, .closed = true};
  }
}

// Of those that its transaction has left open, with what they were bound to.
bool Relay::refuse_portal(std::string_view name) {
  const bool more = std::max(portals_.size(), open_portals_.size()) >= portals_max;
  if (!portal_calls_.full() && (!more || portals_.contains(name))) return false;
  refuse_here(too_many_portals());
  return true;
}

void Relay::erase_portal(std::string_view name) {
  portal_calls_.erase(name);
  const auto found = portals_.find(name);
  if (found != portals_.end()) portals_.erase(found);
}

void Relay::take_close_statement(const WireMessage& message, std::string_view name) {
  if (name.empty()) {
    expect(Expect::close, Fate::forward, replace_unnamed(ItemKind::close, nullptr));
    link_->own_statements().unnamed.reset();
    return forward(message);
  }
  const auto found = prepared_.find(name);
  Item made = item_named(ItemKind::close, name);
  if (found != prepared_.end()) {
    made.prepared = std::move(found->second);
    prepared_.erase(found);
  }
  // Where the link has it under this very name, it goes.
  const auto there = link_->own_statements().named.find(name);
  if (there != link_->own_statements().named.end()) {
    there->second = {.text = nullptr, .closed = true};
    expect(Expect::close, Fate::forward, add_item(std::move(made)));
    return forward(message);
  }
  expect(Expect::close, Fate::synthesise, add_item(std::move(made)));
}

// --- what SQL's PREPARE and DEALLOCATE have done

void Relay::note_all_dropped() {
  prepared_.clear();
  link_->forget_statements();
}

// What Based has to know of a text; null: nothing.
ScriptRef Relay::look_at(std::string_view text) const {
  if (sql::is_ordinary(text) && !(stacked() && may_ask_setting(text))) return nullptr;
  const Result<ScriptRef> script = context_.texts.intern(text, ParameterStyle::verbatim);
  if (!script) return nullptr;  // the server will say what is wrong with it
  const bool matters = std::ranges::any_of((*script)->statements, [this](const StatementRef& s) {
    if (!s->executes.empty()) return true;
    if (!s->makes.empty()) return true;
    switch (s->kind) {
      case StatementKind::read:
        return s->sets_local || (stacked() && stack_.is_control(*s));
      case StatementKind::empty:
      case StatementKind::write:
        return s->sets_local;
      case StatementKind::definition:  // in a sandbox it may be of a temporary table
        return s->sets_local || rules_.rooted;
      case StatementKind::standalone:
        return stacked();
      case StatementKind::other:
        return s->may_copy || stacked();
      default:
        return true;
    }
  });
  return matters ? *script : nullptr;
}

}  // namespace based::postgres
