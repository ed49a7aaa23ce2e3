#include "backends/sqlite/handle.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "backends/sqlite/sqlite_error.h"
#include "protocol/check.h"

namespace based::sqlite {
namespace {

// An absolute path is no "file:" URI, and stays true whatever the working directory becomes.
std::string absolute(const std::string& path) {
  std::error_code failed;
  const auto full = std::filesystem::absolute(path, failed);
  return failed ? path : full.string();
}

bool is_new(const std::string& path) {
  struct stat file {};
  return ::stat(path.c_str(), &file) != 0 || file.st_size == 0;
}

// Readers of a database in WAL mode share an index of its log, in a file beside it.
bool takes_log_index(const std::string& path) {
  std::array<char, 20> header{};
  std::ifstream file{path, std::ios::binary};
  return file.read(header.data(), header.size()) && header[18] == 2 && header[19] == 2;
}

// What a database without a file is called in its overlay; ":memory:" would go past the VFS.
constexpr std::string_view memory_name = "/:memory:";

std::string_view word(SqliteSynchronous value) {
  switch (value) {
    case SqliteSynchronous::off:
      return "OFF";
    case SqliteSynchronous::normal:
      return "NORMAL";
    case SqliteSynchronous::full:
      return "FULL";
    case SqliteSynchronous::extra:
      return "EXTRA";
  }
  return "FULL";
}

std::string_view journal_word(SqliteJournalMode mode, bool created) {
  switch (mode) {
    case SqliteJournalMode::automatic:
      return created ? "wal" : "";
    case SqliteJournalMode::keep:
      return "";
    case SqliteJournalMode::wal:
      return "wal";
    case SqliteJournalMode::rollback:
      return "delete";
    case SqliteJournalMode::truncate:
      return "truncate";
    case SqliteJournalMode::persist:
      return "persist";
  }
  return "";
}

std::string temp_dir_of(const SqliteOptions& options) {
  if (!options.temp_dir.empty()) return options.temp_dir;
  const char* set = std::getenv("TMPDIR");
  return set != nullptr && *set == '/' ? set : "/tmp";
}

}  // namespace

Handle::Handle(const SqliteOptions& options, Log& log, Authorizer& authorizer, Owner& owner)
    : options_(options), log_(log), authorizer_(authorizer), owner_(owner) {}

std::string Handle::name() const {
  if (!options_.display.empty()) return options_.display;
  return options_.path.empty() ? ":memory:" : options_.path;
}

Error Handle::explain(Error error) const {
  error.message = "cannot open the database " + name() + ": " + error.message;
  const auto parent = std::filesystem::path{absolute(options_.path)}.parent_path();
  std::error_code ignored;
  if (!options_.path.empty() && !std::filesystem::is_directory(parent, ignored)) {
    error.detail = "there is no directory " + parent.string();
  } else if (error.native_code == SQLITE_CANTOPEN && ::access(parent.c_str(), W_OK) != 0 &&
             takes_log_index(absolute(options_.path))) {
    error.detail = "it is in WAL mode, which takes a -shm file, and " + parent.string() +
                   " cannot be written; a sandbox (force_rollback) reads it there";
  }
  return error;
}

Result<void> Handle::open() {
  if (db_ != nullptr) return {};
  const bool created =
      !options_.path.empty() && !options_.force_rollback && is_new(absolute(options_.path));
  auto opened = open_file();
  if (opened) opened = configure(created);
  if (opened) opened = owner_.on_opened(db_);
  if (opened) return {};
  close();
  return explain(std::move(opened).error());
}

Result<void> Handle::open_file() {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
  flags |= options_.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  std::string path = options_.path.empty() ? ":memory:" : absolute(options_.path);
  const char* vfs = nullptr;
  if (options_.force_rollback) {
    if (auto opened = open_overlay(); !opened) return opened;
    path = overlay_->path();
    vfs = overlay_->vfs_name();
  }
  const int code = sqlite3_open_v2(path.c_str(), &db_, flags, vfs);
  if (code != SQLITE_OK) return error_of(db_, code, FailedIn::open);
  return {};
}

Result<void> Handle::open_overlay() {
  if (overlay_ != nullptr) return {};
  Overlay::Options overlay;
  overlay.temp_dir = temp_dir_of(options_);
  overlay.patience = options_.busy_timeout;
  overlay.limits.memory_bytes_max = static_cast<std::int64_t>(options_.overlay_memory_bytes);
  overlay.limits.bytes_max = static_cast<std::int64_t>(options_.overlay_bytes_max);
  auto opened = options_.path.empty()
                    ? Overlay::open(OverlayBase::none(std::string{memory_name}), std::move(overlay))
                    : Overlay::open(absolute(options_.path), std::move(overlay));
  if (!opened) return std::move(opened).error();
  overlay_ = std::move(opened).value();
  return {};
}

void Handle::set_limits() {
  const auto bytes =
      static_cast<int>(std::min<std::size_t>(options_.value_bytes_max, 1'000'000'000));
  sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, bytes);
  sqlite3_limit(db_, SQLITE_LIMIT_SQL_LENGTH, bytes);
  sqlite3_limit(db_, SQLITE_LIMIT_ATTACHED, 1);  // VACUUM's own
  sqlite3_limit(db_, SQLITE_LIMIT_VARIABLE_NUMBER, 65'535);
  sqlite3_limit(db_, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 10'000);  // its cost is quadratic
  sqlite3_limit(db_, SQLITE_LIMIT_TRIGGER_DEPTH, 100);
  sqlite3_limit(db_, SQLITE_LIMIT_WORKER_THREADS, 0);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
}

Result<void> Handle::configure(bool created) {
  set_limits();
  sqlite3_busy_timeout(
      db_,
      static_cast<int>(
          std::chrono::duration_cast<std::chrono::milliseconds>(options_.busy_timeout).count()));
  authorizer_.begin(Author::based);
  authorizer_.install(db_);
  // In an overlay there is nobody to share an index of the log with.
  if (overlay_ != nullptr) {
    if (auto done = execute("PRAGMA locking_mode=EXCLUSIVE"); !done) return done;
  }
  // The first touch of the file: what is wrong with it is found here.
  if (auto done = execute("SELECT count(*) FROM sqlite_schema"); !done) return done;
  if (auto done = set_journal_mode(created); !done) return done;
  std::string settings = "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;";
  settings += "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864;";
  settings += "PRAGMA synchronous=" + std::string{word(options_.synchronous)} + ";";
  settings += "PRAGMA cache_size=-" + std::to_string(options_.cache_bytes / 1024) + ";";
  if (options_.max_page_count > 0) {
    settings += "PRAGMA max_page_count=" + std::to_string(options_.max_page_count) + ";";
  }
  if (auto done = execute(settings); !done) return done;
  checkpoint_at_ = static_cast<int>(std::min<std::uint32_t>(
      options_.checkpoint_pages, static_cast<std::uint32_t>(std::numeric_limits<int>::max() / 2)));
  sqlite3_wal_hook(
      db_,
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<Handle*>(self)->log_pages_ = pages;
        static_cast<Handle*>(self)->log_dirty_ = true;
        return SQLITE_OK;
      },
      this);
  for (const auto& sql : options_.init_sql) {
    if (auto done = execute(sql); !done) {
      done.error().detail = "in the configured init SQL";
      return done;
    }
  }
  // From here on: what the operator's own SQL wrote is no client's transaction.
  sqlite3_commit_hook(
      db_,
      [](void* self) {
        ++static_cast<Handle*>(self)->commits_;
        return 0;
      },
      this);
  return {};
}

Result<void> Handle::set_journal_mode(bool created) {
  // One in memory answers what it would without an overlay.
  const bool in_memory_only = options_.path.empty() && options_.force_rollback;
  if (in_memory_only) return execute("PRAGMA journal_mode=memory");
  const auto mode = options_.path.empty() || options_.force_rollback || read_only()
                        ? std::string_view{}
                        : journal_word(options_.journal_mode, created);
  if (mode.empty()) return {};
  if (auto done = execute("PRAGMA journal_mode=" + std::string{mode}); !done) return done;
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(db_, "PRAGMA journal_mode", -1, &statement, nullptr);
  std::string now;
  if (sqlite3_step(statement) == SQLITE_ROW) {
    now = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  }
  sqlite3_finalize(statement);
  if (now != mode && log_.enabled(LogLevel::warning)) {
    log_.write(LogLevel::warning, "sqlite " + options_.name + ": journal_mode stays " + now +
                                      " instead of " + std::string{mode});
  }
  return {};
}

Result<void> Handle::execute(const std::string& sql) {
  authorizer_.begin(Author::based);
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  return error_of(db_, code, FailedIn::step);
}

void Handle::close() {
  if (db_ == nullptr) return;
  owner_.on_closing();
  if (in_transaction()) {
    if (auto done = execute("ROLLBACK"); !done && log_.enabled(LogLevel::warning)) {
      log_.write(LogLevel::warning,
                 "sqlite " + options_.name + ": rollback at close: " + done.error().message);
    }
  }
  // The last handle of a file writes its log back and removes it.
  const int code = sqlite3_close(db_);
  INVARIANT(code == SQLITE_OK);  // a statement of ours is still alive
  db_ = nullptr;
  log_pages_ = 0;
  log_dirty_ = false;
}

void Handle::checkpoint_if_due() {
  if (db_ == nullptr || log_pages_ < checkpoint_at_ || in_transaction()) return;
  int in_log = 0;
  int written = 0;
  const int code =
      sqlite3_wal_checkpoint_v2(db_, "main", SQLITE_CHECKPOINT_PASSIVE, &in_log, &written);
  const auto limit = static_cast<int>(options_.checkpoint_pages);
  // Another process may still read what is in the log: not again at every unit.
  const bool whole = code == SQLITE_OK && in_log == written;
  checkpoint_at_ = whole ? limit : std::min(in_log, std::numeric_limits<int>::max() / 2) + limit;
  if (whole) log_pages_ = 0;
}

void Handle::truncate_log() {
  if (db_ == nullptr || !log_dirty_ || in_transaction()) return;
  const int code =
      sqlite3_wal_checkpoint_v2(db_, "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (code != SQLITE_OK) return;  // somebody reads it: the next idle time will do
  log_dirty_ = false;
  log_pages_ = 0;
  checkpoint_at_ = static_cast<int>(options_.checkpoint_pages);
}

Result<void> Handle::mark(const std::string& name) {
  INVARIANT(db_ != nullptr && overlay_ != nullptr);
  return overlay_->mark(db_, name);
}

Result<void> Handle::reset(const std::optional<std::string>& mark) {
  close();
  if (mark) {
    if (overlay_ != nullptr) return overlay_->reset_to(*mark);
    return no_mark_error(*mark);
  }
  if (overlay_ != nullptr && !overlay_->reset()) overlay_ = nullptr;
  return {};
}

void Handle::discard() {
  close();
  overlay_ = nullptr;
}

void Handle::trim_overlay() {
  if (overlay_ != nullptr) overlay_->trim();
}

Result<void> Handle::verify_base() {
  if (overlay_ == nullptr) return {};
  return overlay_->verify_base();
}

}  // namespace based::sqlite
