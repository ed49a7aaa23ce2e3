#include "backends/sqlite/overlay_body.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "protocol/check.h"

namespace based::sqlite {
namespace {

// Reads up to `count` bytes; fewer only at the end of the file. -1 for an error.
std::int64_t read_all(int fd, char* into, std::int64_t count, std::int64_t offset) {
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

int write_all(int fd, const char* from, std::int64_t count, std::int64_t offset) {
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

int open_nameless(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
  std::string name = directory + "/based-overlay-XXXXXX";
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

}  // namespace

Result<std::shared_ptr<OverlayBody>> OverlayBody::make(const std::string& temp_dir) {
  const int fd = open_nameless(temp_dir);
  if (fd < 0) {
    return Error::make(sqlstate::undefined_file, "no temporary file can be made in " + temp_dir +
                                                     ": " + std::strerror(errno));
  }
  return std::shared_ptr<OverlayBody>(new OverlayBody(fd));
}

OverlayBody::~OverlayBody() { ::close(fd_); }

void OverlayBody::put_over(int fd, std::int64_t size) {
  INVARIANT(size_ == 0 && base_fd_ < 0);
  base_fd_ = fd;
  base_limit_ = size;
  size_ = size;
}

Result<void> OverlayBody::copy_from(int fd) {
  INVARIANT(size_ == 0);
  std::array<char, 65536> buffer;
  for (;;) {
    const auto got = read_all(fd, buffer.data(), std::ssize(buffer), size_);
    if (got < 0) {
      return Error::make(sqlstate::io_error, std::string{"copying: "} + std::strerror(errno));
    }
    if (got == 0) return {};
    if (const int code = write(buffer.data(), got, size_); code != SQLITE_OK) {
      return Error::make(code == SQLITE_FULL ? sqlstate::disk_full : sqlstate::io_error,
                         std::string{"copying: "} + sqlite3_errstr(code));
    }
  }
}

bool OverlayBody::is_private(std::int64_t block) const {
  if (base_fd_ < 0) return true;
  const auto word = static_cast<std::size_t>(block / 64);
  return word < map_.size() && ((map_[word] >> (block % 64)) & 1) != 0;
}

void OverlayBody::make_private(std::int64_t block) {
  const auto word = static_cast<std::size_t>(block / 64);
  if (word >= map_.size()) map_.resize(word + 1);
  const auto bit = std::uint64_t{1} << (block % 64);
  if ((map_[word] & bit) != 0) return;
  map_[word] |= bit;
  ++changed_;
}

int OverlayBody::read(char* into, std::int64_t count, std::int64_t offset) const {
  const auto there = std::clamp(size_ - offset, std::int64_t{0}, count);
  for (std::int64_t done = 0; done < there;) {
    const auto at = offset + done;
    const auto block = at / block_bytes;
    const auto wanted = std::min(there - done, (block + 1) * block_bytes - at);
    const bool ours = is_private(block);
    const auto readable = ours ? wanted : std::clamp(base_limit_ - at, std::int64_t{0}, wanted);
    const auto got = read_all(ours ? fd_ : base_fd_, into + done, readable, at);
    if (got < 0) return SQLITE_IOERR_READ;
    std::memset(into + done + got, 0, static_cast<std::size_t>(wanted - got));
    done += wanted;
  }
  if (there == count) return SQLITE_OK;
  std::memset(into + there, 0, static_cast<std::size_t>(count - there));
  return SQLITE_IOERR_SHORT_READ;
}

int OverlayBody::fetch_from_base(std::int64_t block) {
  std::array<char, block_bytes> bytes{};
  const auto at = block * block_bytes;
  const auto there = std::clamp(std::min(base_limit_, size_) - at, std::int64_t{0}, block_bytes);
  if (read_all(base_fd_, bytes.data(), there, at) < 0) return SQLITE_IOERR_READ;
  return write_all(fd_, bytes.data(), block_bytes, at);
}

int OverlayBody::write(const char* from, std::int64_t count, std::int64_t offset) {
  if (count == 0) return SQLITE_OK;
  const auto first = offset / block_bytes;
  const auto last = (offset + count - 1) / block_bytes;
  if (base_fd_ >= 0) {
    // Only the outer blocks can be covered in part; what they keep comes from the base first.
    const bool head = offset % block_bytes != 0;
    const bool tail = (offset + count) % block_bytes != 0;
    if ((head || (tail && first == last)) && !is_private(first)) {
      if (const int code = fetch_from_base(first); code != SQLITE_OK) return code;
      make_private(first);
    }
    if (tail && last != first && !is_private(last)) {
      if (const int code = fetch_from_base(last); code != SQLITE_OK) return code;
      make_private(last);
    }
  }
  if (const int code = write_all(fd_, from, count, offset); code != SQLITE_OK) return code;
  for (auto block = first; block <= last; ++block) make_private(block);
  size_ = std::max(size_, offset + count);
  return SQLITE_OK;
}

int OverlayBody::truncate(std::int64_t size) {
  if (size >= size_) return SQLITE_OK;
  base_limit_ = std::min(base_limit_, size);
  const auto kept = (size + block_bytes - 1) / block_bytes;
  for (auto block = kept; block < static_cast<std::int64_t>(map_.size()) * 64; ++block) {
    auto& word = map_[static_cast<std::size_t>(block / 64)];
    const auto bit = std::uint64_t{1} << (block % 64);
    if ((word & bit) != 0) --changed_;
    word &= ~bit;
  }
  // Shorter or longer than before: what the private file lacks reads as zeros.
  if (::ftruncate(fd_, size) != 0) return SQLITE_IOERR_TRUNCATE;
  size_ = size;
  return SQLITE_OK;
}

}  // namespace based::sqlite
