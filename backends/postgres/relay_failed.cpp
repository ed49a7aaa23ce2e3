// The Relay of a client whose transaction has failed in a sandbox, and has given its turn back.
//
// Nothing is left of the transaction but the client's duty to end it, and the turn may be somebody
// else's for long. So its end is answered here, and everything else is refused here, until then; by
// the server only where nobody has or wants the turn.
// What needs the server all the same (ROLLBACK with more behind it, AND CHAIN) waits for a turn,
// and finds itself in a failed transaction there. What its unit has behind an end that was answered
// here waits for one, too.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/sql/tokenizer.h"
#include "protocol/postgres/backend_writer.h"

namespace based::postgres {
namespace {

Error aborted_error() {
  return Error::make(
      sqlstate::in_failed_sql_transaction,
      "current transaction is aborted, commands ignored until end of transaction block");
}

Error alone_error() {
  return Error::make(sqlstate::feature_not_supported,
                     "the end of a failed transaction is sent by itself, with its Sync");
}

Error no_savepoint_error(const std::string& name) {
  return Error::make(sqlstate::invalid_savepoint, "savepoint \"" + name + "\" does not exist");
}

Error no_portal_error(std::string_view name) {
  return Error::make(Sqlstate("34000"), "portal \"" + std::string(name) + "\" does not exist");
}

Error no_statement_error(std::string_view name) {
  return Error::make(Sqlstate("26000"), name.empty() ? "unnamed prepared statement does not exist"
                                                     : "prepared statement \"" + std::string(name) +
                                                           "\" does not exist");
}

// The portal that is described or executed.
std::optional<std::string> portal_asked(const WireMessage& message) {
  ExecuteRequest execute;
  NamedRequest named;
  if (message.type == request::execute && decode_execute(message.body, execute)) {
    return std::string(execute.portal);
  }
  const bool describes = message.type == request::describe && decode_named(message.body, named);
  if (!describes || named.what != 'P') return std::nullopt;
  return std::string(named.name);
}

// What a failed transaction says. Its portals are there until its end, though no link has them; the
// one without a name is replaced again and again, by simple queries, too.
Error failed_error(const WireMessage& message, bool failed, const NameMap& portals) {
  if (!failed) return alone_error();
  const std::optional<std::string> portal = portal_asked(message);
  if (portal && !portal->empty() && !portals.contains(*portal)) return no_portal_error(*portal);
  return aborted_error();
}

bool is_end_of_transaction(const ScriptRef& script) {
  return ControlBatch::is_one(ControlBatch::Kind::end, script);
}

// PostgreSQL runs an empty text even in a failed transaction: there is nothing to refuse.
bool is_empty(std::string_view text) {
  sql::Tokenizer tokens(text, Dialect::postgres);
  sql::Token token = tokens.next();
  while (token.kind == sql::TokenKind::semicolon) token = tokens.next();
  return token.kind == sql::TokenKind::end;
}

bool brings_empty(const WireMessage& message) {
  std::string_view text;
  ParseRequest parse;
  if (!message.whole()) return false;
  if (message.type == request::query) return decode_text(message.body, text) && is_empty(text);
  return message.type == request::parse && decode_parse(message.body, parse) &&
         is_empty(parse.text);
}

bool is_statement_message(char type) {
  return type == request::query || type == request::parse || type == request::bind ||
         type == request::sync || type == request::close;
}

constexpr std::string_view parsed("1\0\0\0\4", 5);
constexpr std::string_view bound("2\0\0\0\4", 5);
constexpr std::string_view nothing_run("I\0\0\0\4", 5);
constexpr std::string_view no_columns("n\0\0\0\4", 5);

}  // namespace

// Is it answered without a link? Then the state says how.
bool Relay::answers_failed(const WireMessage& message) {
  if (!lost_ || loss_ || !rules_.rooted || !message.first) return false;
  if (const std::optional<std::string> portal = portal_asked(message)) {
    // One that may be what ends it, or is Based's own, is executed on a link.
    const auto found = portals_.find(*portal);
    if (found != portals_.end() && is_control(*found->second)) return false;
    refuse_unit(failed_error(message, lost_, portals_));
    return true;
  }
  if (!is_statement_message(message.type)) return false;
  const bool ends = message.type == request::sync || message.type == request::close;
  if (ends || is_end(message) || brings_empty(message)) {
    command_ = std::make_unique<SandboxUnit>();
    *command_->anchor = this;
    command_->ends = true;
    transition(State::commanding);
    return true;
  }
  PreparedRef prepared;
  BindNames names;
  if (message.type == request::bind && decode_bind_names(message.body, names)) {
    const PreparedRef* known = names.statement.empty() ? &unnamed_ : find_prepared(names.statement);
    if (known != nullptr) prepared = *known;
    if (!prepared) {
      refuse_unit(no_statement_error(names.statement));
      return true;
    }
  }
  std::string_view text;
  ParseRequest parse;
  // What cannot be parsed is 42601 even here, which the server alone can say.
  if (message.type != request::bind && context_.leases.is_free()) return false;
  if (message.type == request::query && !decode_text(message.body, text)) return false;
  if (message.type == request::parse && decode_parse(message.body, parse)) text = parse.text;
  const ScriptRef script = prepared ? prepared->script : look_at(text);
  const bool may_end = script && std::ranges::any_of(script->statements, [](const auto& s) {
                         return s->kind == StatementKind::commit ||
                                s->kind == StatementKind::rollback ||
                                s->kind == StatementKind::prepare_transaction;
                       });
  if (may_end) return false;
  // Either takes the one without a name, whatever becomes of it.
  if (message.type != request::bind && parse.statement.empty()) unnamed_.reset();
  const bool goes_back = script && script->statements.front()->kind == StatementKind::rollback_to;
  refuse_unit(goes_back ? no_savepoint_error(script->statements.front()->name) : aborted_error());
  return true;
}

bool Relay::is_end(const WireMessage& message) const {
  if (!message.whole()) return false;
  NamedRequest named;
  if (message.type == request::describe) {
    if (!decode_named(message.body, named)) return false;
    const auto portal = named.what == 'P' ? portals_.find(named.name) : portals_.end();
    if (portal != portals_.end()) return is_end_of_transaction(portal->second->script);
    if (named.what == 'P') return false;
    const PreparedRef* text = named.name.empty() ? &unnamed_ : find_prepared(named.name);
    if (text == nullptr || !*text) return false;
    return is_end_of_transaction((*text)->script) || is_empty((*text)->text);
  }
  std::string_view text;
  ParseRequest parse;
  BindNames names;
  if (message.type == request::query) {
    return decode_text(message.body, text) && is_end_of_transaction(look_at(text));
  }
  if (message.type == request::parse) {
    return decode_parse(message.body, parse) && is_end_of_transaction(look_at(parse.text));
  }
  const bool binds = message.type == request::bind && decode_bind_names(message.body, names);
  if (!binds) return false;
  const PreparedRef* prepared =
      names.statement.empty() ? &unnamed_ : find_prepared(names.statement);
  return prepared != nullptr && *prepared && is_end_of_transaction((*prepared)->script);
}

// What is in the unit behind the end needs a turn as any other does, and gets it as a unit that
// begins with it; the ReadyForQuery of that is the whole one's.
void Relay::go_on_behind_end(const WireMessage& message) {
  if (state_ != State::commanding || !command_->ends || command_->failed || lost_) return;
  const std::optional<std::string> portal = portal_asked(message);
  const auto found = portal ? portals_.find(*portal) : portals_.end();
  const bool of_end = found != portals_.end() && is_end_of_transaction(found->second->script);
  const bool needs_turn = is_statement_message(message.type) || portal ||
                          message.type == request::describe ||
                          message.type == request::function_call;
  const bool stays = message.type == request::sync || message.type == request::close || of_end;
  if (!message.first || !needs_turn || stays || is_end(message) || brings_empty(message)) return;
  *command_->anchor = nullptr;
  command_.reset();
  extended_ = false;
  portals_.clear();
  transition(State::idle);
}

void Relay::take_end(const WireMessage& message) {
  extended_ = message.type != request::query;
  std::string_view text;
  NamedRequest named;
  std::string bytes;
  switch (message.type) {
    case request::query:
      if (brings_empty(message)) {
        unnamed_.reset();
        client_.send(nothing_run);
        return end_command();
      }
      command_->simple = !is_end(message);
      if (command_->simple) return fail_command(lost_ ? aborted_error() : alone_error());
      decode_text(message.body, text);
      unnamed_.reset();
      end_failed(text);
      return end_command();
    case request::parse:
      return end_parse(message);
    case request::bind:
      return end_bind(message);
    case request::describe:
      if (!is_end(message)) return fail_command(failed_error(message, lost_, portals_));
      if (decode_named(message.body, named) && named.what == 'S') {
        BackendWriter(bytes).parameter_description(
            (named.name.empty() ? unnamed_ : *find_prepared(named.name))->types);
      }
      return client_.send(bytes.append(no_columns));
    case request::execute:
      return end_execute(message);
    case request::close:
      return command_close(message);
    case request::flush:
      return;
    case request::function_call:
      command_->simple = true;  // it has a ReadyForQuery of its own
      return fail_command(lost_ ? aborted_error() : alone_error());
    default:
      return fail_command(alone_error());
  }
}

void Relay::end_parse(const WireMessage& message) {
  ParseRequest parse;
  const bool taken = is_end(message) || brings_empty(message);
  if (!taken || !decode_parse(message.body, parse)) {
    return fail_command(lost_ ? aborted_error() : alone_error());
  }
  const bool adds = !parse.statement.empty() && !prepared_.contains(parse.statement);
  if (adds && context_.prepared_max > 0 && prepared_.size() >= context_.prepared_max) {
    return fail_command(Error::make(sqlstate::configuration_limit_exceeded,
                                    "the session has too many prepared statements"));
  }
  auto text = std::make_shared<PreparedText>(PreparedText{
      .text = std::string(parse.text), .types = parse.types, .script = look_at(parse.text)});
  note_control_text(*text);
  if (parse.statement.empty()) {
    unnamed_ = std::move(text);
  } else if (!prepared_.emplace(std::string(parse.statement), std::move(text)).second) {
    return fail_command(
        Error::make(Sqlstate("42P05"),
                    "prepared statement \"" + std::string(parse.statement) + "\" already exists"));
  }
  client_.send(parsed);
}

void Relay::end_bind(const WireMessage& message) {
  BindNames names;
  if (!is_end(message) || !decode_bind_names(message.body, names)) {
    return fail_command(lost_ ? aborted_error() : alone_error());
  }
  if (portals_.size() >= portals_max && !portals_.contains(names.portal)) {
    return fail_command(too_many_portals());
  }
  portals_[std::string(names.portal)] =
      names.statement.empty() ? unnamed_ : *find_prepared(names.statement);
  client_.send(bound);
}

void Relay::end_execute(const WireMessage& message) {
  ExecuteRequest execute;
  const auto found =
      decode_execute(message.body, execute) ? portals_.find(execute.portal) : portals_.end();
  if (found == portals_.end() || !is_end_of_transaction(found->second->script)) {
    return fail_command(failed_error(message, lost_, portals_));
  }
  end_failed(found->second->text);
}

void Relay::end_failed(std::string_view text) {
  std::string bytes;
  BackendWriter writer(bytes);
  if (!lost_) {
    writer.notice("WARNING", Error::make(sqlstate::no_active_sql_transaction,
                                         "there is no transaction in progress"));
  }
  const ScriptRef script = look_at(text);
  const bool commits =
      !lost_ && script && script->statements.front()->kind == StatementKind::commit;
  const std::string_view tag = commits ? "COMMIT" : "ROLLBACK";
  since_ = context_.reactor.now();
  open_portals_.clear();
  lost_ = lost_ && stack_.end_lost();
  if (!lost_) {
    status_ = 'I';
    transaction_due_ = TimePoint();
    stack_ = WireStack(rules_);
  }
  reached_ = stack_;
  log_done(text, tag);
  writer.command_complete(tag);
  client_.send(bytes);
}

}  // namespace based::postgres
