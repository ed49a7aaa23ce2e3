// The server's errors on their way to a PostgreSQL client, with what must not be told changed.
// Pure.
#pragma once

#include <string>
#include <string_view>

namespace based::postgres {

// The server's ErrorResponse as this client may see it: a FATAL that ended the link and not the
// client is an ERROR, and each `from` in its message becomes `to` (a statement's name on the server
// and the client's own name for it). REQUIRES that the body was decoded once.
struct ErrorRewrite {
  bool soften = false;
  std::string_view from;
  std::string_view to;
};
void append_rewritten_error(std::string& out, std::string_view body, const ErrorRewrite& rewrite);

}  // namespace based::postgres
