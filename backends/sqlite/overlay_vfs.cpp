// The overlay as SQLite's VFS calls it: trampolines, and the opening of files.
#include <algorithm>
#include <cstdio>
#include <new>

#include "backends/sqlite/overlay_entry.h"
#include "protocol/check.h"

namespace based::sqlite {
namespace {

Overlay* overlay_of(sqlite3_vfs* vfs) { return static_cast<Overlay*>(vfs->pAppData); }
// Every other call goes to the system's VFS.
sqlite3_vfs* system_vfs() { return sqlite3_vfs_find(nullptr); }

}  // namespace

const sqlite3_io_methods* Overlay::methods() {
  static constexpr auto content = [](sqlite3_file* file) -> OverlayFile& {
    return static_cast<File*>(file)->entry->content;
  };
  // Version 1: neither shared memory nor memory mapping.
  static constexpr sqlite3_io_methods table = {
      .iVersion = 1,
      .xClose = [](sqlite3_file* file) -> int {
        auto* opened = static_cast<File*>(file);
        opened->overlay->on_closed(*opened);
        opened->~File();
        return SQLITE_OK;
      },
      .xRead = [](sqlite3_file* file, void* into, int count, sqlite3_int64 offset) -> int {
        return content(file).read(static_cast<char*>(into), count, offset);
      },
      .xWrite = [](sqlite3_file* file, const void* from, int count, sqlite3_int64 offset) -> int {
        return content(file).write(static_cast<const char*>(from), count, offset);
      },
      .xTruncate = [](sqlite3_file* file, sqlite3_int64 size) -> int {
        return content(file).truncate(size);
      },
      // Nothing of it has to survive a crash.
      .xSync = [](sqlite3_file*, int) -> int { return SQLITE_OK; },
      .xFileSize = [](sqlite3_file* file, sqlite3_int64* size) -> int {
        *size = content(file).size();
        return SQLITE_OK;
      },
      // A file is opened by one handle, once; the base's own lock is held by the OverlayBase.
      .xLock = [](sqlite3_file*, int) -> int { return SQLITE_OK; },
      .xUnlock = [](sqlite3_file*, int) -> int { return SQLITE_OK; },
      .xCheckReservedLock = [](sqlite3_file*, int* result) -> int {
        *result = 0;
        return SQLITE_OK;
      },
      .xFileControl = [](sqlite3_file*, int, void*) -> int { return SQLITE_NOTFOUND; },
      .xSectorSize = [](sqlite3_file*) -> int { return OverlayFile::block_bytes; },
      .xDeviceCharacteristics = [](sqlite3_file*) -> int {
        return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
      },
  };
  return &table;
}

int Overlay::open_file(const char* name, sqlite3_file* file, int flags, int* flags_out) {
  file->pMethods = nullptr;
  if (name == nullptr) return system_->xOpen(system_, name, file, flags, flags_out);
  std::shared_ptr<Entry> entry;
  if (const int code = find_or_add(name, flags, entry); code != SQLITE_OK) return code;
  auto* opened = new (file) File;
  opened->overlay = this;
  opened->entry = std::move(entry);
  ++opened->entry->open_count;
  ++open_files_;
  opened->pMethods = methods();
  // A base without write permission is as writable in the overlay as any other.
  if (flags_out != nullptr) *flags_out = flags;
  return SQLITE_OK;
}

void Overlay::register_vfs() {
  // The registry is the process's: the name must be nobody else's.
  char name[48];
  std::snprintf(name, sizeof name, "based-overlay-%p", static_cast<void*>(this));
  vfs_name_ = name;
  vfs_.iVersion = 2;
  // Room for the system's own files, too: those without a name.
  vfs_.szOsFile = std::max(static_cast<int>(sizeof(File)), system_->szOsFile);
  vfs_.mxPathname = system_->mxPathname;
  vfs_.zName = vfs_name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = [](sqlite3_vfs* vfs, const char* file_name, sqlite3_file* file, int flags,
                  int* flags_out) -> int {
    return overlay_of(vfs)->open_file(file_name, file, flags, flags_out);
  };
  vfs_.xDelete = [](sqlite3_vfs* vfs, const char* file_name, int) -> int {
    return overlay_of(vfs)->delete_file(file_name);
  };
  vfs_.xAccess = [](sqlite3_vfs* vfs, const char* file_name, int flags, int* result) -> int {
    return overlay_of(vfs)->access(file_name, flags, result);
  };
  vfs_.xFullPathname = [](sqlite3_vfs* vfs, const char* file_name, int size, char* full) -> int {
    // A full path already; and where there is no file, a name that must not become another.
    if (overlay_of(vfs)->path() == file_name) {
      sqlite3_snprintf(size, full, "%s", file_name);
      return SQLITE_OK;
    }
    return system_vfs()->xFullPathname(system_vfs(), file_name, size, full);
  };
  vfs_.xRandomness = [](sqlite3_vfs*, int count, char* out) -> int {
    return system_vfs()->xRandomness(system_vfs(), count, out);
  };
  vfs_.xSleep = [](sqlite3_vfs*, int microseconds) -> int {
    return system_vfs()->xSleep(system_vfs(), microseconds);
  };
  vfs_.xCurrentTime = [](sqlite3_vfs*, double* now) -> int {
    return system_vfs()->xCurrentTime(system_vfs(), now);
  };
  vfs_.xCurrentTimeInt64 = [](sqlite3_vfs*, sqlite3_int64* now) -> int {
    return system_vfs()->xCurrentTimeInt64(system_vfs(), now);
  };
  vfs_.xGetLastError = [](sqlite3_vfs*, int, char*) -> int { return 0; };
  forward_libraries();
  INVARIANT(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
}

// A handle that may load extensions loads them as any other.
void Overlay::forward_libraries() {
  using Symbol = void (*)();
  vfs_.xDlOpen = [](sqlite3_vfs*, const char* library) -> void* {
    return system_vfs()->xDlOpen(system_vfs(), library);
  };
  vfs_.xDlError = [](sqlite3_vfs*, int size, char* message) -> void {
    system_vfs()->xDlError(system_vfs(), size, message);
  };
  vfs_.xDlSym = [](sqlite3_vfs*, void* library, const char* name) -> Symbol {
    return system_vfs()->xDlSym(system_vfs(), library, name);
  };
  vfs_.xDlClose = [](sqlite3_vfs*, void* library) -> void {
    system_vfs()->xDlClose(system_vfs(), library);
  };
}

}  // namespace based::sqlite
