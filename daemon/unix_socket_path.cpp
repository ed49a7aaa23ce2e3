#include "daemon/unix_socket_path.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace based {
namespace {

Error failed(const std::string& path, const char* what) {
  return Error::make(sqlstate::io_error, path + ": " + what + ": " + std::strerror(errno));
}

// Is the locked file still the one that the name leads to? A daemon that stops removes it.
bool still_named(int fd, const std::string& path) {
  struct stat open_file {};
  struct stat named {};
  return fstat(fd, &open_file) == 0 && stat(path.c_str(), &named) == 0 &&
         open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

// A full queue is a sign of life, too.
bool is_listened_on(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int status = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const bool lives = status == 0 || errno == EAGAIN;
  close(fd);
  return lives;
}

constexpr int lock_attempts_max = 10;

Result<int> take_lock(const std::string& path) {
  const std::string lock_path = path + ".lock";
  for (int attempt = 0; attempt < lock_attempts_max; ++attempt) {
    const int fd = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return failed(lock_path, "cannot open the lock file");
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      close(fd);
      return Error::make(
          sqlstate::lock_not_available,
          path + ": another daemon is listening there (" + lock_path + " is locked)");
    }
    if (still_named(fd, lock_path)) return fd;
    close(fd);
  }
  return Error::make(sqlstate::lock_not_available, lock_path + ": it is replaced all the time");
}

}  // namespace

Result<UnixSocketPath> UnixSocketPath::claim(std::string path) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error::make(sqlstate::invalid_parameter_value,
                       path + ": a socket's path has 1 to " +
                           std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
  }
  Result<int> lock = take_lock(path);
  if (!lock) return std::move(lock).error();
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      close(*lock);
      return Error::make(sqlstate::invalid_parameter_value, path + ": it is there and no socket");
    }
    if (is_listened_on(path)) {
      close(*lock);
      return Error::make(sqlstate::lock_not_available, path + ": another program listens there");
    }
    unlink(path.c_str());
  }
  return UnixSocketPath(std::move(path), *lock);
}

UnixSocketPath::UnixSocketPath(UnixSocketPath&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

UnixSocketPath::~UnixSocketPath() {
  if (lock_ < 0) return;
  unlink(path_.c_str());
  unlink((path_ + ".lock").c_str());
  close(lock_);
}

}  // namespace based
