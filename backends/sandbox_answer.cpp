#include "backends/sandbox_answer.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <string>
#include <utility>

#include "protocol/check.h"

namespace based {
namespace {

constexpr std::array status_columns{
    SandboxColumn{"name"},
    SandboxColumn{"state"},
    SandboxColumn{"holder", true},
    SandboxColumn{"waiting", true},
    SandboxColumn{"units", true},
    SandboxColumn{"transactions", true},
    SandboxColumn{"epoch", true},
    SandboxColumn{"resets", true},
    SandboxColumn{"age_ms", true},
    SandboxColumn{"marks"},
    SandboxColumn{"kind"},
    SandboxColumn{"xid"},
    SandboxColumn{"locks", true},
    SandboxColumn{"sequences"},
    SandboxColumn{"joins_lost", true},
    SandboxColumn{"subtransactions", true},
    SandboxColumn{"exclusive_locks", true},
    SandboxColumn{"locked_tables"},
    SandboxColumn{"user"},
    SandboxColumn{"warnings"},
};
constexpr std::array log_columns{
    SandboxColumn{"number", true}, SandboxColumn{"time"},        SandboxColumn{"session", true},
    SandboxColumn{"client"},       SandboxColumn{"level", true}, SandboxColumn{"duration_us", true},
    SandboxColumn{"rows", true},   SandboxColumn{"sqlstate"},    SandboxColumn{"error"},
    SandboxColumn{"statement"},
};

ValueView number(std::uint64_t value) { return ValueView::of(static_cast<std::int64_t>(value)); }
ValueView text_or_null(std::string_view text) {
  return text.empty() ? ValueView::null() : ValueView::text(text);
}

ValueList row_of(const SandboxStatus& status) {
  std::string marks;
  for (const std::string& mark : status.marks) marks.append(marks.empty() ? "" : " ").append(mark);
  std::string warnings;
  for (const std::string& one : status.warnings) {
    warnings.append(warnings.empty() ? "" : "; ").append(one);
  }
  const std::array<ValueView, status_columns.size()> values{
      ValueView::text(status.name),
      ValueView::text(status.state),
      status.holder == 0 ? ValueView::null() : number(status.holder),
      number(status.waiting),
      number(status.units),
      number(status.transactions),
      number(status.epoch),
      number(status.resets),
      number(status.age_ms),
      ValueView::text(marks),
      ValueView::text(status.kind),
      text_or_null(status.xid),
      number(status.locks),
      text_or_null(status.sequences),
      number(status.joins_lost),
      number(status.subtransactions),
      number(status.exclusive_locks),
      text_or_null(status.locked_tables),
      text_or_null(status.user),
      text_or_null(warnings)};
  return ValueList::copy_of(values);
}

// "2026-11-21T12:34:56.789Z"
std::string text_of(std::chrono::system_clock::time_point at) {
  using std::chrono::milliseconds;
  const auto since = std::chrono::duration_cast<milliseconds>(at.time_since_epoch());
  const std::time_t seconds = since.count() / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> date{};
  const std::size_t length = std::strftime(date.data(), date.size(), "%FT%T", &parts);
  std::array<char, 8> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%03dZ", static_cast<int>(since.count() % 1000));
  return std::string(date.data(), length) + fraction.data();
}

ValueList row_of(const SandboxLogEntry& entry) {
  const std::string at = text_of(entry.at);
  const auto duration = std::chrono::duration_cast<std::chrono::microseconds>(entry.duration);
  const std::array<ValueView, log_columns.size()> values{
      number(entry.number),      ValueView::text(at),
      number(entry.session),     ValueView::text(entry.client),
      number(entry.level),       ValueView::of(static_cast<std::int64_t>(duration.count())),
      number(entry.rows),        text_or_null(entry.sqlstate),
      text_or_null(entry.error), ValueView::text(entry.statement)};
  return ValueList::copy_of(values);
}

}  // namespace

std::string_view sandbox_tag(SandboxVerb verb) {
  switch (verb) {
    case SandboxVerb::status:
      return "SANDBOX STATUS";
    case SandboxVerb::list:
      return "SANDBOX LIST";
    case SandboxVerb::log:
      return "SANDBOX LOG";
    case SandboxVerb::reset:
      return "SANDBOX RESET";
    case SandboxVerb::mark:
      return "SANDBOX MARK";
    case SandboxVerb::drop:
      return "SANDBOX DROP";
  }
  INVARIANT(false);
}

std::span<const SandboxColumn> sandbox_columns(SandboxVerb verb) {
  switch (verb) {
    case SandboxVerb::status:
    case SandboxVerb::list:
      return status_columns;
    case SandboxVerb::log:
      return log_columns;
    case SandboxVerb::reset:
    case SandboxVerb::mark:
    case SandboxVerb::drop:
      return {};
  }
  INVARIANT(false);
}

std::vector<ValueList> sandbox_rows(SandboxVerb verb, Sandbox& sandbox) {
  INVARIANT(!sandbox_changes(verb));
  std::vector<ValueList> rows;
  if (verb == SandboxVerb::status) {
    rows.push_back(row_of(sandbox.status()));
  } else if (verb == SandboxVerb::list) {
    for (const SandboxStatus& status : sandbox.list()) rows.push_back(row_of(status));
  } else {
    for (const SandboxLogEntry& entry : sandbox.log().entries()) rows.push_back(row_of(entry));
  }
  return rows;
}

void change_sandbox(const Statement& statement, Sandbox& sandbox, Sandbox::Done done) {
  INVARIANT(statement.kind == StatementKind::sandbox && sandbox_changes(statement.verb));
  if (statement.verb == SandboxVerb::mark) return sandbox.mark(statement.name, std::move(done));
  if (statement.verb == SandboxVerb::drop) return sandbox.drop(std::move(done));
  std::optional<std::string> mark;
  if (!statement.name.empty()) mark = statement.name;
  sandbox.reset(mark, std::move(done));
}

}  // namespace based
