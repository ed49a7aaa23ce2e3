#include "daemon/peer_process.h"

#include <charconv>
#include <fstream>
#include <iterator>
#include <string_view>

namespace based {
namespace {

constexpr int field_of_start = 22;  // proc(5), /proc/PID/stat
constexpr int field_behind_name = 3;

}  // namespace

std::optional<PeerProcess> look_at_process(std::int32_t id) {
  if (id <= 0) return std::nullopt;
  std::ifstream file("/proc/" + std::to_string(id) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  // The name, in parentheses, may have anything in it, a parenthesis too.
  const std::size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos) return std::nullopt;
  std::string_view rest = std::string_view(text).substr(name_end + 2);
  for (int field = field_behind_name; field < field_of_start; ++field) {
    const std::size_t space = rest.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  PeerProcess process{.id = id};
  const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), process.started);
  if (read.ec != std::errc()) return std::nullopt;
  return process;
}

std::string sandbox_name(const PeerProcess& process) {
  return "pid-" + std::to_string(process.id) + "-" + std::to_string(process.started);
}

}  // namespace based
