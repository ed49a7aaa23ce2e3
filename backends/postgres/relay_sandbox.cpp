// The Relay's SANDBOX commands.
//
// A unit that begins with one is answered here without a link: the turn may be held by the very
// transaction that a RESET is to end. Inside of a transaction, or behind other statements, what
// only looks at the sandbox is answered between the server's replies, and the rest is refused.
#include <algorithm>
#include <optional>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_replies.h"
#include "backends/postgres/split_text.h"
#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"
#include "protocol/postgres/backend_writer.h"

namespace based::postgres {
namespace {

// Cheap, as every unit is asked: is it worth a look?
bool may_command(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    switch (text[at]) {
      case ' ':
      case '\t':
      case '\r':
      case '\n':
      case ';':
      case '(':
        continue;
      case '-':
      case '/':
        return true;
      case 's':
      case 'S':
        return sql::is_word(text.substr(at, 7), "SANDBOX");
      default:
        return false;
    }
  }
  return false;
}

bool is_command(const StatementRef& statement) { return statement->kind == StatementKind::sandbox; }

Error by_itself_error() {
  return Error::make(sqlstate::feature_not_supported,
                     "a SANDBOX command is sent by itself, without other statements");
}

// What is wrong with a text that is to be a SANDBOX command, and cannot be read; nullopt: nothing,
// or it is for the server to say.
std::optional<Error> misspelt(sql::StatementTable& texts, std::string_view text) {
  if (!may_command(text)) return std::nullopt;
  sql::Tokenizer tokens(text, Dialect::postgres);
  const sql::Token first = tokens.next();
  if (first.kind != sql::TokenKind::word || !sql::is_word(first.of(text), "SANDBOX")) return {};
  const Result<ScriptRef> script = texts.intern(text, ParameterStyle::verbatim);
  if (script) return std::nullopt;
  Error wrong = script.error();
  if (wrong.position) wrong.position = characters_before(text, *wrong.position, true);
  return wrong;
}

StatementRef prepared_command(const PreparedRef& prepared) {
  if (!prepared->script || prepared->script->statements.size() != 1) return nullptr;
  const StatementRef& statement = prepared->script->statements.front();
  return is_command(statement) ? statement : nullptr;
}

}  // namespace

void Relay::begin_unit(const WireMessage& message) {
  if (context_.sandbox != nullptr) since_ = context_.reactor.now();
  if (answers_failed(message)) return;
  if (!begins_command(message)) return acquire();
  command_ = std::make_unique<SandboxUnit>();
  *command_->anchor = this;
  transition(State::commanding);
}

bool Relay::begins_command(const WireMessage& message) const {
  if (!message.whole() || !welcomed_ || status_ != 'I' || lost_ || loss_) return false;
  std::string_view text;
  ParseRequest parse;
  BindNames names;
  NamedRequest named;
  switch (message.type) {
    case request::query:
      return may_command(message.body) && decode_text(message.body, text) &&
             (command_of(text) || misspelt(context_.texts, text));
    case request::parse:
      return decode_parse(message.body, parse) && may_command(parse.text) &&
             (command_of(parse.text) || misspelt(context_.texts, parse.text));
    case request::bind:
      if (!decode_bind_names(message.body, names)) return false;
      text = names.statement;
      break;
    case request::describe:
      if (!decode_named(message.body, named) || named.what != 'S') return false;
      text = named.name;
      break;
    default:
      return false;
  }
  const PreparedRef* prepared = text.empty() ? &unnamed_ : find_prepared(text);
  return prepared != nullptr && *prepared && prepared_command(*prepared);
}

// The first SANDBOX command in it; null: there is none.
StatementRef Relay::command_of(std::string_view text) const {
  const ScriptRef script = look_at(text);
  if (!script) return nullptr;
  const auto found = std::ranges::find_if(script->statements, is_command);
  return found == script->statements.end() ? nullptr : *found;
}

// --- a unit of commands

// With what has come meanwhile; where that is no command, until it waits for a link.
void Relay::pump_commands() {
  WireMessage message;
  if (state_ == State::idle && lost_ && !rules_.rooted) {
    // The end of what is lost needs no link, and may come in several messages: keeps_control().
    HeldMessages all = std::exchange(held_, {});
    for (; !all.empty(); all.pop()) {
      all.peek(message);
      on_message(message);
    }
    on_batch_end();
  }
  while (!held_.empty()) {
    if (state_ != State::idle && (state_ != State::commanding || command_->running)) return;
    held_.peek(message);
    go_on_behind_end(message);
    if (state_ == State::idle && is_too_late(message)) {
      held_.pop();
    } else if (state_ == State::idle) {
      begin_unit(message);
    } else {
      held_.pop();
      take_command(message);
    }
  }
  if (!taking_ && state_ != State::ended) {
    taking_ = true;
    client_.set_taking(true);
  }
}

void Relay::take_command(const WireMessage& message) {
  if (!message.first) return;
  if (message.type == request::sync) return end_command();
  if (command_->failed) return;
  if (command_->ends) {
    command_->taken = &message;
    return take_end(message);
  }
  extended_ = message.type != request::query && message.type != request::function_call;
  if (!message.whole()) return fail_command(by_itself_error());
  switch (message.type) {
    case request::query:
      return command_query(message);
    case request::parse:
      return command_parse(message);
    case request::bind:
      return command_bind(message);
    case request::describe:
      return command_describe(message);
    case request::execute:
      return command_execute(message);
    case request::close:
      return command_close(message);
    case request::flush:
    case request::copy_data:
    case request::copy_done:
    case request::copy_fail:
      return;
    case request::function_call:
      command_->simple = true;
      return fail_command(by_itself_error());
    default:
      return end(Error::make(Sqlstate("08P01"),
                             "invalid frontend message type " +
                                 std::to_string(static_cast<unsigned char>(message.type))));
  }
}

void Relay::command_query(const WireMessage& message) {
  command_->simple = true;
  unnamed_.reset();
  std::string_view text;
  const ScriptRef script = decode_text(message.body, text) ? look_at(text) : nullptr;
  if (auto wrong = misspelt(context_.texts, text)) return fail_command(*std::move(wrong));
  if (!script || script->statements.size() != 1 || !is_command(script->statements.front())) {
    return fail_command(by_itself_error());
  }
  const SandboxVerb verb = script->statements.front()->verb;
  if (context_.sandbox != nullptr && !sandbox_changes(verb)) client_.send(described(verb, false));
  run_command(script->statements.front());
}

void Relay::command_parse(const WireMessage& message) {
  ParseRequest parse;
  if (!decode_parse(message.body, parse)) {
    return fail_command(Error::make(Sqlstate("08P01"), "malformed Parse message"));
  }
  if (auto wrong = misspelt(context_.texts, parse.text)) return fail_command(*std::move(wrong));
  const auto text = std::make_shared<PreparedText>(PreparedText{.text = std::string(parse.text),
                                                                .types = std::move(parse.types),
                                                                .script = look_at(parse.text),
                                                                .control = true});
  if (!prepared_command(text)) return fail_command(by_itself_error());
  if (context_.sandbox == nullptr) return fail_command(no_sandbox_error(options_.database));
  const std::string name(parse.statement);
  if (name.empty()) {
    unnamed_ = text;
  } else if (prepared_.contains(name)) {
    return fail_command(
        Error::make(Sqlstate("42P05"), "prepared statement \"" + name + "\" already exists"));
  } else if (context_.prepared_max > 0 && prepared_.size() >= context_.prepared_max) {
    return fail_command(Error::make(sqlstate::configuration_limit_exceeded,
                                    "the session has too many prepared statements"));
  } else {
    prepared_[name] = text;
  }
  std::string bytes;
  BackendWriter(bytes).parse_complete();
  client_.send(bytes);
}

void Relay::command_bind(const WireMessage& message) {
  BindRequest bind;
  if (!decode_bind(message.body, bind) || !bind.values.empty()) {
    return fail_command(Error::make(Sqlstate("08P01"), "a SANDBOX command has no parameters"));
  }
  const PreparedRef* prepared = bind.statement.empty() ? &unnamed_ : find_prepared(bind.statement);
  if (prepared == nullptr || !*prepared || !prepared_command(*prepared)) {
    return fail_command(by_itself_error());
  }
  const auto& formats = bind.result_formats;
  const bool mixed = std::ranges::any_of(formats, [&](auto f) { return f != formats.front(); });
  if (mixed) {
    return fail_command(Error::make(sqlstate::feature_not_supported,
                                    "the columns of a SANDBOX command have one format"));
  }
  if (portals_.size() >= portals_max && !portals_.contains(bind.portal)) {
    return fail_command(too_many_portals());
  }
  portals_[std::string(bind.portal)] = *prepared;
  command_->binary[std::string(bind.portal)] = !formats.empty() && formats.front() == 1;
  std::string bytes;
  BackendWriter(bytes).bind_complete();
  client_.send(bytes);
}

void Relay::command_describe(const WireMessage& message) {
  NamedRequest named;
  const bool readable = decode_named(message.body, named);
  const PreparedRef* prepared = nullptr;
  const auto portal = portals_.find(named.name);
  if (readable && named.what == 'P') {
    prepared = portal == portals_.end() ? nullptr : &portal->second;
  } else if (readable) {
    prepared = named.name.empty() ? &unnamed_ : find_prepared(named.name);
  }
  const StatementRef command =
      prepared != nullptr && *prepared ? prepared_command(*prepared) : nullptr;
  if (!command) return fail_command(by_itself_error());
  std::string bytes;
  if (named.what == 'S') BackendWriter(bytes).parameter_description({});
  const bool binary = named.what == 'P' && command_->binary[std::string(named.name)];
  client_.send(bytes + described(command->verb, binary));
}

void Relay::command_execute(const WireMessage& message) {
  ExecuteRequest execute;
  const auto found =
      decode_execute(message.body, execute) ? portals_.find(execute.portal) : portals_.end();
  if (found == portals_.end()) {
    return fail_command(Error::make(Sqlstate("34000"), "there is no such portal"));
  }
  const StatementRef command = prepared_command(found->second);
  const bool binary = command_->binary[std::string(execute.portal)];
  if (sandbox_changes(command->verb)) return run_command(command);
  client_.send(answered(command->verb, *context_.sandbox, binary));
}

void Relay::command_close(const WireMessage& message) {
  NamedRequest named;
  if (!decode_named(message.body, named)) {
    return fail_command(Error::make(Sqlstate("08P01"), "malformed Close message"));
  }
  if (named.what == 'P') {
    erase_portal(named.name);
  } else if (named.name.empty()) {
    unnamed_.reset();
  } else if (const PreparedRef* prepared = find_prepared(named.name)) {
    if (!command_->ends && !prepared_command(*prepared)) return fail_command(by_itself_error());
    prepared_.erase(prepared_.find(named.name));
  }
  std::string bytes;
  BackendWriter(bytes).close_complete();
  client_.send(bytes);
}

void Relay::run_command(const StatementRef& statement) {
  if (context_.sandbox == nullptr) return fail_command(no_sandbox_error(options_.database));
  if (!sandbox_changes(statement->verb)) {
    client_.send(answered(statement->verb, *context_.sandbox, false));
    return end_command();
  }
  command_->running = true;
  command_->statement = statement;
  change_sandbox(*statement, *context_.sandbox,
                 [anchor = command_->anchor](const std::optional<Error>& error) {
                   if (*anchor != nullptr) (*anchor)->on_command_done(error);
                 });
}

void Relay::on_command_done(const std::optional<Error>& error) {
  command_->running = false;
  if (error) {
    fail_command(*error);
  } else {
    client_.send(completed(command_->statement->verb));
    if (command_->simple) end_command();
  }
  pump_commands();
}

void Relay::fail_command(const Error& error) {
  std::string bytes;
  std::optional<std::uint32_t> position = error.position;  // in characters
  if (position) ++*position;
  BackendWriter(bytes).error("ERROR", error, position);
  client_.send(bytes);
  if (command_->ends) log_refused(*command_->taken, error);
  command_->failed = true;
  if (command_->simple) end_command();
}

void Relay::end_command() {
  const std::unique_ptr<SandboxUnit> ended = std::move(command_);
  *ended->anchor = nullptr;
  extended_ = false;
  portals_.clear();
  transition(State::idle);
  send_ready(lost_ ? 'E' : 'I');
}

// --- between other statements

// Its columns were described, if anybody asked; in a simple Query they go in front.
void Relay::take_sandbox(const StatementRef& statement) {
  if (stack_.status() == 'E') {
    return refuse_here(Error::make(
        sqlstate::in_failed_sql_transaction,
        "current transaction is aborted, commands ignored until end of transaction block"));
  }
  if (sandbox_changes(statement->verb)) return refuse_here(sandbox_in_transaction_error());
  std::string bytes = querying_ ? described(statement->verb, false) : std::string();
  reply_here(bytes + answered(statement->verb, *context_.sandbox, false));
}

}  // namespace based::postgres
