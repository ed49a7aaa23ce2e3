// The Relay's names of prepared statements: when it is known what they stand for, and when what
// they stand for has to be on the link.
#include <algorithm>

#include "backends/postgres/relay.h"
#include "backends/sql/control.h"
#include "backends/sql/ordinary.h"
#include "backends/sql/session_calls.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

constexpr unsigned executes_max = 8;  // of an EXECUTE that executes an EXECUTE

// Has it values for all that was declared, and no more? Where nothing was, the server does not look
// at them; what it finds in the text itself is not known here.
bool has_values(const Statement& execute, const PreparedText& executed) {
  if (executed.types.empty()) return true;
  const std::size_t values = sql::count_executed_values(execute.text);
  const bool undeclared = executed.text.find('$') != std::string::npos;
  return undeclared ? values >= executed.types.size() : values == executed.types.size();
}

bool names_statement(char type) {
  return type == request::query || type == request::parse || type == request::bind ||
         type == request::describe || type == request::close;
}

// Will it make or drop the statement of this name; empty: one of any name?
bool changes_name(const Item& item, std::string_view name) {
  if (item.done) return false;
  if (item.kind == ItemKind::parse || item.kind == ItemKind::close) {
    return !item.name().empty() && (name.empty() || item.name() == name);
  }
  const ScriptRef& script = item.prepared ? item.prepared->script : item.script;
  return script != nullptr && std::ranges::any_of(script->statements, [](const auto& statement) {
           return statement->kind == StatementKind::prepare ||
                  statement->kind == StatementKind::discard;
         });
}

// Has it a transaction with modes, which the server takes only before anything was parsed in it,
// and names of statements?
bool goes_behind_names(const Script& script) {
  const auto has_modes = [](const StatementRef& s) {
    const bool begins =
        s->kind == StatementKind::begin || s->kind == StatementKind::set_transaction;
    return begins && (s->begin.isolation != BeginOptions::Isolation::unset ||
                      s->begin.access != BeginOptions::Access::unset ||
                      s->begin.deferrable != BeginOptions::Deferrable::unset);
  };
  const auto names = [](const StatementRef& s) {
    return s->kind == StatementKind::prepare || !s->executes.empty();
  };
  return std::ranges::any_of(script.statements, has_modes) &&
         std::ranges::any_of(script.statements, names);
}

// What PREPARE has prepared, where an EXECUTE of it pins its session; null: it does not. What else
// such a text does to the settings of a sandbox (`rooted`), note_taint() looks for in the PREPARE.
ScriptRef body_to_see(sql::StatementTable& texts, std::string_view prepare, bool rooted) {
  const std::string_view body = sql::prepared_body(prepare);
  const Result<ScriptRef> script = texts.intern(body, ParameterStyle::verbatim);
  if (!script || (*script)->statements.size() != 1) return nullptr;
  const bool pins = (*script)->statements.front()->kind == StatementKind::pinning;
  return pins && !(rooted && !sql::find_session_calls(body).empty()) ? *script : nullptr;
}

// The same of a PREPARE of this name in front of script.statements[before].
ScriptRef body_before(const Script& script, std::size_t before, std::string_view name,
                      sql::StatementTable& texts, bool rooted) {
  for (std::size_t i = before; i-- > 0;) {
    const Statement& earlier = *script.statements[i];
    const bool prepares = earlier.kind == StatementKind::prepare && earlier.setting == "prepare";
    if (prepares && earlier.name == name) return body_to_see(texts, earlier.text, rooted);
  }
  return nullptr;
}

}  // namespace

bool executes(const Statement& statement) {
  return statement.kind == StatementKind::prepare && statement.setting == "execute";
}

// The script with what each EXECUTE does in the EXECUTE's place: a statement that PostgreSQL's
// protocol has prepared may be a SET as well as a SELECT.
ScriptRef Relay::seen_through(const ScriptRef& script) const {
  const auto executed_by = [&](const Statement& statement, std::size_t at) -> StatementRef {
    const bool alone = executes(statement);
    const std::string& name = alone ? statement.name : statement.executes;
    ScriptRef body = body_before(*script, at, name, context_.texts, rules_.rooted);
    if (!body) {
      const PreparedRef* prepared = find_prepared(name);
      if (prepared == nullptr) return nullptr;
      if (alone && !has_values(statement, **prepared)) return nullptr;  // which the server says
      body = (*prepared)->script;
    }
    return body && body->statements.size() == 1 ? body->statements.front() : nullptr;
  };
  std::shared_ptr<Script> seen;
  for (std::size_t i = 0; script && i < script->statements.size(); ++i) {
    StatementRef statement = script->statements[i];
    for (unsigned depth = 0; depth < executes_max && executes(*statement); ++depth) {
      StatementRef executed = executed_by(*statement, i);
      if (executed == nullptr) break;
      statement = std::move(executed);
    }
    // An EXPLAIN or CREATE TABLE AS of it is itself, but for what pins.
    if (!statement->executes.empty() && statement->kind != StatementKind::pinning) {
      StatementRef executed = executed_by(*statement, i);
      const bool pins = executed != nullptr && executed->kind == StatementKind::pinning;
      if (pins) statement = std::move(executed);
    }
    if (statement == script->statements[i]) continue;
    if (!seen) seen = std::make_shared<Script>(*script);
    seen->statements[i] = std::move(statement);
  }
  return seen ? seen : script;
}

PreparedRef Relay::seen_through(const PreparedRef& text) const {
  ScriptRef seen = seen_through(text->script);
  if (seen == text->script) return text;
  auto made = std::make_shared<PreparedText>(*text);
  made->script = std::move(seen);
  return made;
}

// What the name of a statement stands for depends on requests that are not answered: they parse or
// close it, or have a PREPARE, DEALLOCATE or DISCARD in them. REQUIRES flowing.
bool Relay::awaits_name(const WireMessage& message) const {
  if (!message.first || !names_statement(message.type)) return false;
  const bool open = link_->queue().is_open();
  if (link_->queue().size() <= (open ? 1U : 0U)) return false;
  const std::size_t earlier = open ? sent_.back().first_item - first_item_ : items_.size();
  std::string_view name = message.body;
  switch (message.type) {
    case request::query: {
      const std::string_view text = name.substr(0, name.find('\0'));
      if (sql::is_ordinary(text)) return false;
      if (awaits_any_name(earlier)) return true;
      const ScriptRef script = look_at(text);
      return script && goes_behind_names(*script);
    }
    case request::parse:
      break;
    case request::bind:
      name.remove_prefix(std::min(name.size(), name.find('\0') + 1));  // of the portal
      break;
    case request::describe:
    case request::close:
      if (!name.starts_with('S')) return false;
      name.remove_prefix(1);
      break;
    default:
      return false;
  }
  name = name.substr(0, name.find('\0'));
  if (message.type == request::parse) {
    // Whether the transaction has failed decides over one that the server has no need of.
    if (!name.empty()) return true;
    const std::string_view text = std::string_view(message.body).substr(1);
    return !sql::is_ordinary(text.substr(0, text.find('\0'))) && awaits_any_name(earlier);
  }
  if (message.type == request::bind) {
    const PreparedRef* prepared = name.empty() ? &unnamed_ : find_prepared(name);
    if (prepared != nullptr && *prepared && (*prepared)->script && awaits_any_name(earlier)) {
      return true;
    }
  }
  if (name.empty()) {
    const bool uses = message.type == request::bind || message.type == request::describe;
    return uses && awaits_unnamed(earlier);
  }
  return std::any_of(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(earlier),
                     [name](const Item& item) { return changes_name(item, name); });
}

bool Relay::awaits_any_name(std::size_t earlier) const {
  return std::any_of(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(earlier),
                     [](const Item& item) { return changes_name(item, {}); });
}

// The client's own name for a statement of the link's, which may be closed behind what is answered.
std::string Relay::name_told_for(std::string_view on_server) const {
  const StatementCache::Entry* entry = link_->statements().named(on_server);
  // It may be forgotten, where something before it has failed.
  const auto sent = std::ranges::find(items_, on_server, &Item::on_server);
  const auto is = [&](const PreparedText& own) {
    if (sent != items_.end() && sent->prepared) {
      return own.text == sent->prepared->text && own.types == sent->prepared->types;
    }
    return entry != nullptr && own.text == entry->text && own.types == entry->types;
  };
  for (const Item& made : items_) {
    if (made.kind == ItemKind::close && made.prepared && is(*made.prepared)) {
      return std::string(made.name());
    }
  }
  for (const auto& [name, own] : prepared_) {
    if (is(*own)) return name;
  }
  return unnamed_ && unnamed_->unasked ? "" : "unknown";
}

// What a text has to find on the link and cannot be put there in its own transaction, in a request
// of its own. Where that fails, the text does not find it.
void Relay::own_names_ahead(const Script& script) {
  if (!sent_.empty() || link_->queue().is_open() || link_->status() != 'I') return;
  if (!goes_behind_names(script)) return;
  link_->send_owed();
  link_->queue().push({.open = true});
  own_names(script);
  FrontendWriter(link_->out()).sync();
  link_->queue().close(true);
}

void Relay::note_prepare(const StatementRef& statement, std::string_view tag) {
  auto& there = link_->own_statements().named;
  if (tag == "PREPARE") {
    const auto text = std::make_shared<const PreparedText>(
        PreparedText{.text = statement->text,
                     .types = {},
                     .script = body_to_see(context_.texts, statement->text, rules_.rooted),
                     .from_sql = true});
    prepared_[statement->name] = text;
    there[statement->name] = {.text = text};
  } else if (tag == "DEALLOCATE") {
    prepared_.erase(statement->name);
    there.erase(statement->name);
  } else if (tag == "DEALLOCATE ALL") {
    note_all_dropped();
  }
}

}  // namespace based::postgres
