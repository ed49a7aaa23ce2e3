// TypeCatalogue: the names of the types that users made in one database.
//
// Loaded by a Chore on some link: when the first one opens, after a statement that made a type, and
// after a result had a type without a name. Loop thread only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "backends/postgres/link.h"

namespace based::postgres {

class TypeCatalogue {
 public:
  // "" where it is not known (yet).
  std::string_view find(std::uint32_t oid) const;

  bool stale() const { return stale_; }
  void mark_stale() { stale_ = true; }
  // A result has a type that find() does not know. Asked again at most once for each OID.
  void miss(std::uint32_t oid);
  // The chore that loads it; it is not stale any more. The catalogue must outlive the link.
  Chore load();
  std::size_t size() const { return names_.size(); }

 private:
  std::unordered_map<std::uint32_t, std::string> names_;  // "": asked for and not found
  bool stale_ = true;
};

}  // namespace based::postgres
