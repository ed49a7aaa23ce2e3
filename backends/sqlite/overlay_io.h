// Whole reads and writes at an offset, and files without a name, for the overlay. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/result.h"

namespace based::sqlite {

// Reads up to `count` bytes; fewer only at the end of the file. -1 and errno for an error.
std::int64_t read_at(int fd, char* into, std::int64_t count, std::int64_t offset);

// SQLITE_OK; SQLITE_FULL where there is no room; SQLITE_IOERR_WRITE.
int write_at(int fd, const char* from, std::int64_t count, std::int64_t offset);

// A new file in `directory` that nobody else can open; its space is free when it is closed,
// whatever ends the process. 58P01 where none can be made.
Result<int> open_nameless(const std::string& directory);

}  // namespace based::sqlite
