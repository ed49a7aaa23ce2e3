#include "backends/postgres/sandbox_watch.h"

#include <charconv>
#include <utility>

namespace based::postgres {

SandboxWatch::SandboxWatch(std::string sandbox, LinkLimits limits, Opener& opener, Reactor& reactor,
                           Log& log, Told told)
    : SideLink(std::move(sandbox), limits, opener, reactor, log), told_(std::move(told)) {}

SandboxWatch::~SandboxWatch() = default;

void SandboxWatch::ask(std::int32_t process) {
  if (is_stopped() || is_opening() || process_ != 0) return;
  process_ = process;
  if (!current_link()) {
    open();
  } else if (current_link()->state() == LinkState::idle) {
    on_link_idle(*current_link());
  }
}

void SandboxWatch::on_link_idle(Link& link) {
  if (process_ == 0 || !link.lease(holder())) return;
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
                        current_link()->release(Leaving::finished);
                        if (!error) told_(found_);
                      },
                  .of_holder = true,
                  .may_fail = true});
}

void SandboxWatch::rest() {
  process_ = 0;
  close("nothing is to be asked");
}

void SandboxWatch::on_over(const Error& reason, bool was_started) {
  // Neither after rest() nor after stop() is it missed.
  if (std::exchange(process_, 0) != 0 && !was_started && !is_stopped()) {
    log(LogLevel::warning, "it cannot be asked who blocks it: " + reason.message);
  }
}

}  // namespace based::postgres
