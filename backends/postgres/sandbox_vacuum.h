// SandboxVacuum: what resets leave behind. A row that was rolled back stays in its table, dead,
// until a VACUUM, and autovacuum hears nothing of what was rolled back to a mark.
//
// One table is vacuumed after another, at most 100 of them and for 60 s; a table that is locked is
// passed over.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/side_link.h"

namespace based::postgres {

class SandboxVacuum final : public SideLink {
 public:
  // `opener` opens links that may write; it outlives this.
  SandboxVacuum(std::string sandbox, LinkLimits limits, Opener& opener, Reactor& reactor, Log& log);
  ~SandboxVacuum() override;

  // The tables' OIDs, with spaces between them. Nothing where a run is under way.
  void run(std::string_view oids);

 private:
  std::vector<Chore> first_chores() override;
  void on_link_idle(Link& link) override;
  void on_over(const Error& reason, bool was_started) override;
  void vacuum_next();

  std::string oids_;
  std::vector<std::string> texts_;  // the last one is next
  std::size_t done_count_ = 0;
  std::unique_ptr<Reactor::Timer> deadline_;
};

}  // namespace based::postgres
