// What a Overlay's map of files and its VFS share: a named file, and an open one.
#pragma once

#include "backends/sqlite/overlay.h"

namespace based::sqlite {

struct Overlay::Entry {
  std::shared_ptr<OverlayBase> base;  // null for what the overlay made; content lives as long
  OverlayFile content;
  bool exists = false;
  int open_count = 0;
};

struct Overlay::Saved {
  std::shared_ptr<Entry> entry;
  OverlayFile::State state;
  bool exists = false;
};

struct Overlay::File : sqlite3_file {
  Overlay* overlay = nullptr;
  std::shared_ptr<Entry> entry;
};

}  // namespace based::sqlite
