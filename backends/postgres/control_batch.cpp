#include "backends/postgres/control_batch.h"

#include <algorithm>
#include <array>
#include <span>

#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/requests.h"

namespace based::postgres {
namespace {

constexpr std::size_t control_body_max = 96;
constexpr std::size_t closes_max = 16;
// The server cuts off what is longer, and says so.
constexpr std::size_t name_bytes_max = 62;

constexpr std::string_view parsed("1\0\0\0\4", 5);
constexpr std::string_view bound("2\0\0\0\4", 5);
constexpr std::string_view no_columns("n\0\0\0\4", 5);
constexpr std::string_view closed("3\0\0\0\4", 5);

// How their texts begin: BEGIN, START; COMMIT, END, ROLLBACK, ABORT; DEALLOCATE.
constexpr std::array<std::string_view, 2> begins_with{"be", "st"};
constexpr std::array<std::string_view, 4> ends_with{"co", "en", "ro", "ab"};
constexpr std::array<std::string_view, 1> forgets_with{"deallocate"};

std::span<const std::string_view> beginnings(ControlBatch::Kind kind) {
  switch (kind) {
    case ControlBatch::Kind::begin:
      return begins_with;
    case ControlBatch::Kind::end:
      return ends_with;
    case ControlBatch::Kind::forget:
      return forgets_with;
  }
  return {};
}

char lower(char c) { return static_cast<char>(c | 0x20); }

// Formats and number of the values of a Bind that has none, and the formats of its columns.
bool has_no_values(std::string_view rest) {
  if (rest.size() < 6 || !rest.starts_with(std::string_view("\0\0\0\0", 4))) return false;
  const std::size_t formats =
      std::size_t{static_cast<unsigned char>(rest[4])} << 8 | static_cast<unsigned char>(rest[5]);
  return rest.size() == 6 + 2 * formats;
}

}  // namespace

// BEGIN with modes may fail, and is the server's; so is a name that Based may not read as it does.
bool ControlBatch::is_one(Kind kind, const ScriptRef& script) {
  if (!script || script->statements.size() != 1) return false;
  const Statement& statement = *script->statements.front();
  if (kind == Kind::end) {
    const bool ends =
        statement.kind == StatementKind::commit || statement.kind == StatementKind::rollback;
    return ends && !statement.and_chain;
  }
  if (kind == Kind::forget) {
    return statement.kind == StatementKind::prepare && statement.setting == "deallocate" &&
           statement.name.size() <= name_bytes_max && statement.text.find('&') == std::string::npos;
  }
  const BeginOptions& modes = statement.begin;
  return statement.kind == StatementKind::begin && !modes.force_rollback &&
         modes.isolation == BeginOptions::Isolation::unset &&
         modes.access == BeginOptions::Access::unset &&
         modes.deferrable == BeginOptions::Deferrable::unset;
}

bool ControlBatch::may_be(Kind kind, const WireMessage& message) {
  if (!message.whole() || message.body.size() > control_body_max) return false;
  if (message.type == request::bind) return kind != Kind::forget;
  std::string_view text = message.body;
  if (message.type == request::close) return kind == Kind::forget && text.starts_with('S');
  if (message.type == request::parse && text.starts_with('\0')) {
    text.remove_prefix(1);  // without a name
  } else if (message.type != request::query) {
    return false;
  }
  if (text.size() < 4) return false;
  return std::ranges::any_of(beginnings(kind), [text](std::string_view word) {
    return std::ranges::equal(text.substr(0, word.size()), word, {}, lower);
  });
}

bool ControlBatch::takes(Kind kind, const WireMessage& message, const ScriptRef& script) {
  if (message.whole() && goes_on(kind, message, script)) return true;
  *this = {};
  return false;
}

bool ControlBatch::begins(Step step, Kind kind, const ScriptRef& script) {
  if (step_ != Step::none || !is_one(kind, script)) return false;
  step_ = step;
  kind_ = kind;
  script_ = script;
  return true;
}

bool ControlBatch::closes_one(Kind kind, std::string_view body) {
  NamedRequest named;
  if (kind != Kind::forget || (step_ != Step::none && step_ != Step::closed)) return false;
  if (!decode_named(body, named) || named.what != 'S' || closes_.size() == closes_max) return false;
  step_ = Step::closed;
  kind_ = kind;
  closes_.emplace_back(named.name);
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
      return step_ == Step::executed || step_ == Step::closed;
    case request::close:
      return closes_one(kind, message.body);
    default:
      return false;
  }
}

std::string ControlBatch::replies(std::string_view tag) const {
  std::string bytes;
  for (std::size_t i = 0; i < closes_.size(); ++i) bytes += closed;
  if (parses_) bytes += parsed;
  if (!simple_ && closes_.empty()) bytes += bound;
  if (described_) bytes += no_columns;
  if (!tag.empty()) BackendWriter(bytes).command_complete(tag);
  return bytes;
}

}  // namespace based::postgres
