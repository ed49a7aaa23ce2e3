// The Relay while the server copies in: whatever comes is the COPY's.
#include <string>

#include "backends/postgres/relay.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {

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
  if (stacked() && message.type != request::copy_done && message.type != request::copy_fail) {
    // The server ends who says this, and with it what the link is for.
    let_go();
    return end(Error::make(Sqlstate("08P01"),
                           "unexpected message type " +
                               std::to_string(static_cast<unsigned char>(message.type)) +
                               " during COPY from stdin"));
  }
  copying_in_ = false;
  // Anything but these two ends the COPY too, with the server's error.
  forward(message);
  // What comes next waits for the answer, which the server would keep back for it.
  if (extended_) FrontendWriter(link_->out()).flush();
}

// The server does not look up from a COPY while it waits for data, even if it is told to cancel.
void Relay::fail_copy() {
  if (!copying_in_ || part_left_ != 0 || cancel_reason_.empty()) return;
  copying_in_ = false;
  FrontendWriter(link_->out()).copy_fail(cancel_reason_);
  link_->flush();
}

}  // namespace based::postgres
