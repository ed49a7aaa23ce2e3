// Status: what the daemon says of itself, in one neutral tree.
//
// Server::status() makes it; the native STATUS reply, SIGUSR1's log lines and later the console are
// renderings of it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "backends/status.h"

namespace based {

// A tree of named values. Maps keep the order in which they were filled.
class StatusTree {
 public:
  using List = std::vector<StatusTree>;
  using Map = std::vector<std::pair<std::string, StatusTree>>;

  StatusTree(std::int64_t number) : node_(number) {}
  StatusTree(bool flag) : node_(flag) {}
  StatusTree(std::string text) : node_(std::move(text)) {}
  StatusTree(const char* text) : node_(std::string(text)) {}
  StatusTree(List list) : node_(std::move(list)) {}
  StatusTree(Map map) : node_(std::move(map)) {}
  static StatusTree number(std::uint64_t value) {
    return StatusTree(static_cast<std::int64_t>(value));
  }

  const std::variant<std::int64_t, bool, std::string, List, Map>& node() const { return node_; }

 private:
  std::variant<std::int64_t, bool, std::string, List, Map> node_;
};

// One level of a session's transaction stack, the outermost first.
struct LevelStatus {
  std::string name;   // the client's name for it; may be empty
  std::string state;  // "pending", "open", "failed"
  std::uint64_t age_ms = 0;
};

struct SessionStatus {
  std::uint64_t id = 0;
  std::string client;    // address
  std::string label;     // the client's name for the session
  std::string database;  // name
  std::string state;     // "idle", "running", "waiting", ...
  std::string transaction;
  std::uint64_t waiting_requests = 0;
  std::vector<LevelStatus> levels;
};

// What a front end knows: filled by it, completed by the server.
struct FrontEndStatus {
  std::uint64_t connections = 0;
  std::uint64_t connections_total = 0;
  std::uint64_t requests_total = 0;
  std::uint64_t errors_total = 0;
  std::uint64_t cancels_total = 0;
  std::vector<SessionStatus> sessions;
};

StatusTree describe(const DatabaseStatus& database);
StatusTree describe(const FrontEndStatus& front_end);

// One line a leaf list: "databases.app.pools.0: user=alice pool_min=0 ...", for the log.
std::vector<std::string> render_lines(const StatusTree& tree);

}  // namespace based
