#include "daemon/stderr_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>

namespace based {
namespace {

constexpr std::size_t line_bytes_max = 8192;

struct LevelForm {
  std::string_view word;
  std::string_view journal_prefix;  // sd-daemon(3)
};
constexpr std::array<LevelForm, 4> level_forms{{
    {"debug", "<7>"},
    {"info", "<6>"},
    {"warning", "<4>"},
    {"error", "<3>"},
}};

bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || fstat(STDERR_FILENO, &info) != 0) return false;
  return fmt::format("{}:{}", info.st_dev, info.st_ino) == stream;
}

void append_escaped(std::string& line, std::string_view text) {
  for (const char c : text) {
    if (line.size() >= line_bytes_max) {
      line += "...";
      return;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      line += fmt::format("\\x{:02x}", byte);
    } else {
      line += c;
    }
  }
}

}  // namespace

StderrLog::StderrLog(LogLevel least) : least_(least), to_journal_(stderr_is_journal()) {}

void StderrLog::write(LogLevel level, std::string_view message) {
  if (!enabled(level)) return;
  const LevelForm& form = level_forms[static_cast<std::size_t>(level)];
  std::string line;
  if (to_journal_) {
    line = form.journal_prefix;
  } else {
    const auto now = std::chrono::system_clock::now();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
    line = fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z {} ",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(now)), ms.count() % 1000,
                       form.word);
  }
  append_escaped(line, message);
  line += '\n';
  const std::lock_guard lock(mutex_);
  // One write a line, so that lines of several threads do not mix. Nobody can be told if it fails.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace based
