#include "backends/postgres/split_text.h"

#include <algorithm>

#include "backends/sql/ordinary.h"
#include "backends/sql/tokenizer.h"
#include "backends/sql/words.h"
#include "backends/transaction_stack.h"

namespace based::postgres {
namespace {

constexpr std::string_view body_begins = "CREATE FUNCTION pg_temp._based() BEGIN ATOMIC ";

bool is_read_here(const Statement& statement) {
  return is_transaction_control(statement.kind) || statement.kind == StatementKind::sandbox;
}

std::string_view first_word(std::string_view text) {
  sql::Tokenizer tokens(text, Dialect::postgres);
  return tokens.next().of(text);
}

}  // namespace

std::uint32_t characters_before(std::string_view text, std::size_t at, bool utf8) {
  const auto begins = [utf8](char c) {
    return !utf8 || (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  };
  return static_cast<std::uint32_t>(std::ranges::count_if(text.substr(0, at), begins));
}

std::string as_one_body(const Script& script) {
  std::string body;
  for (const StatementRef& statement : script.statements) {
    if (is_read_here(*statement)) continue;
    if (body.empty()) body = body_begins;
    body += statement->text;
    // Which is a statement in a body, and nowhere else.
    if (sql::is_word(first_word(statement->text), "RETURN")) body += ')';
    body += ';';
  }
  if (!body.empty()) body += "END";
  return body;
}

std::optional<Error> unreadable(sql::StatementTable& texts, std::string_view text) {
  if (sql::is_ordinary(text)) return std::nullopt;
  const Result<ScriptRef> script = texts.intern(text, ParameterStyle::verbatim);
  if (script) return std::nullopt;
  return script.error();
}

ScriptRef several_in(sql::StatementTable& texts, std::string_view text) {
  const std::size_t first = text.find(';');
  if (text.find_first_not_of("; \t\r\n", first) == text.npos) return nullptr;
  const Result<ScriptRef> script = texts.intern(text, ParameterStyle::verbatim);
  return script && (*script)->statements.size() > 1 ? *script : nullptr;
}

std::string without_commands(std::string text, const Script& script) {
  constexpr std::string_view something = "SELECT";
  for (const StatementRef& statement : script.statements) {
    if (statement->kind != StatementKind::sandbox) continue;
    const std::size_t size = statement->text.size();
    text.replace(statement->offset, size,
                 std::string(something).append(size - something.size(), ' '));
  }
  return text;
}

}  // namespace based::postgres
