// SqliteDatabase: one SQLite database behind one writer lane, as a Database.
//
// The lane is a thread of its own that owns the only handle; every unit goes through the FIFO queue
// in front of it. A session whose unit leaves a transaction open holds the lane (the write lease)
// until it ends the transaction or loses the lease by resting too long. Loop thread only, except
// that the Log is written from the lane too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/database.h"
#include "backends/log.h"
#include "backends/reactor.h"
#include "protocol/result.h"

namespace based {

enum class SqliteJournalMode : std::uint8_t {
  automatic,  // wal for files that we create, keep for files that we find
  keep,
  wal,
  rollback,  // SQLite's "delete"
  truncate,
  persist,
};

enum class SqliteSynchronous : std::uint8_t { off, normal, full, extra };

struct SqliteOptions {
  std::string name;
  std::string path;     // empty: in memory, for as long as the Database lives
  std::string display;  // how the database is called in messages; empty: the path or ":memory:"

  SqliteJournalMode journal_mode = SqliteJournalMode::automatic;  // ignored under force_rollback
  SqliteSynchronous synchronous = SqliteSynchronous::full;
  bool read_only = false;           // the file is opened for reading only
  bool force_rollback = false;      // the file is never written: changes live in an overlay and go
  TurnMode turns = TurnMode::wait;  // of a sandbox
  // What SANDBOX LIST shows. Empty: this one only.
  std::function<std::vector<SandboxStatus>()> siblings;
  std::vector<std::string> init_sql;  // run on each opening of the handle, with all rights
  std::string temp_dir;               // for overlays and sorting; empty: $TMPDIR, else /tmp

  std::size_t statements_cached_max = 256;
  std::size_t cache_bytes = std::size_t{16} << 20;
  std::size_t waiting_max = 1024;                          // units in the queue; more: 53300
  std::size_t result_buffer_bytes = std::size_t{1} << 20;  // rows of one unit on their way
  std::size_t value_bytes_max = std::size_t{256} << 20;    // one value, one row, one text
  std::uint32_t checkpoint_pages = 10'000;
  std::uint64_t max_page_count = 0;  // the file's largest size in pages; 0: SQLite's own limit
  // force_rollback: what was changed, journals and marks with it. Beyond the first it goes to a
  // temporary file, beyond the second statements fail with 53100. 0: as much as the disk has.
  std::size_t overlay_memory_bytes = std::size_t{64} << 20;
  std::size_t overlay_bytes_max = std::size_t{16} << 30;

  // A lease may rest this long while somebody waits for the lane, and never longer than the cap.
  Duration idle_in_transaction = std::chrono::seconds(5);
  Duration idle_in_transaction_cap = std::chrono::seconds(60);
  Duration turn_timeout = std::chrono::seconds(30);  // SANDBOX MARK waits so long; zero: no limit
  Duration transaction_max{};                        // whole transaction; zero: none
  // A result that its reader does not take may hold the lane this long while somebody waits.
  Duration slow_reader = std::chrono::seconds(5);
  // How long a lock of another process is waited for; a unit's own deadlines may shorten it.
  Duration busy_timeout = std::chrono::seconds(5);
  Duration truncate_log_after =
      std::chrono::seconds(2);  // idle time after which the log is emptied
};

// Starts the lane, which opens the file. A file that cannot be opened is not an error here: it is
// logged, each unit answers it, and the next unit tries again. 22023 for impossible options.
Result<std::unique_ptr<Database>> open_sqlite(SqliteOptions options, Reactor& reactor, Log& log);

}  // namespace based
