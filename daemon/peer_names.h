// PeerNames: what the users of the processes behind unix sockets are called.
//
// The system's database of users may be far away (LDAP, NIS), so it is asked on a helper thread:
// whoever has to wait for it waits alone. Names are remembered for a minute. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "backends/reactor.h"

namespace based {

class PeerNames {
 public:
  // On a helper thread, where it may block. Empty: there is no such user.
  using Lookup = std::function<std::string(std::uint32_t uid)>;

  explicit PeerNames(Reactor& reactor, Lookup lookup = system_user_name);
  // Nobody is told any more.
  ~PeerNames();
  PeerNames(const PeerNames&) = delete;
  PeerNames& operator=(const PeerNames&) = delete;

  // `then` is called with the name, or an empty one: at once where it is known, else from the loop.
  void find(std::uint32_t uid, std::function<void(const std::string& name)> then);

  static std::string system_user_name(std::uint32_t uid);

 private:
  struct State;
  void found(std::uint32_t uid, const std::string& name);

  Reactor& reactor_;
  const Lookup lookup_;
  std::shared_ptr<State> state_;  // a look-up that is under way ends without us
};

}  // namespace based
