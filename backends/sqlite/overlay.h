// Overlay: the databases of a sandbox, files that are never written, with states to go back
// to.
//
// A VFS of its own, registered under a name of its own for as long as it lives. A database opened
// through it is read from its file (an OverlayBase), and what changes is private: in memory first,
// beyond a limit in a temporary file without a name. So are its journals and its write-ahead log.
// A database file that does not exist exists in the overlay only, once somebody opened it to create
// it; the same holds for the target of VACUUM INTO. What SQLite opens without a name (sorting,
// temporary tables) goes to the system's VFS. Commits are real, no sync is done, nothing survives.
//
// One handle at a time uses it. Whoever opens it gives vfs_name() and path() to sqlite3_open_v2,
// without SQLITE_OPEN_URI (a URI can name another VFS), and PRAGMA locking_mode=EXCLUSIVE before
// the first read: there is no shared memory, so a database in write-ahead mode cannot be read
// otherwise, and PRAGMA journal_mode=WAL answers what it was. ATTACH opens further files in the
// same way; a file that is already open is SQLITE_BUSY. It must outlive the handle.
//
// Lane thread, made anywhere.
#pragma once

#include <sqlite3.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/sandbox.h"
#include "backends/sqlite/overlay_base.h"
#include "backends/sqlite/overlay_file.h"
#include "backends/sqlite/overlay_store.h"

namespace based::sqlite {

class Overlay {
 public:
  static constexpr std::size_t marks_max = sandbox_marks_max;
  static constexpr std::size_t mark_name_bytes_max = 63;
  static constexpr std::size_t files_max = 64;  // names of files, journals included

  struct Options {
    std::string temp_dir;
    Duration patience{};  // with a process that writes a base; also at ATTACH, on the lane's thread
    OverlayStore::Limits limits;  // beyond them a statement fails with SQLITE_FULL
  };

  // Fails as OverlayBase::open does, and with 58P01 where temp_dir is not writable.
  static Result<std::unique_ptr<Overlay>> open(const std::string& path, Options options);
  // Over a base that others use, too.
  static Result<std::unique_ptr<Overlay>> open(std::shared_ptr<OverlayBase> base, Options options);
  // REQUIRES that the handle is closed.
  ~Overlay();
  Overlay(const Overlay&) = delete;
  Overlay& operator=(const Overlay&) = delete;

  const char* vfs_name() const { return vfs_name_.c_str(); }
  // The name to open the handle with.
  const std::string& path() const { return base_->path(); }
  const std::shared_ptr<OverlayBase>& base() const { return base_; }

  // Remembers what is committed in all files, in constant time; a mark of the same name moves here
  // and is the newest then. `db` is the handle, null while there is none; its open reads do not
  // matter. 25001 while it is in a transaction that has written. 22023 for an empty or too long
  // name, 54000 for too many marks.
  Result<void> mark(sqlite3* db, std::string_view name);

  // The two below need the handle closed, since it has pages and the schema in its cache: 55006,
  // with nothing done, while a file is open. So statements and temporary tables go with it, and
  // whoever wants to keep a handle opens it again. 55000, with nothing done, once a base was
  // changed by another program.
  //
  // Everything is as it was at open, and all marks are gone. A file that was attached is read
  // anew the next time.
  Result<void> reset();
  // As it was at the mark, which stays; the marks made after it are gone. 3B001 if there is none.
  Result<void> reset_to(std::string_view name);
  // The files stay as they are, and open.
  void drop_marks();
  // What resets leave unused, memory and disk space, is kept and used again, since giving it back
  // takes longer than they do: here it is given back, where nothing is in use any more.
  void trim() { store_->trim(); }

  // 55000 once another program has changed a base: what this overlay shows is a mixture then and
  // must not be used. 55P03 while another program's checkpoint runs.
  Result<void> verify_base() const;

  // Pages (of 4 KiB) of the main file that are private now.
  std::uint64_t changed_pages() const;
  // What the overlay keeps for all files, journals and marks, in memory and in its file.
  std::int64_t changed_bytes() const { return store_->used_bytes(); }
  std::int64_t spilled_bytes() const { return store_->spilled_bytes(); }

 private:
  struct Entry;  // a file that has a name
  struct File;   // what SQLite sees as an open one
  struct Saved;  // an entry as it was
  using Files = std::map<std::string, std::shared_ptr<Entry>, std::less<>>;
  using Snapshot = std::map<std::string, Saved, std::less<>>;
  struct Mark {
    std::string name;
    Snapshot files;
  };

  Overlay(std::shared_ptr<OverlayBase> base, Options options);
  void register_vfs();
  void forward_libraries();
  static const sqlite3_io_methods* methods();

  void add_database(const std::shared_ptr<OverlayBase>& base);
  void add_file(std::string name, std::shared_ptr<OverlayBase> base, OverlayFile::Content content);
  bool belongs_to_database(std::string_view name) const;
  int add(const char* name, int flags);
  int find_or_add(const char* name, int flags, std::shared_ptr<Entry>& entry);
  int open_file(const char* name, sqlite3_file* file, int flags, int* flags_out);
  int delete_file(std::string_view name);
  int access(const char* name, int flags, int* result) const;
  void on_closed(const File& file);

  Snapshot snapshot() const;
  Result<void> check_reset() const;
  void restore(const Snapshot& files);
  std::vector<Mark>::iterator find_mark(std::string_view name);

  std::shared_ptr<OverlayBase> base_;
  Options options_;
  std::shared_ptr<OverlayStore> store_;
  std::string vfs_name_;
  sqlite3_vfs vfs_{};
  sqlite3_vfs* system_ = nullptr;
  Files files_;
  int open_files_ = 0;
  Snapshot origin_;
  std::vector<Mark> marks_;  // the newest last
};

}  // namespace based::sqlite
