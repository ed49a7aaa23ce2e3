#include "backends/sqlite/overlay_store.h"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "backends/sqlite/overlay_io.h"
#include "protocol/check.h"

namespace based::sqlite {
namespace {

constexpr std::int64_t blocks_max = std::numeric_limits<OverlayStore::Block>::max();

}  // namespace

OverlayStore::OverlayStore(int fd, Limits limits)
    : fd_(fd),
      limits_(limits),
      memory_blocks_max_(static_cast<Block>(
          std::clamp(limits.memory_bytes_max / block_bytes, std::int64_t{0}, blocks_max))) {
  if (limits_.bytes_max == 0) limits_.bytes_max = std::numeric_limits<std::int64_t>::max();
}

OverlayStore::~OverlayStore() { ::close(fd_); }

Result<std::shared_ptr<OverlayStore>> OverlayStore::make(const std::string& temp_dir,
                                                         Limits limits) {
  auto fd = open_nameless(temp_dir);
  if (!fd) return std::move(fd).error();
  return std::shared_ptr<OverlayStore>(new OverlayStore(*fd, limits));
}

std::uint32_t& OverlayStore::references(Block block) {
  INVARIANT(block != 0);
  if (is_in_memory(block)) return memory_references_[block - 1];
  return file_references_[block - 1 - memory_blocks_max_];
}

char* OverlayStore::bytes_of(Block block) {
  const std::size_t index = block - 1;
  return chunks_[index / chunk_blocks].get() +
         index % chunk_blocks * static_cast<std::size_t>(block_bytes);
}

std::int64_t OverlayStore::offset_of(Block block) const {
  return static_cast<std::int64_t>(block - 1 - memory_blocks_max_) * block_bytes;
}

int OverlayStore::allocate(Block& block) {
  if (used_bytes() > limits_.bytes_max - block_bytes) return SQLITE_FULL;
  if (!memory_free_.empty()) {
    block = memory_free_.back();
    memory_free_.pop_back();
  } else if (memory_references_.size() < memory_blocks_max_) {
    if (memory_references_.size() % chunk_blocks == 0) {
      chunks_.emplace_back(new char[chunk_blocks * static_cast<std::size_t>(block_bytes)]);
    }
    memory_references_.push_back(0);
    block = static_cast<Block>(memory_references_.size());
  } else if (!file_free_.empty()) {
    block = file_free_.back();
    file_free_.pop_back();
  } else {
    const auto used = std::int64_t{memory_blocks_max_} + std::ssize(file_references_);
    if (used >= blocks_max) return SQLITE_FULL;
    file_references_.push_back(0);
    block = static_cast<Block>(used + 1);
  }
  references(block) = 1;
  ++(is_in_memory(block) ? in_memory_ : in_file_);
  return SQLITE_OK;
}

void OverlayStore::release(Block block) {
  auto& count = references(block);
  INVARIANT(count > 0);
  if (--count > 0) return;
  --(is_in_memory(block) ? in_memory_ : in_file_);
  (is_in_memory(block) ? memory_free_ : file_free_).push_back(block);
}

int OverlayStore::read(Block block, std::int64_t offset, char* into, std::int64_t count) {
  INVARIANT(references(block) > 0 && count <= block_bytes - offset);
  if (is_in_memory(block)) {
    std::memcpy(into, bytes_of(block) + offset, static_cast<std::size_t>(count));
    return SQLITE_OK;
  }
  return read_at(fd_, into, count, offset_of(block) + offset) == count ? SQLITE_OK
                                                                       : SQLITE_IOERR_READ;
}

int OverlayStore::write(Block block, std::int64_t offset, const char* from, std::int64_t count) {
  INVARIANT(references(block) == 1 && count <= block_bytes - offset);
  if (is_in_memory(block)) {
    std::memcpy(bytes_of(block) + offset, from, static_cast<std::size_t>(count));
    return SQLITE_OK;
  }
  return write_at(fd_, from, count, offset_of(block) + offset);
}

void OverlayStore::trim() {
  if (in_memory_ == 0) {
    chunks_.clear();
    memory_references_.clear();
    memory_free_.clear();
  }
  // A file that cannot be cut keeps its size, and its blocks are handed out again from the first.
  if (in_file_ == 0 && !file_references_.empty()) {
    file_references_.clear();
    file_free_.clear();
    if (::ftruncate(fd_, 0) != 0) return;
  }
}

}  // namespace based::sqlite
