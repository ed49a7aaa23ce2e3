// SandboxLog: what ran in a sandbox, the newest of it, for the question after a failed test: what
// did the application really send?
//
// A ring bounded in entries and bytes. Parameters are not in it. Loop thread only.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "backends/reactor.h"
#include "protocol/result.h"

namespace based {

struct SandboxLogEntry {
  std::uint64_t number = 0;                  // counts from 1 and never again; given by the log
  std::chrono::system_clock::time_point at;  // when it ended; given by the log
  std::uint64_t session = 0;
  std::string client;     // its address
  std::string statement;  // cut to SandboxLog::Limits::text_bytes_max
  Duration duration{};
  std::uint64_t rows = 0;   // returned or changed
  std::uint32_t level = 0;  // 0: outside of a transaction; 1: in one; savepoints do not count
  std::string sqlstate;     // empty: it succeeded
  std::string error;
};

class SandboxLog {
 public:
  struct Limits {
    std::size_t entries_max = 10'000;
    std::size_t bytes_max = std::size_t{4} << 20;  // of texts
    std::size_t text_bytes_max = 8 * 1024;         // of one statement or message
  };

  SandboxLog() : SandboxLog(Limits()) {}
  explicit SandboxLog(const Limits& limits) : limits_(limits) {}

  // The oldest entries go where there are too many.
  void add(SandboxLogEntry entry);
  // The session's newest entry has failed after all: what ends its unit was refused.
  void fail_last(std::uint64_t session, std::string_view sqlstate, std::string_view error);
  // Numbers go on behind it.
  void clear();

  const std::deque<SandboxLogEntry>& entries() const { return entries_; }  // the oldest first
  std::uint64_t added() const { return added_; }

 private:
  static std::size_t bytes_of(const SandboxLogEntry& entry);

  const Limits limits_;
  std::deque<SandboxLogEntry> entries_;
  std::size_t bytes_ = 0;
  std::uint64_t added_ = 0;
};

// What a client says and a front end answers by itself: transaction control, settings, and what is
// refused. One at a time: from say() to done() or failed(), which add it to the log.
class SaidStatement {
 public:
  // `log` outlives it. Null: there is no log, and all of this does nothing.
  SaidStatement(SandboxLog* log, std::uint64_t session, std::string client)
      : log_(log), session_(session), client_(std::move(client)) {}

  bool is_logged() const { return log_ != nullptr; }
  // In the client's words. `level`: as it is now (SandboxLogEntry::level).
  void say(std::string_view words, std::uint32_t level, TimePoint now);
  // Another wording, as more of it is known.
  void reword(std::string_view words);
  void forget() { said_.reset(); }
  // Nothing, where nothing was said. `level`: as it is behind it.
  void done(std::uint32_t level, TimePoint now);
  void failed(const Error& error, TimePoint now);

 private:
  void add(TimePoint now);

  SandboxLog* const log_;
  const std::uint64_t session_;
  const std::string client_;
  std::optional<SandboxLogEntry> said_;
  TimePoint since_{};
};

}  // namespace based
