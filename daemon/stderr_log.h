// StderrLog: one line an event on standard error, with the journal's level prefix when systemd
// reads it.
#pragma once

#include <mutex>
#include <string>

#include "backends/log.h"

namespace based {

class StderrLog final : public Log {
 public:
  // "<6>" prefixes instead of a time when $JOURNAL_STREAM names this standard error: the journal
  // has its own clock.
  explicit StderrLog(LogLevel least);

  bool enabled(LogLevel level) const override { return level >= least_; }
  void write(LogLevel level, std::string_view message) override;
  void set_least(LogLevel least) { least_ = least; }  // loop thread, before others write

 private:
  LogLevel least_;
  const bool to_journal_;
  std::mutex mutex_;
};

}  // namespace based
