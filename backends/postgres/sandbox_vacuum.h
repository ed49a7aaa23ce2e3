// SandboxVacuum: what resets leave behind. A row that was rolled back stays in its table, dead,
// until a VACUUM, and autovacuum hears nothing of what was rolled back to a mark.
//
// VACUUM runs on a link of its own, which is opened for it and closed behind it, one table after
// another, at most 100 of them and for 60 s: no session waits for it, and a table that is locked is
// passed over. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/log.h"
#include "backends/postgres/channel.h"
#include "backends/postgres/link.h"
#include "backends/reactor.h"

namespace based::postgres {

class SandboxVacuum final : public LinkHost {
 public:
  // `opener` opens links that may write; it outlives this.
  SandboxVacuum(std::string sandbox, LinkLimits limits, Opener& opener, Reactor& reactor, Log& log);
  ~SandboxVacuum() override;

  // The tables' OIDs, with spaces between them. Nothing where a run is under way.
  void run(std::string_view oids);
  // Breaks a run off; `done` comes from the loop when no link is left.
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
  void vacuum_next();
  void on_buried();

  std::string sandbox_;
  LinkLimits limits_;
  Opener& opener_;
  Reactor& reactor_;
  Log& log_;
  std::string oids_;
  std::vector<std::string> texts_;  // the last one is next
  std::size_t done_count_ = 0;
  std::unique_ptr<OpenAttempt> attempt_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<Reactor::Timer> deadline_, burial_;
  Holder holder_;
  std::function<void()> stopped_;
};

}  // namespace based::postgres
