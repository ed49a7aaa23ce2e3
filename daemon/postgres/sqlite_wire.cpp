#include "daemon/postgres/sqlite_wire.h"

#include <utility>

#include "daemon/postgres/sqlite_impossible.h"
#include "protocol/check.h"
#include "protocol/postgres/type_names.h"

namespace based {
namespace {

namespace request = postgres::request;

// A message that comes in parts is kept whole; a larger one is refused.
constexpr std::size_t message_bytes_max = 256u << 20;
constexpr std::size_t flush_bytes = 64u << 10;
constexpr std::size_t statements_max = 10'000;

// 1-based, in characters.
std::optional<std::uint32_t> character_position(std::string_view text, std::uint32_t offset) {
  if (offset > text.size()) return std::nullopt;
  std::uint32_t position = 1;
  for (const char c : text.substr(0, offset)) position += (c & 0xC0) != 0x80 ? 1 : 0;
  return position;
}

}  // namespace

std::unique_ptr<WireSession> open_sqlite_wire_session(Database& database, WireOptions options,
                                                      WireClient& client, Reactor& reactor,
                                                      const SqliteWireRules& rules) {
  return std::make_unique<SqliteWire>(database, std::move(options), client, reactor, rules);
}

SqliteWire::SqliteWire(Database& database, WireOptions options, WireClient& client,
                       Reactor& reactor, const SqliteWireRules& rules)
    : database_(database),
      options_(std::move(options)),
      client_(client),
      reactor_(reactor),
      rules_(rules),
      settings_(options_.user),
      stack_({.dialect = Dialect::sqlite,
              .rooted = database.rooted(),
              .read_only = false,
              .frees_failed = database.force_rollback(),
              .depth_max = rules.depth_max}),
      envelopes_(stack_.rules()),
      said_(log_of(database), options_.session_id, options_.client),
      anchor_(std::make_shared<SqliteWire*>(this)) {
  reset_backend();
}

SqliteWire::~SqliteWire() { *anchor_ = nullptr; }

void SqliteWire::start() {
  for (const auto& [name, value] : options_.settings) {
    if (auto set = settings_.set_default(name, value); !set) return client_.end(set.error());
  }
  const SqliteSettings::Pairs reported = settings_.to_report();
  client_.on_started(reported);
}

void SqliteWire::on_message(const WireMessage& message) {
  INVARIANT(!busy());
  if (message.whole()) return dispatch(message.type, message.body);
  if (message.first) partial_.clear();
  if (message.body_bytes <= message_bytes_max) partial_ += message.body;
  if (!message.last) return;
  const std::string body = std::exchange(partial_, {});
  if (message.body_bytes > message_bytes_max) {
    return fail(Error::make(sqlstate::program_limit_exceeded,
                            "a message of " + std::to_string(message.body_bytes) +
                                " bytes is more than a SQLite database takes"));
  }
  dispatch(message.type, body);
}

void SqliteWire::dispatch(char type, std::string_view body) {
  if (reading_ == Reading::until_sync && type != request::sync) return;
  if (pending_ && type == request::execute && pending_->describe && !pending_->execute) {
    postgres::ExecuteRequest execute;
    if (postgres::decode_execute(body, execute) && execute.portal == pending_->portal) {
      pending_->execute = true;
      pending_->rows_max = execute.rows_max > 0 ? static_cast<std::uint64_t>(execute.rows_max) : 0;
      return;
    }
  }
  if (pending_ && !settle_pending(type == request::sync)) {
    stored_ = Stored{type, std::string(body)};
    return;
  }
  // What was settled may have failed.
  if (reading_ == Reading::until_sync && type != request::sync) return;
  take(type, body);
}

void SqliteWire::take(char type, std::string_view body) {
  switch (type) {
    case request::query:
      return take_query(body);
    case request::parse:
      return take_parse(body);
    case request::bind:
      return take_bind(body);
    case request::describe:
      return take_describe(body);
    case request::execute:
      return take_execute(body);
    case request::close:
      return take_close(body);
    case request::sync:
      return sync();
    case request::flush:
      return flush();
    case request::copy_data:
    case request::copy_done:
    case request::copy_fail:
      return;  // of a COPY that was refused: PostgreSQL ignores them, too
    case request::function_call:
      querying_ = true;
      fail(Error::make(sqlstate::feature_not_supported, "SQLite has no function calls"));
      if (!busy()) advance();
      return;
    default:
      return protocol_error("invalid frontend message type " +
                            std::to_string(static_cast<unsigned char>(type)));
  }
}

void SqliteWire::protocol_error(std::string message) {
  flush();
  client_.end(Error::make(sqlstate::protocol_violation, std::move(message)));
}

SessionFacts SqliteWire::facts() const {
  return {.version = "PostgreSQL 15.0 (Based on SQLite)",
          .database = options_.database.empty() ? database_.name() : options_.database,
          .user = options_.user,
          .process_id = options_.process_id,
          .setting = [this](std::string_view name) { return settings_.value(name); }};
}

Result<std::vector<WireStatementRef>> SqliteWire::parse(std::string_view text,
                                                        ParameterStyle style) {
  auto translated = translate_to_sqlite(text, facts());
  if (!translated) return std::move(translated).error();
  auto script = database_.intern(translated->text, style);
  if (!script) {
    Error error = std::move(script).error();
    if (translated->changed) error.position.reset();
    return error;
  }
  if ((*script)->statements.size() > statements_max) {
    return Error::make(sqlstate::program_limit_exceeded,
                       "a query of more than " + std::to_string(statements_max) + " statements");
  }
  std::vector<WireStatementRef> made;
  for (const StatementRef& statement : (*script)->statements) {
    auto one = make_statement(text, statement, *translated);
    if (!one) return std::move(one).error();
    (*one)->index = made.size();
    made.push_back(std::move(*one));
  }
  return made;
}

// With the settings that it reads as they are now.
Result<WireStatementRef> SqliteWire::as_of_now(const WireStatementRef& prepared) {
  if (!prepared->notes.reads_settings) return prepared;
  const auto style = querying_ ? ParameterStyle::none : ParameterStyle::positional;
  auto again = parse(prepared->text, style);
  if (!again) return std::move(again).error();
  if (prepared->index >= again->size()) return prepared;
  WireStatementRef made = (*again)[prepared->index];
  made->types = prepared->types;
  made->columns = prepared->columns;
  return made;
}

Result<WireStatementRef> SqliteWire::make_statement(std::string_view text,
                                                    const StatementRef& statement,
                                                    const TranslatedText& translated) {
  auto made = std::make_shared<WireStatement>();
  made->text = text;
  made->translated = translated.changed;
  made->statement = statement;
  if (const StatementNotes* notes = translated.notes_at(statement->offset)) made->notes = *notes;
  if (translated.changed && database_.sandbox() != nullptr) {
    auto worded = std::make_shared<Statement>(*statement);
    const std::size_t length = made->notes.written_end - made->notes.written_begin;
    worded->written = text.substr(made->notes.written_begin, length);
    made->statement = std::move(worded);
  }
  made->types.assign(statement->parameter_count, 0);
  if (!is_control(statement->kind)) {
    auto command = read_session_command(statement->text);
    if (!command) {
      Error error = std::move(command).error();
      if (error.position) *error.position += statement->offset;
      if (translated.changed) error.position.reset();
      return error;
    }
    if (command->kind != SessionCommand::Kind::none) made->command = std::move(*command);
  }
  return made;
}

void SqliteWire::take_query(std::string_view body) {
  std::string_view text;
  if (!postgres::decode_text(body, text)) return protocol_error("malformed Query message");
  querying_ = true;
  prepared_.erase("");
  portals_.erase("");
  auto statements = parse(text, ParameterStyle::none);
  if (!statements) {
    WireStatement whole;
    whole.text = text;
    refuse(whole, std::move(statements).error());
  } else if (statements->empty()) {
    writer_.empty_query();
  } else {
    script_.assign(statements->begin(), statements->end());
  }
  advance();
}

// Runs on until a unit is in flight or the query is answered.
void SqliteWire::advance() {
  if (advancing_ || !querying_) return;
  advancing_ = true;
  while (!busy() && !script_.empty()) {
    if (auto now = as_of_now(script_.front())) script_.front() = std::move(*now);
    const WireStatementRef first = script_.front();
    if (first->statement->parameter_count > 0) {
      refuse(*first, Error::make(sqlstate::undefined_parameter, "there is no parameter $1"));
    } else if (auto refusal = refusal_of(*first)) {
      refuse(*first, std::move(*refusal));
    } else if (first->command || is_control(first->statement->kind)) {
      script_.pop_front();
      run_here(*first, true);
    } else {
      std::size_t count = 1;
      while (count < script_.size() && !script_[count]->command &&
             !is_control(script_[count]->statement->kind) &&
             script_[count]->notes.set_configs.empty() && !refusal_of(*script_[count]) &&
             script_[count]->statement->parameter_count == 0) {
        ++count;
      }
      running_.clear();
      values_.clear();
      for (std::size_t i = 0; i < count; ++i) {
        running_.push_back({.prepared = script_[i], .tells_columns = true});
        values_.emplace_back();
      }
      const bool alone = count == script_.size() && stack_.empty();
      script_.erase(script_.begin(), script_.begin() + static_cast<std::ptrdiff_t>(count));
      run_group(count, alone);
    }
  }
  advancing_ = false;
  if (!busy()) finish_query();
}

void SqliteWire::finish_query() {
  querying_ = false;
  sync();
}

// The end of a query or of a pipeline: what was implicit is committed.
void SqliteWire::sync() {
  if (!implicit_) return ready();
  end_in_sync_ = true;
  if (stack_.state() != StackState::sound) {
    return fail(loss_ ? *loss_ : std::move(stack_.check_usable()).error());
  }
  start_ending(stack_.plan_commit_transaction(), "");
}

void SqliteWire::ready() {
  reading_ = Reading::all;
  end_in_sync_ = false;
  if (stack_.empty()) portals_.clear();
  for (const auto& [name, value] : settings_.to_report()) writer_.parameter_status(name, value);
  // Who has sent more does not know of it, and that is not to be done without it.
  const bool in_vain = std::exchange(waited_in_vain_, false) && client_.has_more();
  if (in_vain && !stack_.empty() && usable()) stack_.fail();
  if (!stack_.empty()) backend_->rest(usable() ? Resting::sound : Resting::failed);
  writer_.ready(stack_.empty() ? 'I' : usable() ? 'T' : 'E');
  flush();
  if (tell_at_rest_ && at_rest()) {
    tell_at_rest_ = false;
    client_.on_at_rest();
  }
}

void SqliteWire::flush() {
  if (out_.empty()) return;
  client_.send(out_);
  out_.clear();
  if (out_.capacity() > 2 * flush_bytes) out_.shrink_to_fit();
}

// A unit has ended: what came meanwhile, then the client may send again.
void SqliteWire::resume_messages() {
  if (busy()) return;
  if (stored_) {
    const Stored message = std::move(*std::exchange(stored_, std::nullopt));
    const bool skipped = reading_ == Reading::until_sync && message.type != request::sync;
    if (!skipped) take(message.type, message.body);
    if (busy()) return;
  }
  flush();
  client_.set_taking(true);
}

// The client is told; its transaction has failed, what was implicit is rolled back.
void SqliteWire::fail(Error error, const WireStatement* of, Fate fate) {
  release_tag();
  loss_.reset();
  std::optional<std::uint32_t> position;
  if (of != nullptr && !of->translated && error.position) {
    position = character_position(of->text, *error.position);
  }
  if (of != nullptr && of->notes.catalogue && error.sqlstate.klass() == "42") {
    error = catalogue_error();
    position.reset();
  }
  writer_.error("ERROR", error, position);
  said_.failed(error, reactor_.now());
  script_.clear();
  pending_.reset();
  ending_.chain.reset();
  if (!querying_ && !end_in_sync_) reading_ = Reading::until_sync;
  if (implicit_) {
    start_ending(stack_.plan_rollback_all(), "");
  } else if (!stack_.empty()) {
    if (fate == Fate::fails) stack_.fail();
    waited_in_vain_ = fate == Fate::stays;
  } else if (end_in_sync_) {
    ready();
  }
}

void SqliteWire::cancel(std::string_view reason, std::shared_ptr<const void>) {
  if (!busy()) return;
  if (purpose_ == Purpose::steps || purpose_ == Purpose::describe ||
      purpose_ == Purpose::entering) {
    backend_->cancel(reason);
  }
}

void SqliteWire::on_drained() {
  if (!std::exchange(paused_, false) || !busy()) return;
  backend_->resume();
}

bool SqliteWire::at_rest() const {
  return !busy() && stack_.empty() && !pending_ && !stored_ && reading_ == Reading::all;
}

}  // namespace based
