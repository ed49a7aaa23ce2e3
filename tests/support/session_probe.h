// SessionProbe: a BackendSession of any Database with the ears it needs: it submits texts and
// keeps what came of them as plain text, so that a test compares strings.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backends/database.h"

namespace based {

inline StatementRef statement_of(std::string text, StatementKind kind = StatementKind::other,
                                 std::string name = {}) {
  auto statement = std::make_shared<Statement>();
  statement->text = std::move(text);
  statement->kind = kind;
  statement->name = std::move(name);
  return statement;
}

inline std::string shown(const ValueView& value) {
  switch (value.kind) {
    case ValueKind::null:
      return "null";
    case ValueKind::boolean:
      return value.boolean ? "true" : "false";
    case ValueKind::int64:
      return std::to_string(value.int64);
    case ValueKind::float64:
      return "f" + std::to_string(value.float64);
    case ValueKind::text:
      return "'" + std::string(value.data) + "'";
    case ValueKind::bytes:
      return "x'" + std::string(value.data) + "'";
  }
  return {};
}

class SessionProbe final : public Sink, public SessionListener {
 public:
  SessionProbe(Database& database, SessionOptions options = {}) : database_(database) {
    session_ = database.open_session(std::move(options), *this);
  }

  // --- a unit
  // The text as the database's SQL layer cuts it, one step for each statement.
  Unit unit(std::string_view text, std::vector<ValueView> parameters = {}) {
    const auto style = parameters.empty() ? ParameterStyle::none : ParameterStyle::positional;
    Result<ScriptRef> script = database_.intern(text, style);
    if (!script) FAIL(script.error().message);
    Unit made;
    for (const StatementRef& statement : (*script)->statements) {
      Step step{.statement = statement, .parameters = ValueList::copy_of(parameters)};
      made.steps.push_back(std::move(step));
    }
    return made;
  }
  void submit(Unit made) {
    rows.clear();
    columns.clear();
    tags.clear();
    notices.clear();
    outcome.reset();
    made.sink = this;
    session_->submit(std::move(made));
  }
  BackendSession& session() { return *session_; }
  void drop() { session_.reset(); }
  bool done() const { return outcome.has_value(); }
  std::string sqlstate() const {
    return outcome && outcome->error ? std::string(outcome->error->sqlstate.text()) : "";
  }

  // --- Sink
  void on_columns(std::size_t, std::span<const Column> described) override {
    for (const Column& column : described) {
      columns += std::string(column.name) + " " + std::string(column.type) + ";";
    }
  }
  Flow on_row(std::size_t step, std::span<const ValueView> row) override {
    ++row_count;
    std::string line = step == 0 ? "" : std::to_string(step) + ":";
    for (const ValueView& value : row) line += shown(value) + ",";
    if (keep_rows) rows += line + ";";
    return on_each_row ? on_each_row() : Flow::more;
  }
  void on_step_done(std::size_t, const StepResult& result) override {
    tags += std::string(result.tag);
    if (result.affected) tags += " " + std::to_string(*result.affected);
    if (result.truncated) tags += " truncated";
    tags += ";";
  }
  void on_notice(std::string_view severity, const Error& notice) override {
    notices += std::string(severity) + " " + notice.message + ";";
  }
  void on_done(UnitOutcome result) override {
    REQUIRE_FALSE(outcome.has_value());
    outcome = std::move(result);
    ++done_count;
    if (then) std::exchange(then, nullptr)();
  }
  // --- SessionListener
  void on_lease_lost(const Error& reason) override { lease_lost = reason; }

  std::string rows, columns, tags, notices;
  std::optional<UnitOutcome> outcome;
  std::optional<Error> lease_lost;
  std::function<Flow()> on_each_row;
  std::function<void()> then;
  std::size_t row_count = 0;
  std::size_t done_count = 0;
  bool keep_rows = true;

 private:
  Database& database_;
  std::unique_ptr<BackendSession> session_;
};

}  // namespace based
