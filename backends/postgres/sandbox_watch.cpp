#include "backends/postgres/sandbox_watch.h"

#include <charconv>
#include <utility>

namespace based::postgres {

SandboxWatch::SandboxWatch(std::string sandbox, LinkLimits limits, Opener& opener, Reactor& reactor,
                           Log& log, Told told)
    : sandbox_(std::move(sandbox)),
      limits_(limits),
      opener_(opener),
      reactor_(reactor),
      log_(log),
      told_(std::move(told)) {
  burial_ = reactor_.make_timer([this] { on_buried(); });
}

SandboxWatch::~SandboxWatch() = default;

void SandboxWatch::ask(std::int32_t process) {
  if (stopped_ || attempt_ || process_ != 0) return;
  process_ = process;
  if (!link_) {
    attempt_ = opener_.open(
        [this](Result<std::unique_ptr<Channel>> opened) { on_opened(std::move(opened)); });
  } else if (link_->state() == LinkState::idle) {
    on_link_idle(*link_);
  }
}

void SandboxWatch::on_opened(Result<std::unique_ptr<Channel>> opened) {
  attempt_.reset();
  if (!opened) {
    process_ = 0;
    log_.write(LogLevel::warning, "sandbox " + sandbox_ + ": it cannot be asked who blocks it: " +
                                      opened.error().message);
    return;
  }
  link_ = std::make_unique<Link>(0, *std::move(opened), limits_, *this, reactor_, log_);
  link_->start({});
}

void SandboxWatch::on_link_idle(Link& link) {
  if (process_ == 0 || !link.lease(holder_)) return;
  found_.clear();
  link.run_chore({.texts = {"SELECT DISTINCT pg_catalog.unnest(pg_catalog.pg_blocking_pids(" +
                            std::to_string(process_) + "))"},
                  .on_row =
                      [this](const std::vector<Cell>& row) {
                        const std::string_view text = row[0].bytes;
                        std::int32_t found = 0;
                        std::from_chars(text.data(), text.data() + text.size(), found);
                        if (found != 0) found_.push_back(found);
                      },
                  .then =
                      [this](const std::optional<Error>& error) {
                        process_ = 0;
                        link_->release(Leaving::finished);
                        if (!error) told_(found_);
                      },
                  .of_holder = true,
                  .may_fail = true});
}

void SandboxWatch::rest() {
  process_ = 0;
  attempt_.reset();
  if (!link_ || link_->state() == LinkState::closed) return;
  link_->close(Error::make(sqlstate::admin_shutdown, "nothing is to be asked"));
}

void SandboxWatch::on_link_closed(Link&, const Error&, bool) {
  process_ = 0;
  burial_->arm(reactor_.now());
}

void SandboxWatch::on_buried() {
  link_.reset();
  if (const auto stopped = std::exchange(stopped_, nullptr)) stopped();
}

void SandboxWatch::stop(std::function<void()> done) {
  rest();
  stopped_ = std::move(done);
  if (!link_ || link_->state() == LinkState::closed) burial_->arm(reactor_.now());
}

}  // namespace based::postgres
