// OverlayStore: the private blocks of one overlay, counted by reference.
//
// The first of them are in memory, the others in one temporary file without a name. Several owners
// (the states of an overlay's files, its marks) share a block; who wants to change one that
// is_shared() takes a new one. Lane thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "protocol/result.h"

namespace based::sqlite {

class OverlayStore {
 public:
  static constexpr std::int64_t block_bytes = 4096;
  // Names a block; 0 is none.
  using Block = std::uint32_t;

  struct Limits {
    std::int64_t memory_bytes_max = 64 << 20;  // what is beyond goes to the file
    std::int64_t bytes_max = 0;                // of both; 0: as much as the disk has
  };

  // 58P01 where no file can be made in `temp_dir`.
  static Result<std::shared_ptr<OverlayStore>> make(const std::string& temp_dir, Limits limits);
  ~OverlayStore();
  OverlayStore(const OverlayStore&) = delete;
  OverlayStore& operator=(const OverlayStore&) = delete;

  // A block with one reference. Its content is undefined until it is written whole.
  // SQLITE_FULL at the limit.
  int allocate(Block& block);
  void retain(Block block) { ++references(block); }
  void release(Block block);
  bool is_shared(Block block) { return references(block) > 1; }

  // Within the block. SQLITE_OK, or what the file answers: SQLITE_FULL, SQLITE_IOERR_READ, _WRITE.
  int read(Block block, std::int64_t offset, char* into, std::int64_t count);
  int write(Block block, std::int64_t offset, const char* from, std::int64_t count);

  std::int64_t used_bytes() const { return (in_memory_ + in_file_) * block_bytes; }
  std::int64_t spilled_bytes() const { return in_file_ * block_bytes; }
  // In use or to be used again.
  std::int64_t kept_bytes() const {
    return (std::ssize(memory_references_) + std::ssize(file_references_)) * block_bytes;
  }
  // Memory and file keep their greatest size and are used again. This gives them back, each where
  // nothing is left in it; for a big file that takes the file system's time.
  void trim();

 private:
  OverlayStore(int fd, Limits limits);
  // Blocks in memory have the numbers up to memory_blocks_max_, those in the file the next ones.
  bool is_in_memory(Block block) const { return block <= memory_blocks_max_; }
  std::uint32_t& references(Block block);
  char* bytes_of(Block block);
  std::int64_t offset_of(Block block) const;

  static constexpr std::size_t chunk_blocks = 256;

  int fd_;
  Limits limits_;
  Block memory_blocks_max_;
  std::vector<std::unique_ptr<char[]>> chunks_;  // of chunk_blocks blocks each
  std::vector<std::uint32_t> memory_references_;
  std::vector<std::uint32_t> file_references_;
  std::vector<Block> memory_free_;
  std::vector<Block> file_free_;
  std::int64_t in_memory_ = 0;
  std::int64_t in_file_ = 0;
};

}  // namespace based::sqlite
