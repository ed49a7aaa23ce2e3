// RefusedSession: what a client gets whose session cannot be made. Loop thread only.
#pragma once

#include <utility>

#include "backends/wire.h"

namespace based::postgres {

class RefusedSession final : public WireSession {
 public:
  RefusedSession(Error reason, WireClient& client) : reason_(std::move(reason)), client_(client) {}

  void start() override { client_.end(reason_); }
  void on_message(const WireMessage&) override {}
  void on_batch_end() override {}
  void cancel(std::string_view) override {}
  void on_drained() override {}
  bool at_rest() const override { return true; }
  void tell_when_at_rest() override {}

 private:
  Error reason_;
  WireClient& client_;
};

}  // namespace based::postgres
