// Handle: one opened SQLite database with its settings, limits and checkpoints. Lane thread.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <optional>
#include <string>

#include "backends/log.h"
#include "backends/sqlite/authorizer.h"
#include "backends/sqlite/overlay.h"
#include "backends/sqlite/sqlite_database.h"

namespace based::sqlite {

class Handle {
 public:
  // Called before a handle that was just opened is used, and before one is closed.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual Result<void> on_opened(sqlite3* db) = 0;
    virtual void on_closing() = 0;
  };

  // All outlive it.
  Handle(const SqliteOptions& options, Log& log, Authorizer& authorizer, Owner& owner);
  ~Handle() { close(); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  // Nothing to do where it is open. Otherwise 58P01 (no file, no directory, no room for a -shm),
  // XX001 (not a database, corrupt), 25006, 55P03, 58030; what init SQL says.
  Result<void> open();
  void close();
  bool is_open() const { return db_ != nullptr; }
  sqlite3* db() const { return db_; }

  bool in_transaction() const { return db_ != nullptr && sqlite3_get_autocommit(db_) == 0; }
  bool read_only() const { return sqlite3_db_readonly(db_, "main") == 1; }

  // Between units: writes the log back when it has grown to the limit.
  void checkpoint_if_due();
  // When nothing has happened for a while: empties the log.
  void truncate_log();

  // Sandboxes: is the base still what the overlay was put on?
  Result<void> verify_base();
  // What is committed now can be come back to. Overlay::mark says what may be wrong. REQUIRES that
  // it is open.
  Result<void> mark(const std::string& name);
  // Closes it; what is opened next is as it was at the mark, which stays, or as the file is. 3B001:
  // there is no such mark. Without a mark a base that was changed meanwhile is read anew; to a
  // mark, 55000.
  Result<void> reset(const std::optional<std::string>& mark);
  // Closes it, and gives back what the overlay occupies.
  void discard();
  void trim_overlay();
  std::uint64_t changed_pages() const { return overlay_ ? overlay_->changed_pages() : 0; }
  // Is there something left to open again once it is closed?
  bool outlives_close() const { return overlay_ != nullptr || !options_.path.empty(); }
  std::uint64_t commits() const { return commits_; }

  // One of our own statements; the error is logged by whoever asks.
  Result<void> execute(const std::string& sql);

 private:
  Result<void> open_file();
  Result<void> open_overlay();
  Result<void> configure(bool created);
  Result<void> set_journal_mode(bool created);
  void set_limits();
  Error explain(Error error) const;
  std::string name() const;

  const SqliteOptions& options_;
  Log& log_;
  Authorizer& authorizer_;
  Owner& owner_;
  std::unique_ptr<Overlay> overlay_;  // outlives db_, and its reopening
  sqlite3* db_ = nullptr;
  int log_pages_ = 0;          // in the write-ahead log after the last commit
  int checkpoint_at_ = 0;      // pages at which the next checkpoint is due
  bool log_dirty_ = false;     // something was written since it was emptied
  std::uint64_t commits_ = 0;  // of transactions that wrote
};

}  // namespace based::sqlite
