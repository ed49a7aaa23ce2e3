#include "protocol/sqlstate.h"

#include <algorithm>

#include "protocol/conditions.h"

namespace based {
namespace {

constexpr bool conditions_are_sorted() {
  for (std::size_t i = 1; i < conditions.size(); ++i) {
    if (conditions[i - 1].code.text() >= conditions[i].code.text()) return false;
  }
  return true;
}
static_assert(conditions_are_sorted());

}  // namespace

Sqlstate Sqlstate::from_peer(std::string_view code) noexcept {
  Sqlstate result;
  if (code.size() != 5) return result;
  for (char c : code) {
    if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'))) return result;
  }
  for (std::size_t i = 0; i < 5; ++i) result.characters_[i] = code[i];
  return result;
}

std::string_view condition_name(Sqlstate code) noexcept {
  const auto* const row = std::lower_bound(
      conditions.begin(), conditions.end(), code.text(),
      [](const ConditionRow& one, std::string_view text) { return one.code.text() < text; });
  return row != conditions.end() && row->code == code ? row->name : std::string_view();
}

}  // namespace based
