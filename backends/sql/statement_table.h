// StatementTable: the interned texts of one database, so that a text is cut and classified once.
//
// Bounded: the least recently used texts are forgotten; who holds a ScriptRef keeps it. A hit
// allocates nothing. One per Database. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "backends/statement.h"
#include "protocol/result.h"

namespace based::sql {

class StatementTable {
 public:
  struct Limits {
    std::size_t entries_max = 4096;
    std::size_t bytes_max = 16u << 20;       // of kept texts, both the client's and the translated
    std::size_t text_bytes_max = 64u << 10;  // a longer text is parsed each time, never kept
  };
  struct Counters {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t evictions = 0;
  };

  StatementTable(Dialect dialect, Limits limits);
  explicit StatementTable(Dialect dialect) : StatementTable(dialect, Limits()) {}
  // Statements have their sandbox forms from now on (backends/sql/sandbox_form.h).
  void rewrite_for_sandbox() { for_sandbox_ = true; }
  StatementTable(const StatementTable&) = delete;
  StatementTable& operator=(const StatementTable&) = delete;

  // The text's statements; see parse_script() (backends/sql/script.h) for the errors. Errors are
  // not kept.
  Result<ScriptRef> intern(std::string_view text, ParameterStyle style);

  std::size_t size() const { return entries_.size(); }
  std::size_t bytes() const { return bytes_; }
  const Counters& counters() const { return counters_; }

 private:
  struct Entry {
    std::string text;
    ParameterStyle style = ParameterStyle::none;
    ScriptRef script;
    std::size_t bytes = 0;
  };
  struct Key {
    std::string_view text;  // of the Entry, or of the caller during a look-up
    ParameterStyle style;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept;
  };

  void keep(std::string_view text, ParameterStyle style, const ScriptRef& script);
  void forget_oldest();

  Dialect dialect_;
  Limits limits_;
  bool for_sandbox_ = false;
  std::size_t bytes_ = 0;
  Counters counters_;
  std::list<Entry> entries_;  // newest used first; nodes do not move, so keys may view their texts
  std::unordered_map<Key, std::list<Entry>::iterator, KeyHash> index_;
};

}  // namespace based::sql
