// Channel: the open byte stream of one link, and the way to cancel what runs on it.
//
// PqChannel (opener.h) implements it over a connection that libpq opened, plain or TLS; tests over
// a socket pair. Loop thread only. Nothing here blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace based::postgres {

enum class Io : std::uint8_t {
  done,         // some bytes
  wants_read,   // again when the descriptor is readable
  wants_write,  // again when it is writable (TLS may want either for both)
  ended,        // the peer has closed
  failed,       // errno or TLS, see Channel::last_error
};

struct IoResult {
  Io io = Io::failed;
  std::size_t bytes = 0;
};

class Channel {
 public:
  virtual ~Channel() = default;  // closes; a `done` of cancel() that is outstanding never runs
  virtual int fd() const = 0;
  virtual IoResult read(std::span<char> space) = 0;
  // Must it be read until wants_read? What TLS has decrypted and kept is not seen by the
  // descriptor's watch; without TLS a read that left room has read everything.
  virtual bool keeps_bytes() const = 0;
  virtual IoResult write(std::string_view bytes) = 0;
  virtual std::string last_error() const = 0;
  // The server's process, for logs.
  virtual std::int32_t process_id() const = 0;
  // A parameter that the server reported while the link was opened ("server_encoding"), or "".
  virtual std::string parameter(const std::string& name) const = 0;
  // Asks the server to cancel what it runs for this link, off the loop. `done` runs on the loop
  // when the request has been taken (true), or could not be made (false). One at a time.
  virtual void cancel(std::function<void(bool sent)> done) = 0;
};

// One attempt to open a link. Destroying it gives it up: its `done` never runs, and a connection
// that comes all the same is closed.
class OpenAttempt {
 public:
  virtual ~OpenAttempt() = default;
};

class Opener {
 public:
  using Done = std::function<void(Result<std::unique_ptr<Channel>>)>;
  virtual ~Opener() = default;
  // `done` runs on the loop, never inside this call.
  virtual std::unique_ptr<OpenAttempt> open(Done done) = 0;
};

}  // namespace based::postgres
