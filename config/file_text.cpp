#include "config/file_text.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace based {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { static_cast<void>(std::fclose(file)); }
};

Error unreadable(const std::string& path, int error) {
  return Error::make(sqlstate::undefined_file,
                     "cannot read '" + path + "': " + std::strerror(error));
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rbe"));
  if (!file) return unreadable(path, errno);
  std::string text;
  std::array<char, 16 * 1024> piece;
  while (true) {
    const std::size_t got = std::fread(piece.data(), 1, piece.size(), file.get());
    if (got > bytes_max - text.size()) {
      return Error::make(sqlstate::program_limit_exceeded,
                         "'" + path + "' has more than " + std::to_string(bytes_max) + " bytes");
    }
    text.append(piece.data(), got);
    if (got == piece.size()) continue;
    if (std::ferror(file.get()) != 0) return unreadable(path, errno);
    return text;
  }
}

}  // namespace based
