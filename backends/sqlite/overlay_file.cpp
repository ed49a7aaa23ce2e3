#include "backends/sqlite/overlay_file.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "backends/sqlite/overlay_io.h"
#include "protocol/check.h"

namespace based::sqlite {
namespace {

constexpr std::int64_t leaf_blocks = 512;

}  // namespace

// The blocks of two mebibytes of a file. A copy holds them too.
class OverlayFile::Leaf {
 public:
  explicit Leaf(std::shared_ptr<OverlayStore> store) : store_(std::move(store)) {}
  Leaf(const Leaf& other) : store_(other.store_), blocks_(other.blocks_) {
    for (const auto block : blocks_) {
      if (block != 0) store_->retain(block);
    }
  }
  Leaf& operator=(const Leaf&) = delete;
  ~Leaf() { forget_from(0); }

  Block& at(std::int64_t block) { return blocks_[static_cast<std::size_t>(block % leaf_blocks)]; }
  // How many there were from `first` on, none of which is kept.
  std::int64_t forget_from(std::int64_t first) {
    std::int64_t forgotten = 0;
    for (auto i = first; i < leaf_blocks; ++i) {
      auto& block = at(i);
      if (block == 0) continue;
      store_->release(block);
      block = 0;
      ++forgotten;
    }
    return forgotten;
  }
  std::int64_t count() const {
    return leaf_blocks - std::count(blocks_.begin(), blocks_.end(), Block{0});
  }

 private:
  std::shared_ptr<OverlayStore> store_;
  std::array<Block, leaf_blocks> blocks_{};
};

OverlayFile::OverlayFile(std::shared_ptr<OverlayStore> store, Content content)
    : store_(std::move(store)), content_(content) {
  state_.root = std::make_shared<Root>();
  state_.size = content.size;
  state_.content_limit = content.size;
}

OverlayFile::Block OverlayFile::find(std::int64_t block) const {
  const auto index = static_cast<std::size_t>(block / leaf_blocks);
  const auto& root = *state_.root;
  if (index >= root.size() || root[index] == nullptr) return 0;
  return root[index]->at(block);
}

OverlayFile::Leaf& OverlayFile::leaf_to_change(std::int64_t block) {
  // Nobody else may see the change: what another state shares is copied first.
  if (state_.root.use_count() > 1) state_.root = std::make_shared<Root>(*state_.root);
  auto& root = *state_.root;
  const auto index = static_cast<std::size_t>(block / leaf_blocks);
  if (index >= root.size()) root.resize(index + 1);
  auto& leaf = root[index];
  if (leaf == nullptr) {
    leaf = std::make_shared<Leaf>(store_);
  } else if (leaf.use_count() > 1) {
    leaf = std::make_shared<Leaf>(*leaf);
  }
  return *leaf;
}

int OverlayFile::read_content(char* into, std::int64_t count, std::int64_t offset) const {
  const auto there = std::clamp(state_.content_limit - offset, std::int64_t{0}, count);
  const auto got = there > 0 ? read_at(content_.fd, into, there, offset) : 0;
  if (got < 0) return SQLITE_IOERR_READ;
  std::memset(into + got, 0, static_cast<std::size_t>(count - got));
  return SQLITE_OK;
}

int OverlayFile::read_block(std::int64_t block, char* into) const {
  if (const auto found = find(block); found != 0) return store_->read(found, 0, into, block_bytes);
  return read_content(into, block_bytes, block * block_bytes);
}

int OverlayFile::read(char* into, std::int64_t count, std::int64_t offset) const {
  const auto there = std::clamp(state_.size - offset, std::int64_t{0}, count);
  for (std::int64_t done = 0; done < there;) {
    const auto at = offset + done;
    auto block = at / block_bytes;
    const auto found = find(block);
    auto piece = std::min(there - done, (block + 1) * block_bytes - at);
    int code = SQLITE_OK;
    if (found != 0) {
      code = store_->read(found, at % block_bytes, into + done, piece);
    } else {
      // What nobody has written goes in one call.
      while (piece < there - done && find(++block) == 0) {
        piece = std::min(there - done, (block + 1) * block_bytes - at);
      }
      code = read_content(into + done, piece, at);
    }
    if (code != SQLITE_OK) return code;
    done += piece;
  }
  if (there == count) return SQLITE_OK;
  std::memset(into + there, 0, static_cast<std::size_t>(count - there));
  return SQLITE_IOERR_SHORT_READ;
}

int OverlayFile::write_block(std::int64_t block, std::int64_t within, const char* from,
                             std::int64_t count) {
  auto& slot = leaf_to_change(block).at(block);
  if (slot != 0 && !store_->is_shared(slot)) return store_->write(slot, within, from, count);
  std::array<char, block_bytes> whole;
  const char* bytes = from;
  if (count < block_bytes) {
    if (const int code = read_block(block, whole.data()); code != SQLITE_OK) return code;
    std::memcpy(whole.data() + within, from, static_cast<std::size_t>(count));
    bytes = whole.data();
  }
  Block fresh = 0;
  if (const int code = store_->allocate(fresh); code != SQLITE_OK) return code;
  if (const int code = store_->write(fresh, 0, bytes, block_bytes); code != SQLITE_OK) {
    store_->release(fresh);
    return code;
  }
  if (slot != 0) {
    store_->release(slot);
  } else {
    ++state_.blocks;
  }
  slot = fresh;
  return SQLITE_OK;
}

int OverlayFile::write(const char* from, std::int64_t count, std::int64_t offset) {
  for (std::int64_t done = 0; done < count;) {
    const auto at = offset + done;
    const auto block = at / block_bytes;
    const auto piece = std::min(count - done, (block + 1) * block_bytes - at);
    if (const int code = write_block(block, at % block_bytes, from + done, piece);
        code != SQLITE_OK) {
      return code;
    }
    done += piece;
    state_.size = std::max(state_.size, at + piece);
  }
  return SQLITE_OK;
}

void OverlayFile::forget_from(std::int64_t first) {
  const auto kept = static_cast<std::size_t>((first + leaf_blocks - 1) / leaf_blocks);
  if (first % leaf_blocks != 0 && kept <= state_.root->size() &&
      (*state_.root)[kept - 1] != nullptr) {
    state_.blocks -= leaf_to_change(first).forget_from(first % leaf_blocks);
  }
  if (kept >= state_.root->size()) return;
  if (state_.root.use_count() > 1) state_.root = std::make_shared<Root>(*state_.root);
  auto& root = *state_.root;
  for (auto index = kept; index < root.size(); ++index) {
    if (root[index] != nullptr) state_.blocks -= root[index]->count();
  }
  root.resize(kept);
}

int OverlayFile::truncate(std::int64_t size) {
  if (size < state_.size) {
    const auto tail = size % block_bytes;
    if (tail != 0 && find(size / block_bytes) != 0) {
      // What grows again is zeros.
      static constexpr std::array<char, block_bytes> zeros{};
      const int code = write_block(size / block_bytes, tail, zeros.data(), block_bytes - tail);
      if (code != SQLITE_OK) return code;
    }
    forget_from((size + block_bytes - 1) / block_bytes);
    state_.content_limit = std::min(state_.content_limit, size);
  }
  state_.size = size;
  return SQLITE_OK;
}

}  // namespace based::sqlite
