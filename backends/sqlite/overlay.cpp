#include "backends/sqlite/overlay.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

namespace based::sqlite {
namespace {

// SQLite's file format, "Locking And Concurrency" and "WAL-mode File Format".
constexpr off_t pending_byte = 0x40000000;
constexpr off_t shared_first = pending_byte + 2;
constexpr off_t shared_size = 510;
constexpr off_t log_read_lock_0 = 123;  // in the -shm file: holds every checkpoint off
constexpr off_t log_version_offset = 18;

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

}  // namespace

Overlay::Overlay(std::string path, std::string temp_dir)
    : path_(std::move(path)), temp_dir_(std::move(temp_dir)) {}

Overlay::~Overlay() {
  if (!vfs_name_.empty()) sqlite3_vfs_unregister(&vfs_);
  if (log_index_fd_ >= 0) ::close(log_index_fd_);
  if (base_fd_ >= 0) ::close(base_fd_);
}

Result<std::unique_ptr<Overlay>> Overlay::open(const std::string& path, const std::string& temp_dir,
                                               Duration patience) {
  auto* system = sqlite3_vfs_find(nullptr);
  // The name as SQLite will spell it, symbolic links resolved: the journal's name follows from it.
  std::string full(static_cast<std::size_t>(system->mxPathname) + 1, '\0');
  const int code =
      system->xFullPathname(system, path.c_str(), static_cast<int>(full.size()), full.data());
  if (code != SQLITE_OK && code != SQLITE_OK_SYMLINK) {
    return Error::make(sqlstate::undefined_file, "cannot resolve the path " + path);
  }
  full.resize(std::strlen(full.c_str()));
  std::unique_ptr<Overlay> overlay{new Overlay(std::move(full), temp_dir)};
  overlay->system_ = system;
  auto body = OverlayBody::make(temp_dir);
  if (!body) return std::move(body).error();
  overlay->main_ = std::move(body).value();
  if (auto opened = overlay->open_base(patience); !opened) return std::move(opened).error();
  overlay->register_vfs();
  return overlay;
}

Result<void> Overlay::open_base(Duration patience) {
  base_fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (base_fd_ < 0 && (errno == ENOENT || errno == ENOTDIR)) return {};
  if (base_fd_ < 0) return system_error("cannot open " + path_);
  if (::fstat(base_fd_, &base_stat_) != 0) return system_error("cannot read " + path_);
  if (!S_ISREG(base_stat_.st_mode)) {
    return Error::make(sqlstate::undefined_file, "cannot open " + path_ + ": not a regular file");
  }
  if (auto locked = lock_base(patience); !locked) return locked;
  std::array<char, 2> versions{};
  base_has_log_ = ::pread(base_fd_, versions.data(), versions.size(), log_version_offset) == 2 &&
                  versions[0] == 2 && versions[1] == 2;
  if (base_has_log_) {
    if (auto locked = lock_log_index(patience); !locked) return locked;
  }
  // Only now, under the locks, does the size hold.
  if (::fstat(base_fd_, &base_stat_) != 0) return system_error("cannot read " + path_);
  main_->put_over(base_fd_, base_stat_.st_size);
  if (auto adopted = adopt("-wal"); !adopted) return adopted;
  if (auto adopted = adopt("-journal"); !adopted) return adopted;
  return verify_base();
}

Result<void> Overlay::lock_base(Duration patience) {
  const auto until = Clock::now() + patience;
  // A waiting writer holds the pending byte: newcomers stay behind it, as SQLite's own do.
  if (!lock_patiently(base_fd_, pending_byte, 1, until)) return busy(path_);
  const bool locked = lock_patiently(base_fd_, shared_first, shared_size, until);
  set_lock(base_fd_, F_UNLCK, pending_byte, 1);
  if (!locked) return busy(path_);
  return {};
}

Result<void> Overlay::lock_log_index(Duration patience) {
  if (log_index_fd_ >= 0) return {};
  log_index_fd_ = ::open((path_ + "-shm").c_str(), O_RDONLY | O_CLOEXEC);
  if (log_index_fd_ < 0) return {};  // nobody has the database open
  if (lock_patiently(log_index_fd_, log_read_lock_0, 1, Clock::now() + patience)) return {};
  ::close(log_index_fd_);
  log_index_fd_ = -1;
  return busy(path_);
}

Result<void> Overlay::adopt(std::string_view suffix) {
  const std::string name = path_ + std::string{suffix};
  const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return {};
  if (fd < 0) return system_error("cannot open " + name);
  Result<void> copied;
  auto body = OverlayBody::make(temp_dir_);
  if (!body) {
    copied = std::move(body).error();
  } else {
    copied = (*body)->copy_from(fd);
    if (copied && (*body)->size() > 0) named_.emplace(name, std::move(body).value());
  }
  ::close(fd);
  return copied;
}

Result<void> Overlay::verify_base() {
  if (base_fd_ < 0) return {};
  // Somebody may have opened the file since: from now on their checkpoints are held off.
  if (base_has_log_ && log_index_fd_ < 0) {
    if (auto locked = lock_log_index(Duration{}); !locked) return locked;
  }
  struct stat now {};
  if (::fstat(base_fd_, &now) == 0 && same_content(now, base_stat_)) return {};
  return Error::make(sqlstate::object_not_in_prerequisite_state,
                     "the file " + path_ + " was changed by another program")
      .with_detail("a sandbox reads its unchanged pages from the file, which must stay as it was")
      .with_scope(ErrorScope::session);
}

bool Overlay::exists(const char* name, int flags) const {
  const std::string_view text = name;
  if (text == path_) return main_->size() > 0;
  if (named_.contains(text)) return true;
  if (text == path_ + "-journal" || text == path_ + "-wal") return false;
  int result = 0;
  return system_->xAccess(system_, name, flags, &result) == SQLITE_OK && result != 0;
}

int Overlay::delete_file(std::string_view name) {
  const auto found = named_.find(name);
  if (found == named_.end()) return SQLITE_IOERR_DELETE_NOENT;
  named_.erase(found);
  return SQLITE_OK;
}

}  // namespace based::sqlite
