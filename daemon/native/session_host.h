// SessionHost: what a native session asks of the connection that carries it. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "backends/log.h"
#include "backends/reactor.h"
#include "backends/wait_graph.h"
#include "daemon/native/limits.h"
#include "protocol/native/frame.h"
#include "protocol/native/replies.h"

namespace based::native {

class SessionHost {
 public:
  virtual ~SessionHost() = default;

  // One frame of the session that is not final: COLS, NOTICE (request 0 allowed).
  virtual void send(MessageType type, std::uint32_t session, std::uint32_t request,
                    std::string_view payload) = 0;
  // Whole frames, headers included: ROWS, as RowsWriter::finish() gives them.
  virtual void send_frames(std::string_view frames) = 0;
  // The final frame (END or ERROR) of a queued request, whose payload had `request_bytes`: it does
  // not count against the connection's limits any more. May be called inside NativeSession::take().
  virtual void send_final(MessageType type, std::uint32_t session, std::uint32_t request,
                          std::string_view payload, std::size_t request_bytes) = 0;
  // After the final frame of its CLOSE: the session is destroyed at the end of the turn, not inside
  // this call.
  virtual void closed(std::uint32_t session) = 0;

  // Is more unsent than the connection's output limit? Then a result pauses, and
  // NativeSession::on_drained() is called once when half of the limit is reached.
  virtual bool output_full() = 0;
  virtual std::uint32_t client_frame_bytes_max() const = 0;
  virtual const NativeLimits& limits() const = 0;
  virtual const std::string& peer() const = 0;
  virtual const std::string& user() const = 0;  // proved, or said where nobody asked; may be empty
  virtual Reactor& reactor() = 0;
  virtual Log& log() = 0;
  // The client as one who waits and holds; outlives the sessions.
  virtual WaitOwner& wait_owner() = 0;
};

}  // namespace based::native
