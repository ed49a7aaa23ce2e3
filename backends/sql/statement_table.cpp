#include "backends/sql/statement_table.h"

#include <functional>
#include <utility>

#include "backends/sql/sandbox_form.h"
#include "backends/sql/script.h"

namespace based::sql {
namespace {

// What an entry costs besides its texts, near enough.
constexpr std::size_t entry_overhead = 512;
constexpr std::size_t statement_overhead = sizeof(Statement) + 64;

std::size_t bytes_of(std::string_view text, const Script& script) {
  std::size_t bytes = entry_overhead + text.size();
  for (const StatementRef& statement : script.statements) {
    bytes += statement_overhead + statement->text.size() + statement->written.size() +
             statement->setting.size() + statement->edits.size() * sizeof(TextEdit);
    if (statement->in_sandbox) bytes += statement_overhead + statement->in_sandbox->text.size();
    for (const std::string& name : statement->parameter_names) bytes += sizeof name + name.size();
  }
  return bytes;
}

}  // namespace

std::size_t StatementTable::KeyHash::operator()(const Key& key) const noexcept {
  return std::hash<std::string_view>{}(key.text) * 3 + static_cast<std::size_t>(key.style);
}

StatementTable::StatementTable(Dialect dialect, Limits limits)
    : dialect_(dialect), limits_(limits) {}

Result<ScriptRef> StatementTable::intern(std::string_view text, ParameterStyle style) {
  const auto found = index_.find(Key{text, style});
  if (found != index_.end()) {
    ++counters_.hits;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->script;
  }
  ++counters_.misses;
  Result<ScriptRef> script = parse_script(text, dialect_, style);
  if (script && for_sandbox_) script = with_sandbox_forms(*script);
  if (script) keep(text, style, *script);
  return script;
}

void StatementTable::keep(std::string_view text, ParameterStyle style, const ScriptRef& script) {
  const std::size_t bytes = bytes_of(text, *script);
  if (text.size() > limits_.text_bytes_max || bytes > limits_.bytes_max) return;
  if (limits_.entries_max == 0) return;
  while (entries_.size() >= limits_.entries_max || bytes_ > limits_.bytes_max - bytes) {
    forget_oldest();
  }
  entries_.push_front(
      {.text = std::string(text), .style = style, .script = script, .bytes = bytes});
  index_.emplace(Key{entries_.front().text, style}, entries_.begin());
  bytes_ += bytes;
}

void StatementTable::forget_oldest() {
  const Entry& oldest = entries_.back();
  index_.erase(Key{oldest.text, oldest.style});
  bytes_ -= oldest.bytes;
  entries_.pop_back();
  ++counters_.evictions;
}

}  // namespace based::sql
