// What a sandbox's log hears of a Relay: every statement that was answered, in the client's words.
#include <algorithm>
#include <charconv>
#include <utility>

#include "backends/postgres/relay.h"
#include "protocol/postgres/backend.h"

namespace based::postgres {
namespace {

// "INSERT 0 3", "SELECT 7"; 0 where the tag counts nothing.
std::uint64_t rows_of(std::string_view tag) {
  const std::size_t space = tag.rfind(' ');
  if (space == std::string_view::npos) return 0;
  std::uint64_t rows = 0;
  const std::string_view number = tag.substr(space + 1);
  const auto read = std::from_chars(number.data(), number.data() + number.size(), rows);
  return read.ec == std::errc() ? rows : 0;
}

}  // namespace

std::string_view text_of(const Item& item) {
  if (item.prepared) return item.prepared->text;
  const bool several = item.script && item.script->statements.size() > 1;
  if (!several || item.at >= item.script->statements.size()) return item.text();
  return item.script->statements[item.at]->text;
}

void Relay::log_done(std::string_view text, std::string_view tag) {
  if (context_.sandbox == nullptr || text.empty()) return;
  SandboxLogEntry entry;
  entry.statement = text;
  entry.rows = rows_of(tag);
  log_statement(std::move(entry));
}

void Relay::log_error(const Item& made, const ErrorFields& fields) {
  if (context_.sandbox == nullptr) return;
  // The server parses all of a Query's text first.
  const bool unread = made.kind == ItemKind::query && made.at == 0 && fields.sqlstate == "42601";
  const std::string_view text = unread ? made.text() : text_of(made);
  // What ends a unit belongs to the last statement of it.
  if (text.empty() && made.kind == ItemKind::control && !reached_.in_transaction()) {
    context_.sandbox->log().fail_last(options_.session_id, fields.sqlstate, fields.message);
  }
  if (text.empty()) return;
  ErrorFields told = fields;
  const bool ours = made.in_failed || fields.sqlstate != "25P02";
  if (made.kind == ItemKind::refusal && ours) decode_error(made.bytes().substr(5), told);
  SandboxLogEntry entry;
  entry.statement = text;
  entry.sqlstate = told.sqlstate;
  entry.error = told.message;
  log_statement(std::move(entry));
}

// The statement that a message brings, binds, describes or executes is not run, nor is its unit.
void Relay::log_refused(const WireMessage& message, const Error& error) {
  if (context_.sandbox == nullptr) return;
  const auto up_to_zero = [](std::string_view bytes) { return bytes.substr(0, bytes.find('\0')); };
  const std::string_view first = up_to_zero(message.body);
  std::string_view rest = message.body.substr(std::min(first.size() + 1, message.body.size()));
  const PreparedRef* prepared = nullptr;
  Item said;
  if (message.type == request::query) said.details().text = first;
  if (message.type == request::parse) said.details().text = up_to_zero(rest);
  if (message.type == request::describe && first.starts_with('S')) {
    rest = first.substr(1);
    prepared = rest.empty() ? &unnamed_ : find_prepared(rest);
  } else if (message.type == request::bind) {
    rest = up_to_zero(rest);
    prepared = rest.empty() ? &unnamed_ : find_prepared(rest);
  } else if (const auto portal = portals_.find(first);
             message.type == request::execute && portal != portals_.end()) {
    prepared = &portal->second;
  }
  if (prepared != nullptr && *prepared) said.details().text = (*prepared)->text;
  log_error(said, {.sqlstate = error.sqlstate.text(), .message = error.message});
}

void Relay::log_statement(SandboxLogEntry entry) {
  const TimePoint now = context_.reactor.now();
  entry.session = options_.session_id;
  entry.client = options_.client;
  entry.duration = now - std::exchange(since_, now);
  entry.level = reached_.in_transaction() ? 1 : 0;
  context_.sandbox->log().add(std::move(entry));
}

}  // namespace based::postgres
