// Short words for the tests of the SQL layer.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "backends/sql/script.h"

namespace based::sql {

inline ScriptRef parse(std::string_view text, Dialect dialect,
                       ParameterStyle style = ParameterStyle::none) {
  INFO(text);
  auto script = parse_script(text, dialect, style);
  if (!script) FAIL(script.error().message);
  return *script;
}

// The only statement of a text.
inline StatementRef one(std::string_view text, Dialect dialect,
                        ParameterStyle style = ParameterStyle::none) {
  INFO(text);
  const ScriptRef script = parse(text, dialect, style);
  REQUIRE(script->statements.size() == 1);
  return script->statements.front();
}

inline Error refused(std::string_view text, Dialect dialect,
                     ParameterStyle style = ParameterStyle::none) {
  INFO(text);
  const auto script = parse_script(text, dialect, style);
  REQUIRE_FALSE(script.ok());
  return script.error();
}

inline std::vector<std::string> texts(const Script& script) {
  std::vector<std::string> all;
  for (const StatementRef& statement : script.statements) all.push_back(statement->text);
  return all;
}

inline constexpr Dialect both_dialects[] = {Dialect::postgres, Dialect::sqlite};

}  // namespace based::sql
