#include "backends/sqlite/overlay_base.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "backends/sqlite/overlay_io.h"

namespace based::sqlite {
namespace {

// SQLite's file format, "Locking And Concurrency" and "WAL-mode File Format".
constexpr off_t pending_byte = 0x40000000;
constexpr off_t shared_first = pending_byte + 2;
constexpr off_t shared_size = 510;
constexpr off_t log_read_lock_0 = 123;  // in the -shm file: holds every checkpoint off
constexpr off_t log_version_offset = 18;
constexpr off_t change_counter_offset = 24;

// Open file description locks: they conflict with SQLite's as they should, but closing another
// descriptor of the file somewhere in this process does not drop them.
int set_lock(int fd, short type, off_t start, off_t length) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

bool lock_patiently(int fd, off_t start, off_t length, TimePoint until) {
  for (;;) {
    const int failed = set_lock(fd, F_RDLCK, start, length);
    // A file system without locks has no other SQLite process that honours them either.
    if (failed != EAGAIN && failed != EACCES) return true;
    if (Clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Error busy(const std::string& path) {
  return Error::make(sqlstate::lock_not_available,
                     "cannot read " + path + ": another process is writing it");
}

Error system_error(const std::string& what) {
  return Error::make(
      errno == EACCES || errno == EPERM ? sqlstate::undefined_file : sqlstate::io_error,
      what + ": " + std::strerror(errno));
}

bool same_content(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

Result<std::int64_t> copy(int from, int to) {
  std::array<char, 65536> buffer;
  for (std::int64_t size = 0;;) {
    const auto got = read_at(from, buffer.data(), std::ssize(buffer), size);
    if (got < 0) return system_error("cannot be read");
    if (got == 0) return size;
    if (const int code = write_at(to, buffer.data(), got, size); code != SQLITE_OK) {
      return Error::make(code == SQLITE_FULL ? sqlstate::disk_full : sqlstate::io_error,
                         std::string{"cannot be copied: "} + std::strerror(errno));
    }
    size += got;
  }
}

void close_if_open(int fd) {
  if (fd >= 0) ::close(fd);
}

}  // namespace

OverlayBase::~OverlayBase() {
  close_if_open(log_index_fd_);
  close_if_open(log_.fd);
  close_if_open(journal_.fd);
  close_if_open(main_.fd);
}

Result<std::string> OverlayBase::full_path(const std::string& path) {
  auto* system = sqlite3_vfs_find(nullptr);
  std::string full(static_cast<std::size_t>(system->mxPathname) + 1, '\0');
  const int code =
      system->xFullPathname(system, path.c_str(), static_cast<int>(full.size()), full.data());
  if (code != SQLITE_OK && code != SQLITE_OK_SYMLINK) {
    return Error::make(sqlstate::undefined_file, "cannot resolve the path " + path);
  }
  full.resize(std::strlen(full.c_str()));
  return full;
}

Result<std::shared_ptr<OverlayBase>> OverlayBase::open(std::string path,
                                                       const std::string& temp_dir,
                                                       Duration patience) {
  std::shared_ptr<OverlayBase> base{new OverlayBase(std::move(path))};
  if (auto opened = base->open_files(temp_dir, patience); !opened) {
    return std::move(opened).error();
  }
  return base;
}

std::shared_ptr<OverlayBase> OverlayBase::none(std::string name) {
  return std::shared_ptr<OverlayBase>{new OverlayBase(std::move(name))};
}

Result<void> OverlayBase::open_files(const std::string& temp_dir, Duration patience) {
  main_.fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (main_.fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return {};
  if (main_.fd < 0) return system_error("cannot open " + path_);
  if (::fstat(main_.fd, &stat_) != 0) return system_error("cannot read " + path_);
  if (!S_ISREG(stat_.st_mode)) {
    return Error::make(sqlstate::undefined_file, "cannot open " + path_ + ": not a regular file");
  }
  if (auto locked = lock_main(patience); !locked) return locked;
  std::array<char, 2> versions{};
  has_log_ = read_at(main_.fd, versions.data(), 2, log_version_offset) == 2 && versions[0] == 2 &&
             versions[1] == 2;
  if (has_log_) {
    if (auto locked = lock_log_index(patience); !locked) return locked;
  }
  // Only now, under the locks, does the size hold.
  if (::fstat(main_.fd, &stat_) != 0) return system_error("cannot read " + path_);
  main_.size = stat_.st_size;
  counter_ = change_counter();
  auto log = copy_of("-wal", temp_dir);
  if (!log) return std::move(log).error();
  log_ = *log;
  auto journal = copy_of("-journal", temp_dir);
  if (!journal) return std::move(journal).error();
  journal_ = *journal;
  return verify();
}

Result<void> OverlayBase::lock_main(Duration patience) {
  const auto until = Clock::now() + patience;
  // A waiting writer holds the pending byte: newcomers stay behind it, as SQLite's own do.
  if (!lock_patiently(main_.fd, pending_byte, 1, until)) return busy(path_);
  const bool locked = lock_patiently(main_.fd, shared_first, shared_size, until);
  set_lock(main_.fd, F_UNLCK, pending_byte, 1);
  if (!locked) return busy(path_);
  return {};
}

Result<void> OverlayBase::lock_log_index(Duration patience) {
  if (log_index_fd_ >= 0) return {};
  log_index_fd_ = ::open((path_ + "-shm").c_str(), O_RDONLY | O_CLOEXEC);
  if (log_index_fd_ < 0) return {};  // nobody has the database open
  if (lock_patiently(log_index_fd_, log_read_lock_0, 1, Clock::now() + patience)) return {};
  ::close(log_index_fd_);
  log_index_fd_ = -1;
  return busy(path_);
}

Result<OverlayFile::Content> OverlayBase::copy_of(std::string_view suffix,
                                                  const std::string& temp_dir) {
  const std::string name = path_ + std::string{suffix};
  const int from = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (from < 0 && errno == ENOENT) return OverlayFile::Content{};
  if (from < 0) return system_error("cannot open " + name);
  auto to = open_nameless(temp_dir);
  auto size = to ? copy(from, *to) : Result<std::int64_t>{to.error()};
  ::close(from);
  if (size && *size > 0) return OverlayFile::Content{.fd = *to, .size = *size};
  if (to) ::close(*to);
  if (size) return OverlayFile::Content{};
  size.error().message = name + ": " + size.error().message;
  return std::move(size).error();
}

OverlayBase::Counter OverlayBase::change_counter() const {
  Counter counter{};
  // A file too short for it is told by its size.
  read_at(main_.fd, counter.data(), std::ssize(counter), change_counter_offset);
  return counter;
}

Result<void> OverlayBase::verify() {
  if (main_.fd < 0) return {};
  const std::lock_guard lock{mutex_};
  // Somebody may have opened the file since: from now on their checkpoints are held off.
  if (has_log_) {
    if (auto locked = lock_log_index(Duration{}); !locked) return locked;
  }
  struct stat now {};
  if (::fstat(main_.fd, &now) == 0 && same_content(now, stat_) && change_counter() == counter_) {
    return {};
  }
  return Error::make(sqlstate::object_not_in_prerequisite_state,
                     "the file " + path_ + " was changed by another program")
      .with_detail("a sandbox reads its unchanged pages from the file, which must stay as it was")
      .with_scope(ErrorScope::session);
}

}  // namespace based::sqlite
