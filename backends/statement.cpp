#include "backends/statement.h"

#include <algorithm>

namespace based {

std::uint32_t Statement::client_offset(std::uint32_t text_offset) const noexcept {
  const auto after = std::upper_bound(
      edits.begin(), edits.end(), text_offset,
      [](std::uint32_t at, const TextEdit& edit) { return at < edit.translated_begin; });
  if (after == edits.begin()) return offset + text_offset;
  const TextEdit& edit = *std::prev(after);
  if (text_offset < edit.translated_end) return offset + edit.original_begin;
  return offset + edit.original_end + (text_offset - edit.translated_end);
}

}  // namespace based
