// Layers: an overlay over a file in a directory of its own, and plain handles to compare it
// with.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "backends/sqlite/overlay.h"
#include "fixture.h"

namespace based::test {

// A handle that answers in text: rows, with | between the columns, or the error.
class Db {
 public:
  explicit Db(const std::string& path, const char* vfs = nullptr,
              const std::string& locking = "EXCLUSIVE",
              int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) {
    opened_ = sqlite3_open_v2(path.c_str(), &db_, flags | SQLITE_OPEN_EXRESCODE, vfs);
    run("PRAGMA locking_mode=" + locking);
  }
  ~Db() { CHECK(sqlite3_close(db_) == SQLITE_OK); }
  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;

  std::string run(const std::string& sql) {
    std::string out;
    char* message = nullptr;
    code_ = sqlite3_exec(
        db_, sql.c_str(),
        [](void* to, int count, char** values, char**) -> int {
          auto& text = *static_cast<std::string*>(to);
          if (!text.empty()) text += '\n';
          for (int i = 0; i < count; ++i) {
            if (i > 0) text += '|';
            text += values[i] != nullptr ? values[i] : "null";
          }
          return 0;
        },
        &out, &message);
    if (code_ != SQLITE_OK) out += std::string{"error: "} + (message != nullptr ? message : "?");
    sqlite3_free(message);
    return out;
  }
  // Of the last run.
  int code() const { return code_; }
  int opened() const { return opened_; }
  sqlite3* get() { return db_; }

 private:
  sqlite3* db_ = nullptr;
  int opened_ = SQLITE_OK;
  int code_ = SQLITE_OK;
};

// Numbers that are the same in every run.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  std::uint64_t below(std::uint64_t limit) {
    seed_ = seed_ * 6364136223846793005U + 1442695040888963407U;
    return (seed_ >> 33) % limit;
  }

 private:
  std::uint64_t seed_;
};

struct Layers {
  std::string base() const { return dir.file("base.db"); }
  // A file with 5000 rows in t(id, v).
  void make_base(const std::string& mode, const std::string& name = "base.db",
                 const std::string& before = "") {
    Db maker{dir.file(name), nullptr, "NORMAL"};
    maker.run(before);
    maker.run("PRAGMA journal_mode=" + mode);
    maker.run(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE); WITH RECURSIVE n(i) AS (VALUES(1) "
        "UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO t(v) SELECT 'row ' || i FROM n");
    REQUIRE(maker.code() == SQLITE_OK);
  }
  sqlite::Overlay::Options options(sqlite::OverlayStore::Limits limits = {}) const {
    return {.temp_dir = dir.path(), .patience = {}, .limits = limits};
  }
  void start(sqlite::OverlayStore::Limits limits = {}) {
    auto opened = sqlite::Overlay::open(base(), options(limits));
    REQUIRE(opened.ok());
    overlay = std::move(opened).value();
    reopen();
  }
  void close() { db.reset(); }
  void reopen() {
    db = std::make_unique<Db>(overlay->path(), overlay->vfs_name());
    REQUIRE(db->opened() == SQLITE_OK);
  }
  std::string run(const std::string& sql) { return db->run(sql); }
  std::string count() { return run("SELECT count(*) FROM t"); }
  void reset() {
    close();
    REQUIRE(overlay->reset().ok());
    reopen();
  }
  void reset_to(const std::string& mark) {
    close();
    REQUIRE(overlay->reset_to(mark).ok());
    reopen();
  }
  void mark(const std::string& name) { REQUIRE(overlay->mark(db->get(), name).ok()); }

  TempDir dir;
  std::unique_ptr<sqlite::Overlay> overlay;
  std::unique_ptr<Db> db;
};

template <typename T>
std::string code_of(const Result<T>& result) {
  return result.ok() ? "ok" : std::string{result.error().sqlstate.text()};
}

}  // namespace based::test
