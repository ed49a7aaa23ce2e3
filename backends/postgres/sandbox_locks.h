// SandboxLocks: which of everybody's tables a sandbox's root holds exclusively. For others each of
// them waits until the root ends. It is asked on a connection beside the root's, which sees what
// others see: a table that the root has made is nobody's else, and one that it has dropped is
// there. The connection is closed behind the answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "backends/postgres/side_link.h"

namespace based::postgres {

class SandboxLocks final : public SideLink {
 public:
  // How many, and the first of their names.
  using Told = std::function<void(std::uint64_t count, std::string names)>;

  // `opener` outlives this.
  SandboxLocks(std::string sandbox, LinkLimits limits, Opener& opener, Reactor& reactor, Log& log,
               Told told);
  ~SandboxLocks() override;

  // Of the server's process. Once more where it is being asked.
  void ask(std::int32_t process);

 private:
  void on_link_idle(Link& link) override;
  void on_over(const Error& reason, bool was_started) override;

  const Told told_;
  std::int32_t process_ = 0;  // to be asked for; 0: nothing is
  std::uint64_t count_ = 0, named_ = 0;
  std::string names_;
  std::unique_ptr<Reactor::Timer> again_;
};

}  // namespace based::postgres
