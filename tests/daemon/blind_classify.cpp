// based_blind: the daemon with an eye put out, to see what holds without it. No text is known to
// be transaction control, a setting, or anything but a statement like any other. Not installed;
// tests/e2e/test_sandbox_nets.py runs it.
#include "backends/sql/classify.h"

namespace based::sql {

// The linker sends classify()'s callers here.
std::optional<Error> classify_nothing(const Cursor&, const Traits&, std::uint32_t, Statement&) asm(
    "__wrap__ZN5based3sql8classifyERKNS0_6CursorERKNS0_6TraitsEjRNS_9StatementE");

std::optional<Error> classify_nothing(const Cursor&, const Traits&, std::uint32_t,
                                      Statement& statement) {
  statement.kind = StatementKind::other;
  return std::nullopt;
}

}  // namespace based::sql
