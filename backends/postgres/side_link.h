// SideLink: a link beside a sandbox's root, for what no session waits for. It is opened when there
// is something to do, and closed behind it. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/log.h"
#include "backends/postgres/channel.h"
#include "backends/postgres/link.h"
#include "backends/reactor.h"

namespace based::postgres {

class SideLink : public LinkHost {
 public:
  ~SideLink() override;

  // Breaks off what is under way; `done` comes from the loop when no link is left.
  void stop(std::function<void()> done);

 protected:
  // `opener` outlives this.
  SideLink(std::string sandbox, LinkLimits limits, Opener& opener, Reactor& reactor, Log& log);

  bool is_stopped() const { return stopped_ != nullptr; }
  bool is_opening() const { return attempt_ != nullptr; }
  // Nothing while there is none, until on_link_idle.
  Link* current_link() { return link_.get(); }
  LinkHolder& holder() { return holder_; }
  void open();
  // Closes the link, or ends the attempt to open one, if there is either.
  void close(const std::string& reason);
  void log(LogLevel level, const std::string& message);
  Reactor& reactor() { return reactor_; }

  // What a new link begins with.
  virtual std::vector<Chore> first_chores() { return {}; }
  // There is no link any more, or none could be opened.
  virtual void on_over(const Error& reason, bool was_started) = 0;

 private:
  struct Holder final : LinkHolder {
    void on_link_lost(const Error&) override {}
    void on_cancel_over() override {}
  };

  void on_opened(Result<std::unique_ptr<Channel>> opened);
  void on_link_closed(Link& link, const Error& reason, bool was_started) final;
  std::vector<Chore> cleaning_chores(Link&) final { return {}; }
  char rest_status() const final { return 'I'; }
  void on_buried();

  std::string sandbox_;
  LinkLimits limits_;
  Opener& opener_;
  Reactor& reactor_;
  Log& log_;
  std::unique_ptr<OpenAttempt> attempt_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<Reactor::Timer> burial_;
  Holder holder_;
  std::function<void()> stopped_;
};

}  // namespace based::postgres
