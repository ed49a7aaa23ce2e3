// Binding: a request's parameters brought to the placeholders of its statements.
//
// Views into the request's payload; any thread.
#pragma once

#include <optional>
#include <string_view>
#include <unordered_map>

#include "backends/statement.h"
#include "protocol/native/parameters.h"
#include "protocol/result.h"
#include "protocol/value.h"

namespace based::native {

// What decides how a `?` is read. No parameters at all: it may be an operator.
ParameterStyle style_of(const ParametersView& parameters);

// Parameters, found by name in constant time: a request may hold 65,535 of them. One serves all
// statements of a script.
class Binding {
 public:
  explicit Binding(const ParametersView& parameters);

  // Every placeholder of the statement has a value and, by position, every value a placeholder:
  // 42P02.
  Result<void> check(const Statement& statement);
  // By name, every value was wanted by a statement that was checked: 42P02.
  Result<void> check_all_used() const;
  // REQUIRES that check(statement) succeeded.
  ValueList bind(const Statement& statement) const;

 private:
  struct Named {
    ValueView value;
    bool used = false;
  };

  ParametersView parameters_;
  std::unordered_map<std::string_view, Named> named_;
};

}  // namespace based::native
