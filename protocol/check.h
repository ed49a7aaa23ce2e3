// INVARIANT: an invariant of ours, tested in release builds too.
//
// A failed INVARIANT is a bug in Based, never an answer to a peer's bytes or SQL: those get an
// Error. It prints the expression with its place on stderr and aborts, so that the service manager
// starts afresh. Any thread.
#pragma once

namespace based {

[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace based

#define INVARIANT(expression) \
  ((expression) ? static_cast<void>(0) : ::based::check_failed(#expression, __FILE__, __LINE__))
