#include "daemon/status.h"

#include <type_traits>

namespace based {
namespace {

using Map = StatusTree::Map;
using List = StatusTree::List;

StatusTree describe(const PoolStatus& pool) {
  const auto n = StatusTree::number;
  return Map{
      {"user", pool.user},
      {"pool_min", n(pool.pool_min)},
      {"pool_max", n(pool.pool_max)},
      {"pool_size", n(pool.pool_size)},
      {"pool_available", n(pool.pool_available)},
      {"leased", n(pool.leased)},
      {"opening", n(pool.opening)},
      {"cleaning", n(pool.cleaning)},
      {"pinned", n(pool.pinned)},
      {"requests_waiting", n(pool.requests_waiting)},
      {"requests_num", n(pool.requests_num)},
      {"requests_queued", n(pool.requests_queued)},
      {"requests_wait_ms", n(pool.requests_wait_ms)},
      {"requests_errors", n(pool.requests_errors)},
      {"usage_ms", n(pool.usage_ms)},
      {"returns_bad", n(pool.returns_bad)},
      {"connections_num", n(pool.connections_num)},
      {"connections_ms", n(pool.connections_ms)},
      {"connections_errors", n(pool.connections_errors)},
      {"connections_lost", n(pool.connections_lost)},
      {"statements_prepared", n(pool.statements_prepared)},
      {"statements_reused", n(pool.statements_reused)},
      {"listener", pool.listener},
      {"channels", n(pool.channels)},
      {"subscriptions", n(pool.subscriptions)},
      {"notifications_delivered", n(pool.notifications_delivered)},
      {"notifications_dropped", n(pool.notifications_dropped)},
      {"pin_reasons", List(pool.pin_reasons.begin(), pool.pin_reasons.end())},
  };
}

StatusTree describe(const LaneStatus& lane) {
  const auto n = StatusTree::number;
  return Map{
      {"path", lane.path},
      {"state", lane.state},
      {"holder", n(lane.holder)},
      {"waiting", n(lane.waiting)},
      {"units", n(lane.units)},
      {"errors", n(lane.errors)},
      {"cancelled", n(lane.cancelled)},
      {"leases_expired", n(lane.leases_expired)},
      {"statements_cached", n(lane.statements_cached)},
  };
}

StatusTree describe(const SandboxStatus& sandbox) {
  const auto n = StatusTree::number;
  return Map{
      {"name", sandbox.name},
      {"state", sandbox.state},
      {"holder", n(sandbox.holder)},
      {"waiting", n(sandbox.waiting)},
      {"transactions", n(sandbox.transactions)},
      {"units", n(sandbox.units)},
      {"epoch", n(sandbox.epoch)},
      {"resets", n(sandbox.resets)},
      {"kind", sandbox.kind},
      {"age_ms", n(sandbox.age_ms)},
      {"xid", sandbox.xid},
      {"locks", n(sandbox.locks)},
      {"sequences", sandbox.sequences},
      {"joins_lost", n(sandbox.joins_lost)},
      {"subtransactions", n(sandbox.subtransactions)},
      {"exclusive_locks", n(sandbox.exclusive_locks)},
      {"locked_tables", sandbox.locked_tables},
      {"user", sandbox.user},
  };
}

StatusTree describe(const LevelStatus& level) {
  return Map{
      {"name", level.name},
      {"state", level.state},
      {"age_ms", StatusTree::number(level.age_ms)},
  };
}

StatusTree describe(const SessionStatus& session);

template <typename T>
StatusTree describe_all(const std::vector<T>& items) {
  List list;
  list.reserve(items.size());
  for (const T& item : items) list.push_back(describe(item));
  return list;
}

StatusTree describe(const SessionStatus& session) {
  return Map{
      {"id", StatusTree::number(session.id)},
      {"client", session.client},
      {"label", session.label},
      {"database", session.database},
      {"state", session.state},
      {"transaction", session.transaction},
      {"waiting_requests", StatusTree::number(session.waiting_requests)},
      {"levels", describe_all(session.levels)},
  };
}

std::string render_leaf(const StatusTree& tree) {
  return std::visit(
      [](const auto& value) -> std::string {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::int64_t>) return std::to_string(value);
        if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
        if constexpr (std::is_same_v<T, std::string>) {
          return value.empty() || value.find(' ') != std::string::npos ? '"' + value + '"' : value;
        }
        return "";
      },
      tree.node());
}

// Leaves of a map make one line; each map or list below it makes its own.
void render(const std::string& path, const StatusTree& tree, std::vector<std::string>& lines) {
  if (const auto* list = std::get_if<List>(&tree.node())) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      render(path + '.' + std::to_string(i), (*list)[i], lines);
    }
    return;
  }
  const auto* map = std::get_if<Map>(&tree.node());
  if (map == nullptr) {
    lines.push_back(path + ": " + render_leaf(tree));
    return;
  }
  std::string line;
  for (const auto& [key, value] : *map) {
    if (std::holds_alternative<List>(value.node()) || std::holds_alternative<Map>(value.node())) {
      continue;
    }
    line += (line.empty() ? "" : " ") + key + '=' + render_leaf(value);
  }
  if (!line.empty()) lines.push_back(path + ": " + line);
  for (const auto& [key, value] : *map) {
    if (std::holds_alternative<List>(value.node()) || std::holds_alternative<Map>(value.node())) {
      render(path + '.' + key, value, lines);
    }
  }
}

}  // namespace

StatusTree describe(const DatabaseStatus& database) {
  return Map{
      {"name", database.name},
      {"backend", database.backend},
      {"force_rollback", database.force_rollback},
      {"pools", describe_all(database.pools)},
      {"lanes", describe_all(database.lanes)},
      {"sandboxes", describe_all(database.sandboxes)},
  };
}

StatusTree describe(const FrontEndStatus& front_end) {
  const auto n = StatusTree::number;
  return Map{
      {"connections", n(front_end.connections)},
      {"connections_total", n(front_end.connections_total)},
      {"requests_total", n(front_end.requests_total)},
      {"errors_total", n(front_end.errors_total)},
      {"cancels_total", n(front_end.cancels_total)},
      {"sessions", describe_all(front_end.sessions)},
  };
}

std::vector<std::string> render_lines(const StatusTree& tree) {
  std::vector<std::string> lines;
  render("status", tree, lines);
  return lines;
}

}  // namespace based
