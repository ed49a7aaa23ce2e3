#include "backends/postgres/side_link.h"

#include <utility>

namespace based::postgres {

SideLink::SideLink(std::string sandbox, LinkLimits limits, Opener& opener, Reactor& reactor,
                   Log& log)
    : sandbox_(std::move(sandbox)), limits_(limits), opener_(opener), reactor_(reactor), log_(log) {
  burial_ = reactor_.make_timer([this] { on_buried(); });
}

SideLink::~SideLink() = default;

void SideLink::open() {
  attempt_ = opener_.open(
      [this](Result<std::unique_ptr<Channel>> opened) { on_opened(std::move(opened)); });
}

void SideLink::on_opened(Result<std::unique_ptr<Channel>> opened) {
  attempt_.reset();
  if (!opened) return on_over(opened.error(), false);
  link_ = std::make_unique<Link>(0, *std::move(opened), limits_, *this, reactor_, log_);
  link_->start(first_chores());
}

void SideLink::close(const std::string& reason) {
  attempt_.reset();
  if (!link_ || link_->state() == LinkState::closed) return;
  link_->close(Error::make(sqlstate::admin_shutdown, reason));
}

void SideLink::log(LogLevel level, const std::string& message) {
  log_.write(level, "sandbox " + sandbox_ + ": " + message);
}

void SideLink::on_link_closed(Link&, const Error& reason, bool was_started) {
  on_over(reason, was_started);
  burial_->arm(reactor_.now());
}

void SideLink::on_buried() {
  link_.reset();
  if (const auto stopped = std::exchange(stopped_, nullptr)) stopped();
}

void SideLink::stop(std::function<void()> done) {
  stopped_ = std::move(done);
  close("shutting down");
  if (!link_ || link_->state() == LinkState::closed) burial_->arm(reactor_.now());
}

}  // namespace based::postgres
