#include "backends/postgres/sandbox_vacuum.h"

#include <utility>

namespace based::postgres {
namespace {

constexpr Duration run_most = std::chrono::seconds(60);

// The tables that are there for others, too.
std::string plan(const std::string& oids) {
  return "SELECT pg_catalog.format('VACUUM (SKIP_LOCKED) %s', c.oid::pg_catalog.regclass) "
         "FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' "
         "AND c.oid = ANY (pg_catalog.string_to_array('" +
         oids + "', ' ')::pg_catalog.oid[]) LIMIT 100";
}

}  // namespace

SandboxVacuum::SandboxVacuum(std::string sandbox, LinkLimits limits, Opener& opener,
                             Reactor& reactor, Log& log)
    : sandbox_(std::move(sandbox)), limits_(limits), opener_(opener), reactor_(reactor), log_(log) {
  deadline_ = reactor_.make_timer([this] {
    if (link_) link_->close(Error::make(sqlstate::query_canceled, "VACUUM took too long"));
  });
  burial_ = reactor_.make_timer([this] { on_buried(); });
}

SandboxVacuum::~SandboxVacuum() = default;

void SandboxVacuum::run(std::string_view oids) {
  const bool sound = oids.find_first_not_of("0123456789 ") == oids.npos;
  if (attempt_ || link_ || stopped_ || oids.empty() || !sound) return;
  oids_ = oids;
  attempt_ = opener_.open(
      [this](Result<std::unique_ptr<Channel>> opened) { on_opened(std::move(opened)); });
}

void SandboxVacuum::on_opened(Result<std::unique_ptr<Channel>> opened) {
  attempt_.reset();
  if (!opened) {
    log_.write(LogLevel::warning,
               "sandbox " + sandbox_ + ": no connection for VACUUM: " + opened.error().message);
    return;
  }
  done_count_ = 0;
  texts_.clear();
  link_ = std::make_unique<Link>(0, *std::move(opened), limits_, *this, reactor_, log_);
  std::vector<Chore> chores;
  chores.push_back({.texts = {plan(oids_)}, .on_row = [this](const std::vector<Cell>& row) {
                      texts_.emplace_back(row[0].bytes);
                    }});
  link_->start(std::move(chores));
}

void SandboxVacuum::on_link_idle(Link& link) {
  deadline_->arm(reactor_.now() + run_most);
  if (link.lease(holder_)) vacuum_next();
}

void SandboxVacuum::vacuum_next() {
  if (texts_.empty()) {
    log_.write(LogLevel::debug,
               "sandbox " + sandbox_ + ": " + std::to_string(done_count_) + " tables vacuumed");
    return link_->close(Error::make(sqlstate::admin_shutdown, "VACUUM is done"));
  }
  Chore chore{.texts = {std::move(texts_.back())}};
  texts_.pop_back();
  chore.then = [this](const std::optional<Error>& error) {
    if (error) {
      log_.write(LogLevel::warning, "sandbox " + sandbox_ + ": VACUUM: " + error->message);
    } else {
      ++done_count_;
    }
    vacuum_next();
  };
  link_->run_chore(std::move(chore));
}

void SandboxVacuum::on_link_closed(Link&, const Error& reason, bool was_started) {
  deadline_->disarm();
  if (!was_started) {
    log_.write(LogLevel::warning, "sandbox " + sandbox_ + ": VACUUM: " + reason.message);
  }
  burial_->arm(reactor_.now());
}

void SandboxVacuum::on_buried() {
  link_.reset();
  if (const auto stopped = std::exchange(stopped_, nullptr)) stopped();
}

void SandboxVacuum::stop(std::function<void()> done) {
  stopped_ = std::move(done);
  attempt_.reset();
  if (!link_ || link_->state() == LinkState::closed) return burial_->arm(reactor_.now());
  link_->close(Error::make(sqlstate::admin_shutdown, "shutting down"));
}

}  // namespace based::postgres
