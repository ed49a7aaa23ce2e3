#include "backends/postgres/sandbox_locks.h"

#include <charconv>
#include <utility>

namespace based::postgres {
namespace {

constexpr std::uint64_t names_max = 5;
constexpr Duration asked_again_after = std::chrono::milliseconds(100);

std::string question(std::int32_t process) {
  return "SELECT pg_catalog.count(*) OVER (), c.oid::pg_catalog.regclass::pg_catalog.text "
         "FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'm', 'v', 'S', 'f') "
         "AND c.oid IN (SELECT relation FROM pg_catalog.pg_locks WHERE locktype = 'relation' "
         "AND granted AND mode = 'AccessExclusiveLock' AND pid = " +
         std::to_string(process) +
         " AND database = (SELECT d.oid FROM pg_catalog.pg_database d "
         "WHERE d.datname = pg_catalog.current_database())) ORDER BY 2 LIMIT " +
         std::to_string(names_max);
}

}  // namespace

SandboxLocks::SandboxLocks(std::string sandbox, LinkLimits limits, Opener& opener, Reactor& reactor,
                           Log& log, Told told)
    : SideLink(std::move(sandbox), limits, opener, reactor, log), told_(std::move(told)) {
  again_ = reactor.make_timer([this] { ask(process_); });
}

SandboxLocks::~SandboxLocks() = default;

void SandboxLocks::ask(std::int32_t process) {
  if (is_stopped() || process == 0) return;
  process_ = process;
  if (!is_opening() && !current_link()) open();
}

void SandboxLocks::on_link_idle(Link& link) {
  if (process_ == 0 || !link.lease(holder())) return close("nothing is to be asked");
  count_ = 0;
  names_.clear();
  named_ = 0;
  link.run_chore({.texts = {question(std::exchange(process_, 0))},
                  .on_row =
                      [this](const std::vector<Cell>& row) {
                        const std::string_view count = row[0].bytes;
                        std::from_chars(count.data(), count.data() + count.size(), count_);
                        names_.append(names_.empty() ? "" : ", ").append(row[1].bytes);
                        if (++named_ == names_max && count_ > names_max) names_ += ", ...";
                      },
                  .then =
                      [this](const std::optional<Error>& error) {
                        if (!error) told_(count_, names_);
                        current_link()->release(Leaving::finished);
                      },
                  .of_holder = true,
                  .may_fail = true});
}

void SandboxLocks::on_over(const Error& reason, bool was_started) {
  if (process_ == 0 || is_stopped()) return;
  if (was_started) return again_->arm(reactor().now() + asked_again_after);
  process_ = 0;
  log(LogLevel::warning, "it cannot be asked which tables it locks: " + reason.message);
}

}  // namespace based::postgres
