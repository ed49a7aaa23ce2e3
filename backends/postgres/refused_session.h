// RefusedSession, RefusedUnits: what a client gets whose session cannot be made. Loop thread only.
#pragma once

#include <memory>
#include <utility>

#include "backends/database.h"
#include "backends/wire.h"

namespace based::postgres {

class RefusedSession final : public WireSession {
 public:
  RefusedSession(Error reason, WireClient& client) : reason_(std::move(reason)), client_(client) {}

  void start() override { client_.end(reason_); }
  void on_message(const WireMessage&) override {}
  void on_batch_end() override {}
  void cancel(std::string_view, std::shared_ptr<const void>) override {}
  void on_drained() override {}
  bool at_rest() const override { return true; }
  bool in_transaction() const override { return false; }
  void tell_when_at_rest() override {}

 private:
  Error reason_;
  WireClient& client_;
};

// The same for the native protocol: each unit ends with the reason.
class RefusedUnits final : public BackendSession {
 public:
  RefusedUnits(Error reason, Reactor& reactor)
      : reason_(std::move(reason)), reactor_(reactor), soon_(reactor.make_timer([this] {
          Sink* sink = std::exchange(sink_, nullptr);
          UnitOutcome outcome{.error = reason_, .phase = UnitPhase::queue};
          outcome.error->executed = Executed::no;
          sink->on_done(std::move(outcome));
        })) {}

  void submit(Unit unit) override {
    sink_ = unit.sink;
    soon_->arm(reactor_.now());
  }
  void cancel(std::string_view) override {}
  void resume() override {}

 private:
  const Error reason_;
  Reactor& reactor_;
  Sink* sink_ = nullptr;
  std::unique_ptr<Reactor::Timer> soon_;
};

}  // namespace based::postgres
