// ControlBatch: is what a client sends one BEGIN without modes, or one COMMIT or ROLLBACK, or one
// DEALLOCATE, and nothing else? A Query of it, or in the extended protocol a batch from its Parse
// or Bind to its Sync; as a DEALLOCATE counts a batch that closes statements, too. Pure.
//
// PostgreSQL's manual, "Message Flow".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backends/statement.h"
#include "backends/wire.h"

namespace based::postgres {

class ControlBatch {
 public:
  // end: without AND CHAIN. forget: of statements that were prepared.
  enum class Kind : std::uint8_t { begin, end, forget };

  // Most messages are none by their first letters: then takes() need not be asked. A batch that has
  // begun has to be.
  static bool may_be(Kind kind, const WireMessage& message);
  static bool is_one(Kind kind, const ScriptRef& script);

  // Does the message go on with the batch, or begin one? `script`: what it brings or binds; null
  // where that is ordinary, or where the batch itself has brought it. False: the batch is none; it
  // is as new.
  bool takes(Kind kind, const WireMessage& message, const ScriptRef& script);
  bool has_begun() const { return step_ != Step::none; }
  // REQUIRES that it has begun.
  Kind kind() const { return kind_; }
  // REQUIRES that takes() has said true of a Query, or of a Sync; but where it closes statements.
  const StatementRef& statement() const { return script_->statements.front(); }
  const ScriptRef& script() const { return script_; }
  const std::vector<std::string>& closes() const { return closes_; }
  // What the server would answer, up to the ReadyForQuery; without a tag where it has none, or
  // refuses the statement.
  std::string replies(std::string_view tag) const;
  // Has it made its text the unnamed statement, or dropped that?
  bool parses() const { return parses_; }
  bool simple() const { return simple_; }

 private:
  enum class Step : std::uint8_t { none, parsed, bound, described, executed, closed };
  bool goes_on(Kind kind, const WireMessage& message, const ScriptRef& script);
  bool begins(Step step, Kind kind, const ScriptRef& script);
  bool closes_one(Kind kind, std::string_view body);

  Step step_ = Step::none;
  Kind kind_ = Kind::begin;
  bool parses_ = false;
  bool described_ = false;
  bool simple_ = false;
  ScriptRef script_;
  std::vector<std::string> closes_;
};

}  // namespace based::postgres
