#include "backends/postgres/control_batch.h"

#include <algorithm>
#include <array>

#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/requests.h"

namespace based::postgres {
namespace {

constexpr std::size_t control_body_max = 64;

constexpr std::string_view parsed("1\0\0\0\4", 5);
constexpr std::string_view bound("2\0\0\0\4", 5);
constexpr std::string_view no_columns("n\0\0\0\4", 5);

// How their texts begin: BEGIN, START; COMMIT, END, ROLLBACK, ABORT.
constexpr std::array<std::string_view, 2> begins_with{"be", "st"};
constexpr std::array<std::string_view, 4> ends_with{"co", "en", "ro", "ab"};

char lower(char c) { return static_cast<char>(c | 0x20); }

// Formats and number of the values of a Bind that has none, and the formats of its columns.
bool has_no_values(std::string_view rest) {
  if (rest.size() < 6 || !rest.starts_with(std::string_view("\0\0\0\0", 4))) return false;
  const std::size_t formats =
      std::size_t{static_cast<unsigned char>(rest[4])} << 8 | static_cast<unsigned char>(rest[5]);
  return rest.size() == 6 + 2 * formats;
}

}  // namespace

// BEGIN with modes may fail, and is the server's.
bool ControlBatch::is_one(Kind kind, const ScriptRef& script) {
  if (!script || script->statements.size() != 1) return false;
  const Statement& statement = *script->statements.front();
  if (kind == Kind::end) {
    const bool ends =
        statement.kind == StatementKind::commit || statement.kind == StatementKind::rollback;
    return ends && !statement.and_chain;
  }
  const BeginOptions& modes = statement.begin;
  return statement.kind == StatementKind::begin && !modes.force_rollback &&
         modes.isolation == BeginOptions::Isolation::unset &&
         modes.access == BeginOptions::Access::unset &&
         modes.deferrable == BeginOptions::Deferrable::unset;
}

bool ControlBatch::may_be(Kind kind, const WireMessage& message) {
  if (!message.whole() || message.body.size() > control_body_max) return false;
  if (message.type == request::bind) return true;
  std::string_view text = message.body;
  if (message.type == request::parse && text.starts_with('\0')) {
    text.remove_prefix(1);  // without a name
  } else if (message.type != request::query) {
    return false;
  }
  if (text.size() < 4) return false;
  const auto begins = [text](std::string_view word) {
    return lower(text[0]) == word[0] && lower(text[1]) == word[1];
  };
  return kind == Kind::begin ? std::ranges::any_of(begins_with, begins)
                             : std::ranges::any_of(ends_with, begins);
}

bool ControlBatch::takes(Kind kind, const WireMessage& message, const ScriptRef& script) {
  if (message.whole() && goes_on(kind, message, script)) return true;
  *this = {};
  return false;
}

bool ControlBatch::begins(Step step, Kind kind, const ScriptRef& script) {
  if (step_ != Step::none || !is_one(kind, script)) return false;
  step_ = step;
  script_ = script;
  return true;
}

bool ControlBatch::goes_on(Kind kind, const WireMessage& message, const ScriptRef& script) {
  ParseRequest parse;
  BindNames names;
  ExecuteRequest execute;
  switch (message.type) {
    case request::query:
      return simple_ = begins(Step::executed, kind, script);
    case request::parse:
      if (!decode_parse(message.body, parse) || !parse.types.empty()) return false;
      return parses_ = parse.statement.empty() && begins(Step::parsed, kind, script);
    case request::bind:
      if (!decode_bind_names(message.body, names) || !names.portal.empty()) return false;
      if (!has_no_values(names.rest)) return false;
      if (step_ != Step::parsed) return begins(Step::bound, kind, script);
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

std::string ControlBatch::replies(std::string_view tag) const {
  std::string bytes;
  if (parses_) bytes += parsed;
  if (!simple_) bytes += bound;
  if (described_) bytes += no_columns;
  BackendWriter(bytes).command_complete(tag);
  return bytes;
}

}  // namespace based::postgres
