// SandboxChannels: who listens to what in a sandbox, whose transaction never commits, so that the
// server delivers nothing. Nothing enters it from outside, and nothing leaves it. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/postgres/listener.h"
#include "protocol/result.h"

namespace based::postgres {

class SandboxChannels {
 public:
  // Of all subscribers together.
  static constexpr std::size_t subscriptions_max = 10'000;

  // Effective at once. 53400: too many.
  std::optional<Error> subscribe(Subscriber& subscriber, const std::string& channel);
  void unsubscribe(Subscriber& subscriber, std::string_view channel);
  // Also what a subscriber does that goes.
  void unsubscribe_all(Subscriber& subscriber);
  // Tells each subscriber of the channel, inside the call.
  void publish(std::uint32_t process, std::string_view channel, std::string_view payload) const;

 private:
  std::map<std::string, std::vector<Subscriber*>, std::less<>> channels_;
  std::size_t subscriptions_ = 0;
};

}  // namespace based::postgres
