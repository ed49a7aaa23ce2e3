#include "daemon/named_sandboxes.h"

#include <algorithm>
#include <utility>

namespace based {
namespace {

constexpr std::size_t name_bytes_max = 63;
constexpr Duration sweep_longest = std::chrono::seconds(10);
constexpr Duration sweep_shortest = std::chrono::milliseconds(100);

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= name_bytes_max && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

}  // namespace

NamedSandboxes::NamedSandboxes(const SandboxLimits& limits, Reactor& reactor, Log& log)
    : limits_(limits), reactor_(reactor), log_(log) {
  sweep_timer_ = reactor.make_timer([this] { sweep(); });
  burial_ = reactor.make_timer([this] { bury(); });
}

std::optional<NamedSandboxes::Name> NamedSandboxes::split(std::string_view name) {
  const std::size_t at = name.rfind('#');
  if (at == std::string_view::npos) return std::nullopt;
  return Name{.database = name.substr(0, at), .sandbox = name.substr(at + 1)};
}

Result<const DatabaseEntry*> NamedSandboxes::find(std::string_view name, const DatabaseEntry& base,
                                                  const std::optional<PeerProcess>& process) {
  const auto found = made_.find(name);
  if (found != made_.end()) return &found->second.entry;
  const std::string text(name);
  if (!base.make_sandbox) {
    return Error::make(sqlstate::invalid_catalog_name,
                       "database \"" + base.database->name() + "\" has no sandboxes")
        .with_hint("It has with force_rollback = true, or with sandboxes = true.");
  }
  if (!is_name(split(name)->sandbox)) {
    return Error::make(sqlstate::invalid_parameter_value, "bad name of a sandbox: \"" + text + "\"")
        .with_hint("Behind the # are 1 to 63 letters, digits, '_', '-' and '.'.");
  }
  if (made_.size() >= limits_.count_max && !make_room()) {
    return Error::make(sqlstate::too_many_connections,
                       "there are too many sandboxes: " + std::to_string(made_.size()))
        .with_hint("The setting max_sandboxes is their limit; SANDBOX DROP gives one's place up.")
        .as_retryable();
  }
  Result<DatabaseEntry> entry = base.make_sandbox(text);
  if (!entry) return std::move(entry).error();
  log_.write(LogLevel::info, "sandbox " + text + ": made");
  if (made_.empty()) sweep_timer_->arm(reactor_.now() + sweep_shortest);
  const auto made = made_.emplace(
      text, Made{.entry = *std::move(entry), .process = process, .unused_since = reactor_.now()});
  return &made.first->second.entry;
}

const DatabaseEntry* NamedSandboxes::look_up(std::string_view name) const {
  const auto found = made_.find(name);
  return found == made_.end() ? nullptr : &found->second.entry;
}

std::vector<const DatabaseEntry*> NamedSandboxes::of(std::string_view database) const {
  std::vector<const DatabaseEntry*> all;
  for (const auto& [name, made] : made_) {
    if (split(name)->database == database) all.push_back(&made.entry);
  }
  return all;
}

std::vector<const DatabaseEntry*> NamedSandboxes::all() const {
  std::vector<const DatabaseEntry*> all;
  for (const auto& [name, made] : made_) all.push_back(&made.entry);
  return all;
}

void NamedSandboxes::end() {
  sweep_timer_.reset();
  burial_.reset();
}

bool NamedSandboxes::is_over(const Made& made) const {
  if (made.entry.uses > 0) return false;
  if (made.process && !is_running(*made.process)) return true;
  return limits_.idle_max > Duration::zero() && made.unused_since != TimePoint::max() &&
         reactor_.now() - made.unused_since >= limits_.idle_max;
}

// Closes one that holds nothing, or whose process is gone.
bool NamedSandboxes::make_room() {
  const auto found = std::ranges::find_if(made_, [this](const auto& made) {
    const DatabaseEntry& entry = made.second.entry;
    return entry.uses == 0 && (entry.database->is_idle() || is_over(made.second));
  });
  if (found == made_.end()) return false;
  close(found, "its place is wanted");
  return true;
}

NamedSandboxes::MadeMap::iterator NamedSandboxes::close(MadeMap::iterator made,
                                                        std::string_view why) {
  log_.write(LogLevel::info, "sandbox " + made->first + ": closed, " + std::string(why));
  closing_.push_back({.entry = std::move(made->second.entry)});
  Closing& closing = closing_.back();
  closing.entry.database->shut_down(
      [this, &closing, name = made->first](const std::vector<std::string>& report) {
        for (const std::string& line : report) log_.write(LogLevel::info, line);
        closing.closed = true;
        if (burial_) burial_->arm(reactor_.now());
      });
  return made_.erase(made);
}

void NamedSandboxes::bury() {
  std::erase_if(closing_, [](const Closing& closing) { return closing.closed; });
}

void NamedSandboxes::sweep() {
  for (auto made = made_.begin(); made != made_.end();) {
    Made& one = made->second;
    if (one.entry.uses > 0) {
      one.unused_since = TimePoint::max();
    } else if (one.unused_since == TimePoint::max()) {
      one.unused_since = reactor_.now();
    }
    made = is_over(one) ? close(made, "nobody uses it") : std::next(made);
  }
  if (made_.empty()) return;
  const Duration often =
      limits_.idle_max > Duration::zero() ? limits_.idle_max / 4 : Duration(sweep_longest);
  sweep_timer_->arm(reactor_.now() + std::clamp(often, sweep_shortest, sweep_longest));
}

}  // namespace based
