// NamedSandboxes: the sandboxes that clients have named: "app#worker3" is one of database app, with
// a root of its own, made when the first client names it. Loop thread.
//
// One that nobody uses is closed after a time, and what was done in it is gone; one of a process
// that has ended (PeerProcess) at the next look. There is a limit to how many there are.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/log.h"
#include "backends/reactor.h"
#include "daemon/database_entry.h"
#include "daemon/peer_process.h"

namespace based {

struct SandboxLimits {
  std::size_t count_max = 64;
  Duration idle_max{};      // then one that nobody uses is closed. Zero: never
  bool by_process = false;  // a client on a unix socket that names none has its process's
};

class NamedSandboxes {
 public:
  // Both outlive it.
  NamedSandboxes(const SandboxLimits& limits, Reactor& reactor, Log& log);

  // The two halves of "app#worker3"; nullopt where there is no '#'. The last one counts.
  struct Name {
    std::string_view database;
    std::string_view sandbox;
  };
  static std::optional<Name> split(std::string_view name);

  // Makes it where there is none of that name. 3D000: the base has no sandboxes. 22023: what is
  // behind the '#' is not 1 to 63 letters, digits, '_', '-' and '.'. 53300: there are too many.
  // REQUIRES that the name can be split, and base is the entry of its first half.
  Result<const DatabaseEntry*> find(std::string_view name, const DatabaseEntry& base,
                                    const std::optional<PeerProcess>& process);
  // nullptr: there is none.
  const DatabaseEntry* look_up(std::string_view name) const;
  // Those of one database, by name.
  std::vector<const DatabaseEntry*> of(std::string_view database) const;
  std::vector<const DatabaseEntry*> all() const;
  const SandboxLimits& limits() const { return limits_; }

  // None is made or closed any more.
  void end();

 private:
  struct Made {
    DatabaseEntry entry;
    std::optional<PeerProcess> process;
    TimePoint unused_since;  // max: it was used when last looked at
  };
  using MadeMap = std::map<std::string, Made, std::less<>>;

  bool is_over(const Made& made) const;
  bool make_room();
  MadeMap::iterator close(MadeMap::iterator made, std::string_view why);
  void sweep();
  void bury();

  const SandboxLimits limits_;
  Reactor& reactor_;
  Log& log_;
  MadeMap made_;
  // Being shut down; then freed from the loop.
  struct Closing {
    DatabaseEntry entry;
    bool closed = false;
  };
  std::list<Closing> closing_;
  std::unique_ptr<Reactor::Timer> sweep_timer_, burial_;
};

}  // namespace based
