// What a sandbox's log hears of a Relay: every statement that was answered, in the client's words.
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
  const std::string_view text = text_of(made);
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

void Relay::log_statement(SandboxLogEntry entry) {
  const TimePoint now = context_.reactor.now();
  entry.session = options_.session_id;
  entry.client = options_.client;
  entry.duration = now - std::exchange(since_, now);
  entry.level = reached_.in_transaction() ? 1 : 0;
  context_.sandbox->log().add(std::move(entry));
}

}  // namespace based::postgres
