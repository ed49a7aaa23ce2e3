#include "backends/sqlite/statement_cache.h"

#include <algorithm>

namespace based::sqlite {

CompiledStatement* StatementCache::find(std::string_view text) {
  const auto found = by_text_.find(text);
  if (found == by_text_.end()) return ++misses_, nullptr;
  ++hits_;
  entries_.splice(entries_.begin(), entries_, found->second);
  return &*found->second;
}

CompiledStatement* StatementCache::add(CompiledStatement statement) {
  // A pragma may read what it was compiled with, and its refusals depend on the moment.
  statement.cached = entries_max_ > 0 && statement.text.size() <= text_bytes_max &&
                     !statement.facts.is_pragma && statement.handle != nullptr &&
                     !by_text_.contains(statement.text);
  auto& list = statement.cached ? entries_ : uncached_;
  list.push_front(std::move(statement));
  if (list.front().cached) {
    by_text_.emplace(list.front().text, list.begin());
    evict();
  }
  return &list.front();
}

void StatementCache::evict() {
  while (by_text_.size() > entries_max_) {
    auto& oldest = entries_.back();
    by_text_.erase(oldest.text);
    sqlite3_finalize(oldest.handle);
    entries_.pop_back();
  }
}

int StatementCache::release(CompiledStatement* statement) {
  const int code = sqlite3_reset(statement->handle);
  if (statement->handle != nullptr) sqlite3_clear_bindings(statement->handle);
  if (statement->cached) return code;
  sqlite3_finalize(statement->handle);
  uncached_.remove_if([statement](const auto& entry) { return &entry == statement; });
  return code;
}

void StatementCache::clear() {
  by_text_.clear();
  for (auto* list : {&entries_, &uncached_}) {
    for (auto& entry : *list) sqlite3_finalize(entry.handle);
    list->clear();
  }
}

}  // namespace based::sqlite
