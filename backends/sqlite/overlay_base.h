// OverlayBase: the file below overlays: opened for reading only, locked, and never written.
//
// While it lives, the main file is held under a shared lock, so that no other process that honours
// SQLite's locks changes it: a writer waits at its commit, or, with a write-ahead log, at its
// checkpoint. The log and a hot journal, where there are any, are copied at open; whoever reads the
// base does with its own copy what SQLite's recovery does. Nothing is made beside the file. Its
// descriptors are closed with it, which takes the locks of any other SQLite handle that this
// process has on the same file: there must be none.
//
// Several overlays may share one, each on a thread of its own.
#pragma once

#include <sys/stat.h>

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "backends/reactor.h"
#include "backends/sqlite/overlay_file.h"

namespace based::sqlite {

class OverlayBase {
 public:
  // The name as SQLite spells it, symbolic links resolved: the names of journals follow from it.
  static Result<std::string> full_path(const std::string& path);

  // `path` is a full one; the file need not exist, and is not made. 55P03 when a writing process
  // keeps its lock longer than `patience`; 58P01 for what cannot be opened or is no regular file;
  // 58030, 53100 when its log cannot be copied to `temp_dir`; 55000 when it changes meanwhile.
  static Result<std::shared_ptr<OverlayBase>> open(std::string path, const std::string& temp_dir,
                                                   Duration patience);
  // No file, which `name` is the path of: a database that is in the overlay only, from its
  // beginning.
  static std::shared_ptr<OverlayBase> none(std::string name);
  ~OverlayBase();
  OverlayBase(const OverlayBase&) = delete;
  OverlayBase& operator=(const OverlayBase&) = delete;

  const std::string& path() const { return path_; }
  bool exists() const { return main_.fd >= 0; }
  OverlayFile::Content main() const { return main_; }
  OverlayFile::Content log() const { return log_; }          // no descriptor: there was none
  OverlayFile::Content journal() const { return journal_; }  // the same

  // 55000 when size, time of change or SQLite's change counter are not what they were. Any thread.
  Result<void> verify();

 private:
  using Counter = std::array<char, 4>;
  explicit OverlayBase(std::string path) : path_(std::move(path)) {}
  Result<void> open_files(const std::string& temp_dir, Duration patience);
  Result<void> lock_main(Duration patience);
  Result<void> lock_log_index(Duration patience);
  Result<OverlayFile::Content> copy_of(std::string_view suffix, const std::string& temp_dir);
  Counter change_counter() const;

  std::string path_;
  OverlayFile::Content main_;
  OverlayFile::Content log_;
  OverlayFile::Content journal_;
  struct stat stat_ {};
  Counter counter_{};
  bool has_log_ = false;  // it is in SQLite's write-ahead mode
  std::mutex mutex_;      // of what follows
  int log_index_fd_ = -1;
};

}  // namespace based::sqlite
