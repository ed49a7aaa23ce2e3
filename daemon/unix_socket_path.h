// UnixSocketPath: the right to a path for a listening unix socket, held by a lock file beside it.
//
// A socket file outlives its daemon. The lock does not: whoever has it may remove a stale socket,
// and a path whose lock is taken belongs to a living daemon. A socket that somebody else listens on
// (a PostgreSQL, whose lock is of another kind) is left to them.
#pragma once

#include <string>

#include "protocol/result.h"

namespace based {

class UnixSocketPath {
 public:
  // Takes "PATH.lock" (kept open, mode 0600) and removes a stale socket at PATH. 55P03 when
  // somebody listens there; 58030 when the folder cannot be used; 22023 when the path is longer
  // than a socket address or is another kind of file.
  static Result<UnixSocketPath> claim(std::string path);

  UnixSocketPath(UnixSocketPath&& other) noexcept;
  UnixSocketPath& operator=(UnixSocketPath&&) = delete;
  // Removes the socket, then the lock file, then lets the lock go.
  ~UnixSocketPath();

  const std::string& path() const { return path_; }

 private:
  UnixSocketPath(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::string path_;
  int lock_;
};

}  // namespace based
