#include "backends/postgres/begin_batch.h"

#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/requests.h"

namespace based::postgres {
namespace {

constexpr std::size_t begin_body_max = 64;

constexpr std::string_view parsed("1\0\0\0\4", 5);
constexpr std::string_view bound("2\0\0\0\4", 5);
constexpr std::string_view no_columns("n\0\0\0\4", 5);

char lower(char c) { return static_cast<char>(c | 0x20); }

// Formats and number of the values of a Bind that has none.
bool has_no_values(std::string_view rest) {
  return rest.size() >= 6 && rest.starts_with(std::string_view("\0\0\0\0", 4));
}

}  // namespace

// BEGIN with modes may fail, and is the server's.
bool BeginBatch::is_bare_begin(const ScriptRef& script) {
  if (!script || script->statements.size() != 1) return false;
  const Statement& statement = *script->statements.front();
  const BeginOptions& modes = statement.begin;
  return statement.kind == StatementKind::begin && !modes.force_rollback &&
         modes.isolation == BeginOptions::Isolation::unset &&
         modes.access == BeginOptions::Access::unset &&
         modes.deferrable == BeginOptions::Deferrable::unset;
}

bool BeginBatch::may_begin(const WireMessage& message) {
  if (!message.whole() || message.body.size() > begin_body_max) return false;
  if (message.type == request::bind) return true;
  std::string_view text = message.body;
  if (message.type == request::parse && text.starts_with('\0')) {
    text.remove_prefix(1);  // without a name
  } else if (message.type != request::query) {
    return false;
  }
  if (text.size() < 6) return false;
  return (lower(text[0]) == 'b' && lower(text[1]) == 'e') ||
         (lower(text[0]) == 's' && lower(text[1]) == 't');
}

bool BeginBatch::takes(const WireMessage& message, const ScriptRef& script) {
  if (message.whole() && goes_on(message, script)) return true;
  *this = {};
  return false;
}

bool BeginBatch::begins(Step step, const ScriptRef& script) {
  if (step_ != Step::none || !is_bare_begin(script)) return false;
  step_ = step;
  script_ = script;
  return true;
}

bool BeginBatch::goes_on(const WireMessage& message, const ScriptRef& script) {
  ParseRequest parse;
  BindNames names;
  ExecuteRequest execute;
  switch (message.type) {
    case request::query:
      return simple_ = begins(Step::executed, script);
    case request::parse:
      if (!decode_parse(message.body, parse) || !parse.types.empty()) return false;
      return parses_ = parse.statement.empty() && begins(Step::parsed, script);
    case request::bind:
      if (!decode_bind_names(message.body, names) || !names.portal.empty()) return false;
      if (!has_no_values(names.rest)) return false;
      if (step_ != Step::parsed) return begins(Step::bound, script);
      step_ = Step::bound;
      return names.statement.empty();
    case request::describe:
      if (step_ != Step::bound || message.body != std::string_view("P\0", 2)) return false;
      step_ = Step::described;
      return described_ = true;
    case request::execute:
      if (step_ != Step::bound && step_ != Step::described) return false;
      step_ = Step::executed;
      return decode_execute(message.body, execute) && execute.portal.empty();
    case request::sync:
      return step_ == Step::executed;
    default:
      return false;
  }
}

std::string BeginBatch::replies() const {
  std::string bytes;
  if (parses_) bytes += parsed;
  if (!simple_) bytes += bound;
  if (described_) bytes += no_columns;
  const bool starts = lower(script_->statements.front()->text.front()) == 's';
  BackendWriter(bytes).command_complete(starts ? "START TRANSACTION" : "BEGIN");
  return bytes;
}

}  // namespace based::postgres
