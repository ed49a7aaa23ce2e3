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

void SandboxLog::fail_last(std::uint64_t session, std::string_view sqlstate,
                           std::string_view error) {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->session != session) continue;
    bytes_ -= bytes_of(*entry);
    entry->sqlstate = sqlstate;
    entry->error = error;
    cut(entry->error, limits_.text_bytes_max);
    bytes_ += bytes_of(*entry);
    return;
  }
}

void SandboxLog::clear() {
  entries_.clear();
  bytes_ = 0;
}

// The log cuts it; what is far too long is not even copied.
void SaidStatement::say(std::string_view words, std::uint32_t level, TimePoint now) {
  if (log_ == nullptr) return;
  said_.emplace();
  said_->session = session_;
  said_->client = client_;
  said_->level = level;
  since_ = now;
  reword(words);
}

void SaidStatement::reword(std::string_view words) {
  if (said_) said_->statement = words.substr(0, SandboxLog::Limits{}.text_bytes_max + 1);
}

void SaidStatement::done(std::uint32_t level, TimePoint now) {
  if (!said_) return;
  said_->level = level;
  add(now);
}

void SaidStatement::failed(const Error& error, TimePoint now) {
  if (!said_) return;
  said_->sqlstate = error.sqlstate.text();
  said_->error = error.message;
  add(now);
}

void SaidStatement::add(TimePoint now) {
  said_->duration = now - since_;
  log_->add(*std::exchange(said_, std::nullopt));
}

}  // namespace based
