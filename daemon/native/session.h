// NativeSession: one session of a native client: its queue of requests, its transaction stack, the
// unit in flight.
//
// Requests run one after another, in their order. Destroying a session rolls back what is open and
// answers nothing. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "daemon/database_directory.h"
#include "daemon/native/session_host.h"
#include "daemon/status.h"
#include "protocol/native/requests.h"

namespace based::native {

class NativeSession {
 public:
  virtual ~NativeSession() = default;

  // A queued request: CLOSE, EXEC, BATCH or TX. Exactly one send_final() answers it, maybe inside
  // this call. The payload is valid during the call only.
  virtual void take(const FrameHeader& header, std::string_view payload) = 0;
  // A request that came behind those taken so far was refused before it reached the session: what
  // is chained to it is skipped.
  virtual void note_refused() = 0;
  // Is the request running or waiting here?
  virtual bool has_request(std::uint32_t request) const = 0;
  // Its credit grows; 0 rows: the rest of its result is discarded. A request that is not here: no
  // effect.
  virtual void fetch(std::uint32_t request, std::uint64_t rows) = 0;
  // Cancels one request, or with 0 all that were taken so far. Was there one?
  virtual bool cancel(std::uint32_t request) = 0;
  // The output has room again.
  virtual void on_drained() = 0;

  // From now on what would begin something new is answered 57P01. What is open may finish.
  virtual void drain() = 0;
  // Nothing runs, waits or is open.
  virtual bool is_idle() const = 0;
  // Every request without an answer is answered with `error`. The session is destroyed next.
  virtual void end(const Error& error) = 0;

  virtual TransactionReport transaction() const = 0;
  virtual SessionStatus status() const = 0;
};

// Which session it is.
struct SessionIdentity {
  std::uint32_t number = 0;            // the client's
  std::uint64_t id = 0;                // the daemon's
  std::unique_ptr<JoinTicket> ticket;  // null: it is not shared
};

// `options` says what OPEN said; its texts are copied. The host and the database outlive the
// session.
std::unique_ptr<NativeSession> make_session(SessionHost& host,
                                            const DatabaseDirectory::Entry& entry,
                                            const Open& options, SessionIdentity identity);

}  // namespace based::native
