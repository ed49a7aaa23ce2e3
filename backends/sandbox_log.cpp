#include "backends/sandbox_log.h"

#include <utility>

namespace based {
namespace {

// Cut to whole characters.
void cut(std::string& text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return;
  std::size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  text += "...";
}

}  // namespace

std::size_t SandboxLog::bytes_of(const SandboxLogEntry& entry) {
  return entry.client.size() + entry.statement.size() + entry.error.size();
}

void SandboxLog::add(SandboxLogEntry entry) {
  cut(entry.statement, limits_.text_bytes_max);
  cut(entry.error, limits_.text_bytes_max);
  entry.number = ++added_;
  entry.at = std::chrono::system_clock::now();
  bytes_ += bytes_of(entry);
  entries_.push_back(std::move(entry));
  while (entries_.size() > limits_.entries_max ||
         (bytes_ > limits_.bytes_max && entries_.size() > 1)) {
    bytes_ -= bytes_of(entries_.front());
    entries_.pop_front();
  }
}

void SandboxLog::clear() {
  entries_.clear();
  bytes_ = 0;
}

}  // namespace based
