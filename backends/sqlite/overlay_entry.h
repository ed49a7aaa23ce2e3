// What a LayeredOverlay's map of files and its VFS share: a named file, and an open one.
#pragma once

#include "backends/sqlite/overlay_layered.h"

namespace based::sqlite {

struct LayeredOverlay::Entry {
  std::shared_ptr<OverlayBase> base;  // null for what the overlay made; content lives as long
  OverlayFile content;
  bool exists = false;
  int open_count = 0;
};

struct LayeredOverlay::Saved {
  std::shared_ptr<Entry> entry;
  OverlayFile::State state;
  bool exists = false;
};

struct LayeredOverlay::File : sqlite3_file {
  LayeredOverlay* overlay = nullptr;
  std::shared_ptr<Entry> entry;
};

}  // namespace based::sqlite
