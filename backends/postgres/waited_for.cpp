#include "backends/postgres/waited_for.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace based::postgres {
namespace {

constexpr std::string_view digits = "0123456789";

// The server says it in its own language, a line for each wait: "Process 4711 waits for ShareLock
// on transaction 742; blocked by process 4712."
std::set<std::int32_t> processes_of_deadlock(std::string_view detail) {
  std::set<std::int32_t> processes;
  const auto add = [&processes](std::string_view text) {
    std::int32_t process = 0;
    std::from_chars(text.data(), text.data() + text.size(), process);
    processes.insert(process);
  };
  detail = detail.substr(0, detail.find("\nCONTEXT: "));  // a native error's
  while (!detail.empty()) {
    const std::string_view line = detail.substr(0, detail.find('\n'));
    detail.remove_prefix(std::min(line.size() + 1, detail.size()));
    const std::size_t first = line.find_first_of(digits);
    if (first == line.npos) continue;
    add(line.substr(first));
    const std::size_t last = line.find_last_of(digits);
    add(line.substr(line.find_last_not_of(digits, last) + 1));
  }
  return processes;
}

}  // namespace

std::string named(const SandboxStatus& sandbox) {
  std::string name = "sandbox \"" + sandbox.name + "\"";
  if (sandbox.holder == 0) return name;
  return name + " (session " + std::to_string(sandbox.holder) + " has its turn)";
}

std::string waited_for(std::string_view sqlstate, std::string_view detail,
                       const LeaseSource& leases, const Siblings& siblings) {
  if (sqlstate == "55P03") {
    const std::string_view blocker = leases.blocker();
    return blocker.empty() ? std::string() : "It waited for " + std::string(blocker) + ".";
  }
  std::string names;
  if (sqlstate != "40P01" || !siblings) return names;
  const std::set<std::int32_t> processes = processes_of_deadlock(detail);
  for (const SandboxStatus& sandbox : siblings()) {
    if (sandbox.process == 0 || !processes.contains(sandbox.process)) continue;
    names += names.empty() ? "Process " : ", process ";
    names += std::to_string(sandbox.process) + " is " + named(sandbox);
  }
  return names.empty() ? names : names + ".";
}

}  // namespace based::postgres
