#include "protocol/sqlstate.h"

namespace based {

Sqlstate Sqlstate::from_peer(std::string_view code) noexcept {
  Sqlstate result;
  if (code.size() != 5) return result;
  for (char c : code) {
    if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'))) return result;
  }
  for (std::size_t i = 0; i < 5; ++i) result.characters_[i] = code[i];
  return result;
}

std::string_view condition_name(Sqlstate) noexcept { return ""; }

}  // namespace based
