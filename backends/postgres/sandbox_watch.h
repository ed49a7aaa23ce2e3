// SandboxWatch: for whose locks a sandbox's statement waits. The server tells it only while that
// waits, and on another connection: one is opened for the first question, and closed when nothing
// more is to be asked. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/log.h"
#include "backends/postgres/channel.h"
#include "backends/postgres/link.h"
#include "backends/reactor.h"

namespace based::postgres {

class SandboxWatch final : public LinkHost {
 public:
  // The server's processes that hold what it waits for; none: it does not wait.
  using Told = std::function<void(const std::vector<std::int32_t>& processes)>;

  // `opener` outlives this.
  SandboxWatch(std::string sandbox, LinkLimits limits, Opener& opener, Reactor& reactor, Log& log,
               Told told);
  ~SandboxWatch() override;

  // By whom is the server's process blocked? Nothing where the last answer has not come.
  void ask(std::int32_t process);
  // Nothing is to be asked for now.
  void rest();
  // `done` comes from the loop when no link is left.
  void stop(std::function<void()> done);

 private:
  struct Holder final : LinkHolder {
    void on_link_lost(const Error&) override {}
    void on_cancel_over() override {}
  };

  void on_opened(Result<std::unique_ptr<Channel>> opened);
  void on_link_idle(Link& link) override;
  void on_link_closed(Link& link, const Error& reason, bool was_started) override;
  std::vector<Chore> cleaning_chores(Link&) override { return {}; }
  char rest_status() const override { return 'I'; }
  void on_buried();

  std::string sandbox_;
  LinkLimits limits_;
  Opener& opener_;
  Reactor& reactor_;
  Log& log_;
  const Told told_;
  std::int32_t process_ = 0;  // to be asked for; 0: nothing is
  std::vector<std::int32_t> found_;
  std::unique_ptr<OpenAttempt> attempt_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<Reactor::Timer> burial_;
  Holder holder_;
  std::function<void()> stopped_;
};

}  // namespace based::postgres
