#include "daemon/native/binding.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "protocol/check.h"

namespace based::native {
namespace {

Error no_value(std::string_view placeholder) {
  return Error::make(sqlstate::undefined_parameter,
                     fmt::format("there is no value for the placeholder {}", placeholder));
}

}  // namespace

ParameterStyle style_of(const ParametersView& parameters) {
  if (parameters.count() == 0) return ParameterStyle::none;
  return parameters.named() ? ParameterStyle::named : ParameterStyle::positional;
}

Binding::Binding(const ParametersView& parameters) : parameters_(parameters) {
  if (!parameters.named()) return;
  named_.reserve(parameters.count());
  ParameterCursor cursor(parameters);
  std::string_view name;
  for (ValueView value; cursor.next(name, value);) named_.emplace(name, Named{value});
}

Result<void> Binding::check(const Statement& statement) {
  if (!statement.parameter_names.empty()) {
    for (const std::string& name : statement.parameter_names) {
      const auto found = named_.find(name);
      if (found == named_.end()) return no_value(':' + name);
      found->second.used = true;
    }
    return {};
  }
  if (parameters_.named()) {
    if (statement.parameter_count > 0) return no_value("$1");
    return {};
  }
  if (parameters_.count() < statement.parameter_count) {
    return no_value(fmt::format("${}", parameters_.count() + 1));
  }
  if (parameters_.count() > statement.parameter_count) {
    return Error::make(sqlstate::undefined_parameter,
                       fmt::format("there are {} values for {} placeholders", parameters_.count(),
                                   statement.parameter_count));
  }
  return {};
}

Result<void> Binding::check_all_used() const {
  for (const auto& [name, named] : named_) {
    if (named.used) continue;
    return Error::make(sqlstate::undefined_parameter,
                       fmt::format("there is no placeholder for the value :{}", name));
  }
  return {};
}

ValueList Binding::bind(const Statement& statement) const {
  std::vector<ValueView> values;
  values.reserve(statement.parameter_count);
  if (parameters_.named()) {
    for (const std::string& name : statement.parameter_names) {
      const auto found = named_.find(name);
      INVARIANT(found != named_.end());
      values.push_back(found->second.value);
    }
  } else {
    ParameterCursor cursor(parameters_);
    std::string_view name;
    for (ValueView value; cursor.next(name, value);) values.push_back(value);
  }
  INVARIANT(values.size() == statement.parameter_count);
  return ValueList::copy_of(values);
}

}  // namespace based::native
