// OverlayBody: one file of a sandbox, private bytes over an optional base that is only read.
//
// What is written goes to a sparse temporary file without a name, at the same offsets; a bitmap
// says which blocks are there. The results are SQLite's codes, as its VFS wants them. Lane thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "protocol/result.h"

namespace based::sqlite {

class OverlayBody {
 public:
  static constexpr std::int64_t block_bytes = 4096;

  // An empty file in `temp_dir`. 58P01 where none can be made there.
  static Result<std::shared_ptr<OverlayBody>> make(const std::string& temp_dir);
  ~OverlayBody();
  OverlayBody(const OverlayBody&) = delete;
  OverlayBody& operator=(const OverlayBody&) = delete;

  // The first `size` bytes are read from `fd`, which must stay open, until they are written here.
  // REQUIRES that the body is empty.
  void put_over(int fd, std::int64_t size);
  // Copies what `fd` has into the empty body.
  Result<void> copy_from(int fd);

  int read(char* into, std::int64_t count, std::int64_t offset) const;
  int write(const char* from, std::int64_t count, std::int64_t offset);
  int truncate(std::int64_t size);
  std::int64_t size() const { return size_; }
  // Blocks whose content is private.
  std::uint64_t changed_blocks() const { return changed_; }

 private:
  explicit OverlayBody(int fd) : fd_(fd) {}
  bool is_private(std::int64_t block) const;
  void make_private(std::int64_t block);
  int fetch_from_base(std::int64_t block);

  int fd_;
  int base_fd_ = -1;
  // Base bytes beyond it are gone: it only ever falls, so that what grows again after a truncation
  // reads as zeros.
  std::int64_t base_limit_ = 0;
  std::int64_t size_ = 0;
  std::vector<std::uint64_t> map_;
  std::uint64_t changed_ = 0;
};

}  // namespace based::sqlite
