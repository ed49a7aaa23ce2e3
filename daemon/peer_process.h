// PeerProcess: the process at the other end of a unix socket, told from every other there ever was.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace based {

struct PeerProcess {
  std::int32_t id = 0;
  std::uint64_t started = 0;  // in the kernel's ticks since its start: an id is used again

  friend bool operator==(const PeerProcess&, const PeerProcess&) = default;
};

// nullopt: there is no such process, or it cannot be seen from here (another pid namespace). Reads
// /proc, which does not wait for a disk. Any thread.
std::optional<PeerProcess> look_at_process(std::int32_t id);
inline bool is_running(const PeerProcess& process) {
  return look_at_process(process.id) == process;
}
// "pid-4711-88123", a sandbox's name.
std::string sandbox_name(const PeerProcess& process);

}  // namespace based
