#include "daemon/peer_names.h"

#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <unordered_map>
#include <utility>
#include <vector>

namespace based {
namespace {

constexpr Duration remembered_for = std::chrono::minutes(1);
constexpr std::size_t remembered_max = 1024;
constexpr std::size_t entry_bytes = 4096, entry_bytes_max = std::size_t{1} << 20;

}  // namespace

struct PeerNames::State {
  struct Known {
    std::string name;
    TimePoint until;
  };
  std::unordered_map<std::uint32_t, Known> known;
  // Who waits for which; as many as there are clients at most.
  std::unordered_map<std::uint32_t, std::vector<std::function<void(const std::string&)>>> waiting;
  bool ended = false;
};

PeerNames::PeerNames(Reactor& reactor, Lookup lookup)
    : reactor_(reactor), lookup_(std::move(lookup)), state_(std::make_shared<State>()) {}

PeerNames::~PeerNames() { state_->ended = true; }

void PeerNames::find(std::uint32_t uid, std::function<void(const std::string& name)> then) {
  const auto known = state_->known.find(uid);
  if (known != state_->known.end() && reactor_.now() < known->second.until) {
    return then(std::string(known->second.name));
  }
  auto& waiting = state_->waiting[uid];
  waiting.push_back(std::move(then));
  if (waiting.size() > 1) return;
  const auto name = std::make_shared<std::string>();
  reactor_.run_off_loop([name, uid, lookup = lookup_] { *name = lookup(uid); },
                        [this, name, uid, state = state_] {
                          if (!state->ended) found(uid, *name);
                        });
}

void PeerNames::found(std::uint32_t uid, const std::string& name) {
  if (!name.empty()) {
    if (state_->known.size() >= remembered_max) state_->known.clear();
    state_->known[uid] = {.name = name, .until = reactor_.now() + remembered_for};
  }
  auto waiting = std::move(state_->waiting.extract(uid).mapped());
  for (const auto& then : waiting) then(name);
}

std::string PeerNames::system_user_name(std::uint32_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::string space(entry_bytes, '\0');
  int code = ERANGE;
  while (space.size() <= entry_bytes_max) {
    code = ::getpwuid_r(uid, &entry, space.data(), space.size(), &found);
    if (code != ERANGE) break;
    space.resize(space.size() * 2);
  }
  return code == 0 && found != nullptr ? found->pw_name : "";
}

}  // namespace based
