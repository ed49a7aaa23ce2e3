// The whole text of a small file. Loop thread, before the loop runs: it blocks.
#pragma once

#include <cstddef>
#include <string>

#include "protocol/result.h"

namespace based {

// 58P01 when it cannot be read, 54000 when it has more bytes than `bytes_max`.
Result<std::string> read_file(const std::string& path, std::size_t bytes_max);

}  // namespace based
