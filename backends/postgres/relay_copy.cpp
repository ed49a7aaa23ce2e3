// The Relay while the server copies in: whatever comes is the COPY's.
#include <algorithm>
#include <string>
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/wire_error.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

// In the server's words.
std::string misplaced_error(char type) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(type);
  return std::string("unexpected message type 0x") + digits[byte >> 4] + digits[byte & 15] +
         " during COPY from stdin";
}

}  // namespace

// COPY data while the server copies in; otherwise it came too late, and is nobody's.
void Relay::take_copy(const WireMessage& message) {
  switch (message.type) {
    case request::copy_data:
      if (copying_in_) forward(message);
      return;
    case request::flush:
    case request::sync:
      return;  // as the server does
    default:
      break;
  }
  if (!copying_in_) return;
  copying_in_ = false;
  forward(message);
  // What comes next waits for the answer, which the server would keep back for it.
  if (extended_) FrontendWriter(link_->out()).flush();
}

// The server does not look up from a COPY while it waits for data, even if it is told to cancel.
// `misplaced` has no place in a COPY: the server would end its client, and with it the link.
void Relay::fail_copy(char misplaced) {
  if (!copying_in_ || part_left_ != 0) return;
  if (misplaced == 0 && cancel_reason_.empty()) return;
  copying_in_ = false;
  misplaced_ = misplaced;
  const std::string reason = misplaced != 0 ? misplaced_error(misplaced) : cancel_reason_;
  FrontendWriter(link_->out()).copy_fail(reason);
  if (extended_) FrontendWriter(link_->out()).flush();
  link_->flush();
}

// The client is told what the server says to who sends such a message, and closed as it would be.
// False: the COPY had failed before, and the message is what the client goes on with.
bool Relay::end_misplaced(const Reply& reply, const ErrorFields& fields) {
  const std::string reason = misplaced_error(std::exchange(misplaced_, '\0'));
  if (fields.sqlstate != "57014" || !fields.message.ends_with(reason)) return false;
  std::string bytes;
  append_rewritten_error(bytes, reply.body, {.sqlstate = "08P01", .message = reason});
  to_client(bytes);
  let_go();
  end(Error::make(sqlstate::protocol_violation,
                  "terminating connection because protocol synchronization was lost"));
  return true;
}

bool Relay::may_copy(const Script& script) const {
  return std::ranges::any_of(script.statements,
                             [](const StatementRef& statement) { return statement->may_copy; });
}

}  // namespace based::postgres
