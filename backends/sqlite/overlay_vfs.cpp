// The overlay as SQLite's VFS calls it: trampolines, and the table of open files.
#include <atomic>
#include <cstdio>
#include <new>

#include "backends/sqlite/overlay.h"
#include "protocol/check.h"

namespace based::sqlite {

struct Overlay::File : sqlite3_file {
  std::shared_ptr<OverlayBody> body;
};

namespace {

Overlay* overlay_of(sqlite3_vfs* vfs) { return static_cast<Overlay*>(vfs->pAppData); }
// Every other call goes to the system's VFS, kept where SQLite links registered ones.
sqlite3_vfs* system_vfs() { return sqlite3_vfs_find(nullptr); }

}  // namespace

const sqlite3_io_methods* Overlay::methods() {
  static constexpr auto body = [](sqlite3_file* file) -> OverlayBody& {
    return *static_cast<File*>(file)->body;
  };
  static constexpr sqlite3_io_methods table = {
      .iVersion = 1,
      .xClose = [](sqlite3_file* file) -> int {
        static_cast<File*>(file)->~File();
        return SQLITE_OK;
      },
      .xRead = [](sqlite3_file* file, void* into, int count, sqlite3_int64 offset) -> int {
        return body(file).read(static_cast<char*>(into), count, offset);
      },
      .xWrite = [](sqlite3_file* file, const void* from, int count, sqlite3_int64 offset) -> int {
        return body(file).write(static_cast<const char*>(from), count, offset);
      },
      .xTruncate = [](sqlite3_file* file, sqlite3_int64 size) -> int {
        return body(file).truncate(size);
      },
      // Nothing of it has to survive a crash.
      .xSync = [](sqlite3_file*, int) -> int { return SQLITE_OK; },
      .xFileSize = [](sqlite3_file* file, sqlite3_int64* size) -> int {
        *size = body(file).size();
        return SQLITE_OK;
      },
      // One handle uses the overlay; the base's own lock is taken once, for all its life.
      .xLock = [](sqlite3_file*, int) -> int { return SQLITE_OK; },
      .xUnlock = [](sqlite3_file*, int) -> int { return SQLITE_OK; },
      .xCheckReservedLock = [](sqlite3_file*, int* result) -> int {
        *result = 0;
        return SQLITE_OK;
      },
      .xFileControl = [](sqlite3_file*, int, void*) -> int { return SQLITE_NOTFOUND; },
      .xSectorSize = [](sqlite3_file*) -> int { return 4096; },
      .xDeviceCharacteristics = [](sqlite3_file*) -> int {
        return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
      },
  };
  return &table;
}

int Overlay::open_file(const char* name, sqlite3_file* file, int flags, int* flags_out) {
  file->pMethods = nullptr;
  std::shared_ptr<OverlayBody> body;
  if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
    if (name == nullptr || path_ != name) return SQLITE_CANTOPEN;
    body = main_;
  } else if (name != nullptr) {
    if (const auto found = named_.find(std::string_view{name}); found != named_.end()) {
      body = found->second;
    }
  }
  if (body == nullptr) {
    auto made = OverlayBody::make(temp_dir_);
    if (!made) return SQLITE_CANTOPEN;
    body = std::move(made).value();
    if (name != nullptr && (flags & SQLITE_OPEN_DELETEONCLOSE) == 0) named_.emplace(name, body);
  }
  auto* opened = new (file) File;
  opened->body = std::move(body);
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
  vfs_ = sqlite3_vfs{};
  vfs_.iVersion = 2;
  vfs_.szOsFile = static_cast<int>(sizeof(File));
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
    *result = overlay_of(vfs)->exists(file_name, flags) ? 1 : 0;
    return SQLITE_OK;
  };
  vfs_.xFullPathname = [](sqlite3_vfs*, const char* file_name, int size, char* full) -> int {
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
  INVARIANT(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
}

}  // namespace based::sqlite
