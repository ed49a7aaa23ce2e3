// SandboxRoot::MarkTurn: who waits for a turn to make a mark. For the root's own files.
#pragma once

#include <string>
#include <utility>

#include "backends/postgres/sandbox_root.h"
#include "protocol/check.h"

namespace based::postgres {

// A mark's turn: as soon as it has the link it gives it back, and the cleaning makes the mark.
class SandboxRoot::MarkTurn final : public LeaseWaiter, public LinkHolder {
 public:
  MarkTurn(SandboxRoot& root, std::string name, Sandbox::Done done)
      : root_(root), name_(std::move(name)), done_(std::move(done)) {}

  void on_lease(Link& link) override {
    root_.marking_ = this;
    --root_.turns_;  // it is none of a session's
    --root_.turns_total_;
    link.release(Leaving::finished);
  }
  void on_lease_refused(const Error& reason) override { root_.finish_mark(*this, reason); }
  std::optional<TimePoint> rests_since() const override { return std::nullopt; }
  bool joins() const override { return false; }
  void on_lease_revoked(const Error&) override { INVARIANT(false); }  // it keeps none
  void on_link_lost(const Error&) override { INVARIANT(false); }
  void on_cancel_over() override {}
  LinkHolder& holder() override { return *this; }
  bool fits(const LinkSettings&) const override { return true; }
  std::string describe() const override { return "SANDBOX MARK " + name_; }
  std::uint64_t session_id() const override { return 0; }

  const std::string& name() const { return name_; }
  Sandbox::Done take_done() { return std::move(done_); }

 private:
  SandboxRoot& root_;
  std::string name_;
  Sandbox::Done done_;
};

}  // namespace based::postgres
