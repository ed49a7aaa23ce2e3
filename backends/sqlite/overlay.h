// Overlay: a SQLite database whose file is never written; what changes is private and goes with it.
//
// A VFS of its own, registered under a name of its own for as long as it lives. The base is opened
// for reading only and held under a shared lock, so that no other process changes it meanwhile; its
// write-ahead log and hot journal, where there are any, are copied and read in the overlay.
// Commits, VACUUM and journals are real, in nameless temporary files. One handle at a time uses it,
// opened with locking_mode=EXCLUSIVE: there is no shared memory. It must outlive the handle. Lane
// thread, made anywhere.
#pragma once

#include <sqlite3.h>
#include <sys/stat.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "backends/reactor.h"
#include "backends/sqlite/overlay_body.h"

namespace based::sqlite {

class Overlay {
 public:
  // `path` is absolute; the file need not exist (then the database starts empty and nothing is
  // made). 55P03 when a writing process keeps its lock longer than `patience`.
  static Result<std::unique_ptr<Overlay>> open(const std::string& path, const std::string& temp_dir,
                                               Duration patience);
  ~Overlay();
  Overlay(const Overlay&) = delete;
  Overlay& operator=(const Overlay&) = delete;

  const char* vfs_name() const { return vfs_name_.c_str(); }
  // The name to open the handle with.
  const std::string& path() const { return path_; }

  // Is the base still what it was? 55000 once another program has changed it: then what this
  // overlay shows is a mixture and must not be used.
  Result<void> verify_base();

  // Pages (of 4 KiB) of the main file that are private now.
  std::uint64_t changed_pages() const { return main_->changed_blocks(); }

 private:
  struct File;  // what SQLite sees as an open file
  Overlay(std::string path, std::string temp_dir);

  Result<void> open_base(Duration patience);
  Result<void> lock_base(Duration patience);
  Result<void> lock_log_index(Duration patience);
  Result<void> adopt(std::string_view suffix);
  void register_vfs();

  int open_file(const char* name, sqlite3_file* file, int flags, int* flags_out);
  int delete_file(std::string_view name);
  bool exists(const char* name, int flags) const;

  static const sqlite3_io_methods* methods();

  std::string path_;
  std::string temp_dir_;
  std::string vfs_name_;
  sqlite3_vfs vfs_{};
  sqlite3_vfs* system_ = nullptr;
  int base_fd_ = -1;
  int log_index_fd_ = -1;
  struct stat base_stat_ {};
  bool base_has_log_ = false;
  std::shared_ptr<OverlayBody> main_;
  std::map<std::string, std::shared_ptr<OverlayBody>, std::less<>> named_;
};

}  // namespace based::sqlite
