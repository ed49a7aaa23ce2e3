#include "backends/postgres/sandbox_vacuum.h"

#include <chrono>
#include <utility>

namespace based::postgres {
namespace {

constexpr Duration run_most = std::chrono::seconds(60);

// The tables that are there for others, too. They are not made shorter: VACUUM would wait for that
// while the sandbox has written to them again, and who asks for all of such a table waited for it.
std::string plan(const std::string& oids) {
  return "SELECT pg_catalog.format('VACUUM (SKIP_LOCKED, TRUNCATE FALSE) %s', "
         "c.oid::pg_catalog.regclass) "
         "FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' "
         "AND c.oid = ANY (pg_catalog.string_to_array('" +
         oids + "', ' ')::pg_catalog.oid[]) LIMIT 100";
}

}  // namespace

SandboxVacuum::SandboxVacuum(std::string sandbox, LinkLimits limits, Opener& opener,
                             Reactor& reactor, Log& log)
    : SideLink(std::move(sandbox), limits, opener, reactor, log) {
  deadline_ = reactor.make_timer([this] {
    if (current_link())
      current_link()->close(Error::make(sqlstate::query_canceled, "VACUUM took too long"));
  });
}

SandboxVacuum::~SandboxVacuum() = default;

void SandboxVacuum::run(std::string_view oids) {
  const bool sound = oids.find_first_not_of("0123456789 ") == oids.npos;
  if (is_opening() || current_link() || is_stopped() || oids.empty() || !sound) return;
  oids_ = oids;
  done_count_ = 0;
  texts_.clear();
  open();
}

std::vector<Chore> SandboxVacuum::first_chores() {
  std::vector<Chore> chores;
  chores.push_back({.texts = {plan(oids_)}, .on_row = [this](const std::vector<Cell>& row) {
                      texts_.emplace_back(row[0].bytes);
                    }});
  return chores;
}

void SandboxVacuum::on_link_idle(Link& link) {
  deadline_->arm(reactor().now() + run_most);
  if (link.lease(holder())) vacuum_next();
}

void SandboxVacuum::vacuum_next() {
  if (texts_.empty()) {
    log(LogLevel::debug, std::to_string(done_count_) + " tables vacuumed");
    return close("VACUUM is done");
  }
  Chore chore{.texts = {std::move(texts_.back())}};
  texts_.pop_back();
  chore.then = [this](const std::optional<Error>& error) {
    if (error) {
      log(LogLevel::warning, "VACUUM: " + error->message);
    } else {
      ++done_count_;
    }
    vacuum_next();
  };
  current_link()->run_chore(std::move(chore));
}

void SandboxVacuum::on_over(const Error& reason, bool was_started) {
  deadline_->disarm();
  if (!was_started && !is_stopped())
    log(LogLevel::warning, "no connection for VACUUM: " + reason.message);
}

}  // namespace based::postgres
