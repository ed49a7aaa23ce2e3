#include "backends/sqlite/overlay_io.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace based::sqlite {

std::int64_t read_at(int fd, char* into, std::int64_t count, std::int64_t offset) {
  std::int64_t done = 0;
  while (done < count) {
    const auto got =
        ::pread(fd, into + done, static_cast<std::size_t>(count - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += got;
  }
  return done;
}

int write_at(int fd, const char* from, std::int64_t count, std::int64_t offset) {
  std::int64_t done = 0;
  while (done < count) {
    const auto put =
        ::pwrite(fd, from + done, static_cast<std::size_t>(count - done), offset + done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    done += put;
  }
  return SQLITE_OK;
}

Result<int> open_nameless(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
  if (fd >= 0) return fd;
  if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL) {
    std::string name = directory + "/based-overlay-XXXXXX";
    const int named = ::mkostemp(name.data(), O_CLOEXEC);
    if (named >= 0) {
      ::unlink(name.c_str());
      return named;
    }
  }
  return Error::make(sqlstate::undefined_file,
                     "no temporary file can be made in " + directory + ": " + std::strerror(errno));
}

}  // namespace based::sqlite
