// SqliteSandbox: SANDBOX ... for a SQLite database under force_rollback. Its lane does the work.
//
// MARK is a unit in the lane's queue; RESET and DROP go before everybody, and end what runs and
// what is open. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/reactor.h"
#include "backends/sandbox.h"
#include "backends/sqlite/lane.h"
#include "backends/sqlite/sqlite_database.h"

namespace based::sqlite {

class SqliteSandbox final : public Sandbox {
 public:
  // All outlive it, but for `lane`, which is made after it and attached.
  SqliteSandbox(const SqliteOptions& options, Reactor& reactor);
  ~SqliteSandbox() override;

  // REQUIRES that nothing else is called before.
  void attach(Lane& lane) { lane_ = &lane; }
  // Whoever waits for a mark is told 57P01. Before the lane is closed.
  void shut_down();

  void mark(const std::string& name, Done done) override;
  void reset(const std::optional<std::string>& mark, Done done) override;
  void drop(Done done) override;
  SandboxStatus status() const override;
  std::vector<SandboxStatus> list() const override;
  SandboxLog& log() override { return log_; }

 private:
  class MarkRequest;

  bool has_mark(const std::string& name) const;
  void finished(MarkRequest& request, const std::optional<Error>& error);
  void start(Lane::Reset reset, Done done);
  void was_reset(const std::optional<std::string>& mark, bool drop,
                 const std::optional<Error>& error);
  void post(Done done, Error error);

  const SqliteOptions& options_;
  Reactor& reactor_;
  SandboxLog log_;
  Lane* lane_ = nullptr;
  std::vector<std::unique_ptr<MarkRequest>> requests_;
  std::vector<std::string> marks_;  // as the overlay has them, the oldest first
  std::uint64_t resets_ = 0;
  std::uint64_t epoch_ = 1;
  std::uint64_t units_before_ = 0;  // the last reset without a mark
  TimePoint began_;
  std::shared_ptr<SqliteSandbox*> anchor_;  // what is posted finds it through this, or null
};

}  // namespace based::sqlite
