// StatementCache: compiled statements by text, least recently used out first. Lane thread.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "backends/sqlite/authorizer.h"

namespace based::sqlite {

struct CompiledStatement {
  std::string text;
  sqlite3_stmt* handle = nullptr;  // null: only comments and white space
  StatementFacts facts;
  std::string tag;            // "SELECT", "INSERT", "CREATE TABLE"
  bool counts_rows = false;   // INSERT, UPDATE, DELETE: changes() is its own
  bool gives_row_id = false;  // INSERT into a table that has row ids
  bool cached = false;
};

class StatementCache {
 public:
  explicit StatementCache(std::size_t entries_max) : entries_max_(entries_max) {}
  ~StatementCache() { clear(); }
  StatementCache(const StatementCache&) = delete;
  StatementCache& operator=(const StatementCache&) = delete;

  // The longest text that is kept. Longer ones are bulk data written into SQL: they do not come
  // again.
  static constexpr std::size_t text_bytes_max = 64 * 1024;

  CompiledStatement* find(std::string_view text);
  // Takes the statement over. The pointer is valid until release(): what is not kept dies there.
  CompiledStatement* add(CompiledStatement statement);
  // Resets it, and finalizes what is not kept. What sqlite3_reset says.
  int release(CompiledStatement* statement);
  void clear();

  std::size_t size() const { return by_text_.size(); }
  std::uint64_t hits() const { return hits_; }
  std::uint64_t misses() const { return misses_; }

 private:
  using Entries = std::list<CompiledStatement>;
  void evict();

  std::size_t entries_max_;
  Entries entries_;  // newest use first
  std::unordered_map<std::string_view, Entries::iterator> by_text_;
  Entries uncached_;
  std::uint64_t hits_ = 0, misses_ = 0;
};

}  // namespace based::sqlite
