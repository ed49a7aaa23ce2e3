// What must hold of any text at all: for the fuzzer and for the random tests.
#pragma once

#include <string_view>

#include "backends/sql/script.h"
#include "protocol/check.h"

namespace based::sql {

inline bool is_control(StatementKind kind) {
  using enum StatementKind;
  return kind == begin || kind == commit || kind == rollback || kind == savepoint ||
         kind == release || kind == rollback_to || kind == prepare_transaction;
}

// The translated text, read again, is the same one statement.
inline void check_statement(const Statement& statement, std::string_view text, Dialect dialect) {
  INVARIANT(statement.offset < text.size());
  INVARIANT(statement.client_offset(0) >= statement.offset);
  std::uint32_t before = statement.offset;
  for (std::uint32_t at = 0; at <= statement.text.size(); ++at) {
    const std::uint32_t offset = statement.client_offset(at);
    INVARIANT(offset >= before && offset <= text.size());
    before = offset;
  }
  const auto again = parse_script(statement.text, dialect, ParameterStyle::none);
  INVARIANT(again.ok());
  INVARIANT(again->get()->statements.size() == 1);
  const Statement& same = *again->get()->statements.front();
  INVARIANT(is_control(same.kind) == is_control(statement.kind));
  // A SET or RESET takes no parameter; the name of one that has some is as its text is spelt, and a
  // question mark that touches an operator changes its tokens.
  if (statement.edits.empty() && statement.parameter_count == 0) {
    INVARIANT(same.kind == statement.kind);
    INVARIANT(same.name == statement.name);
    INVARIANT(same.and_chain == statement.and_chain);
  }
  INVARIANT(same.parameter_count == statement.parameter_count);
}

inline void check_text(std::string_view text) {
  for (const Dialect dialect : {Dialect::postgres, Dialect::sqlite}) {
    for (const ParameterStyle style :
         {ParameterStyle::none, ParameterStyle::positional, ParameterStyle::named}) {
      const auto script = parse_script(text, dialect, style);
      if (!script) {
        INVARIANT(script.error().position.value_or(0) <= text.size());
        INVARIANT(!script.error().message.empty());
        continue;
      }
      for (const StatementRef& statement : script->get()->statements) {
        check_statement(*statement, text, dialect);
      }
    }
  }
}

}  // namespace based::sql
