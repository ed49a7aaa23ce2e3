// OverlayFile: one file of a sandbox, private blocks over an optional content that is only read.
//
// Its state, a State, is a value: copies share everything, in constant time, and stay as they are
// when the file is written. Results are SQLite's codes, as its VFS wants them. Lane thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backends/sqlite/overlay_store.h"

namespace based::sqlite {

class OverlayFile {
 public:
  static constexpr std::int64_t block_bytes = OverlayStore::block_bytes;

  // What is read until it is written here: the first `size` bytes of `fd`, which outlives the file.
  struct Content {
    int fd = -1;
    std::int64_t size = 0;
  };

  class Leaf;
  using Root = std::vector<std::shared_ptr<Leaf>>;
  // A file as it is at one moment. REQUIRES of a reader: that nothing looks inside.
  struct State {
    std::shared_ptr<Root> root;
    std::int64_t size = 0;
    // Bytes of the content beyond it are gone: it only ever falls, so that what grows again after
    // a truncation reads as zeros.
    std::int64_t content_limit = 0;
    std::int64_t blocks = 0;
  };

  OverlayFile(std::shared_ptr<OverlayStore> store, Content content);

  const State& state() const { return state_; }
  // REQUIRES a state of this file.
  void set_state(State state) { state_ = std::move(state); }

  // SQLITE_IOERR_SHORT_READ, and zeros, for what is beyond the end.
  int read(char* into, std::int64_t count, std::int64_t offset) const;
  int write(const char* from, std::int64_t count, std::int64_t offset);
  // Shorter, or longer with zeros.
  int truncate(std::int64_t size);
  std::int64_t size() const { return state_.size; }
  // Bytes whose content is private, in whole blocks.
  std::int64_t changed_bytes() const { return state_.blocks * block_bytes; }

 private:
  using Block = OverlayStore::Block;
  Block find(std::int64_t block) const;
  Leaf& leaf_to_change(std::int64_t block);
  int read_content(char* into, std::int64_t count, std::int64_t offset) const;
  int read_block(std::int64_t block, char* into) const;
  int write_block(std::int64_t block, std::int64_t within, const char* from, std::int64_t count);
  void forget_from(std::int64_t first);

  std::shared_ptr<OverlayStore> store_;
  Content content_;
  State state_;
};

}  // namespace based::sqlite
