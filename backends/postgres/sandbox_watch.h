// SandboxWatch: for whose locks a sandbox's statement waits. The server tells it only while that
// waits, and on another connection, which stays until nothing more is to be asked.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "backends/postgres/side_link.h"

namespace based::postgres {

class SandboxWatch final : public SideLink {
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

 private:
  void on_link_idle(Link& link) override;
  void on_over(const Error& reason, bool was_started) override;

  const Told told_;
  std::int32_t process_ = 0;  // to be asked for; 0: nothing is
  std::vector<std::int32_t> found_;
};

}  // namespace based::postgres
