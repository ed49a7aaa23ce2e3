#include "backends/postgres/type_catalogue.h"

#include <charconv>

namespace based::postgres {
namespace {

// Every table is a type too: those come last, and the number is bounded.
constexpr const char* query =
    "SELECT t.oid, t.typname FROM pg_catalog.pg_type t WHERE t.oid >= 16384 "
    "ORDER BY t.typrelid <> 0 OR t.typcategory = 'A', t.oid LIMIT 20000";

}  // namespace

std::string_view TypeCatalogue::find(std::uint32_t oid) const {
  const auto found = names_.find(oid);
  return found == names_.end() ? std::string_view() : found->second;
}

void TypeCatalogue::miss(std::uint32_t oid) {
  if (names_.size() < 100'000 && names_.try_emplace(oid).second) stale_ = true;
}

Chore TypeCatalogue::load() {
  stale_ = false;
  Chore chore;
  chore.texts = {query};
  chore.on_row = [this](const std::vector<Cell>& row) {
    std::uint32_t oid = 0;
    if (row.size() != 2) return;
    const std::string_view digits = row[0].bytes;
    std::from_chars(digits.data(), digits.data() + digits.size(), oid);
    names_[oid] = row[1].bytes;
  };
  return chore;
}

}  // namespace based::postgres
