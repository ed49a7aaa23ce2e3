// The server's errors on their way to a PostgreSQL client, with what must not be told changed.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace based::postgres {

// The server's ErrorResponse as this client may see it: a FATAL that ended the link and not the
// client is an ERROR, each `from` in its message becomes `to` (a statement's name on the server and
// the client's own name for it), and its position counts the characters `before` the part of the
// client's text that the server was sent. REQUIRES that the body was decoded once.
struct ErrorRewrite {
  bool soften = false;
  std::string_view from;
  std::string_view to;
  std::int32_t before = 0;             // negative: it was sent more than its text
  std::string_view hint;               // behind the server's own
  std::string detail;                  // the same
  std::string_view sqlstate, message;  // in the place of the server's; empty: its own
};
void append_rewritten_error(std::string& out, std::string_view body, const ErrorRewrite& rewrite);

}  // namespace based::postgres
