#include "daemon/database_directory.h"

#include <algorithm>

namespace based {
namespace {

constexpr std::size_t name_bytes_max = 63;  // PostgreSQL's
constexpr Duration sweep_longest = std::chrono::seconds(30);
constexpr Duration sweep_shortest = std::chrono::milliseconds(100);

Error unknown(std::string_view name) {
  return Error::make(sqlstate::invalid_catalog_name,
                     "database \"" + std::string(name) + "\" does not exist");
}

bool may_be_forgotten(const DatabaseDirectory::Entry& entry) {
  return entry.uses == 0 && !entry.database->force_rollback();
}

}  // namespace

void DatabaseDirectory::set_catch_all(CatchAll catch_all, Reactor& reactor, Log& log) {
  catch_all_ = std::move(catch_all);
  reactor_ = &reactor;
  log_ = &log;
  if (catch_all_.unused_max > Duration::zero())
    sweep_timer_ = reactor.make_timer([this] { sweep(); });
}

void DatabaseDirectory::set_sandboxes(const SandboxLimits& limits, Reactor& reactor, Log& log) {
  sandboxes_.emplace(limits, reactor, log);
}

// Without making anything.
const DatabaseDirectory::Entry* DatabaseDirectory::look_up(std::string_view name) const {
  for (const Entry& entry : entries_) {
    if (entry.database->name() == name) return &entry;
  }
  const auto made = made_.find(name);
  return made == made_.end() ? nullptr : &made->second.entry;
}

Result<const DatabaseDirectory::Entry*> DatabaseDirectory::find(
    std::string_view name, std::optional<std::int32_t> peer_pid) {
  if (owner_of(name) != name) {
    const Result<const Entry*> base = find_database(owner_of(name));
    if (!base) return base.error();
    return sandboxes_->find(name, **base, {});
  }
  const Result<const Entry*> found = find_database(name);
  const bool by_process = sandboxes_ && sandboxes_->limits().by_process && peer_pid;
  if (!found || !by_process || !(*found)->make_sandbox) return found;
  const std::optional<PeerProcess> process = look_at_process(*peer_pid);
  if (!process) return found;  // it is in another pid namespace, or gone
  return sandboxes_->find((*found)->database->name() + "#" + sandbox_name(*process), **found,
                          process);
}

std::string_view DatabaseDirectory::owner_of(std::string_view name) const {
  const auto split = NamedSandboxes::split(name);
  if (!sandboxes_ || !split || look_up(name) != nullptr) return name;
  const Entry* base = look_up(split->database);
  const bool catches = reactor_ != nullptr && catch_all_.sandboxes;
  // A catch-all without sandboxes takes the name as the server's own.
  if (base == nullptr ? !catches : !base->make_sandbox && reactor_ != nullptr) return name;
  return split->database;
}

std::vector<SandboxStatus> DatabaseDirectory::sandboxes_of(std::string_view database) const {
  std::vector<SandboxStatus> all;
  const auto add_of = [&all](const Entry& entry) {
    Sandbox* sandbox = entry.database->sandbox();
    if (sandbox != nullptr) all.push_back(sandbox->status());
  };
  if (const Entry* entry = look_up(database)) add_of(*entry);
  if (!sandboxes_) return all;
  for (const Entry* entry : sandboxes_->of(database)) add_of(*entry);
  return all;
}

Result<const DatabaseDirectory::Entry*> DatabaseDirectory::find_database(std::string_view name) {
  if (name.empty() && !entries_.empty()) return &entries_.front();
  if (const Entry* entry = look_up(name)) return entry;
  const bool nameable =
      !name.empty() && name.size() <= name_bytes_max && name.find('\0') == std::string_view::npos;
  if (reactor_ == nullptr || !nameable) return unknown(name);
  return make(name);
}

Result<const DatabaseDirectory::Entry*> DatabaseDirectory::make(std::string_view name) {
  if (made_.size() >= catch_all_.databases_max && !make_room()) {
    return Error::make(sqlstate::too_many_connections,
                       "too many different databases are in use: " + std::to_string(made_.size()))
        .with_hint("The setting max_catch_all is their limit.")
        .as_retryable();
  }
  Result<Entry> entry = catch_all_.make(std::string(name));
  if (!entry) return std::move(entry).error();
  log_->write(LogLevel::info, "database " + std::string(name) + ": made by the catch-all");
  if (made_.empty()) sweep();
  const auto made =
      made_.emplace(name, Made{.entry = *std::move(entry), .unused_since = reactor_->now()}).first;
  return &made->second.entry;
}

void DatabaseDirectory::note_uses() {
  for (auto& [name, made] : made_) {
    if (!may_be_forgotten(made.entry)) {
      made.unused_since = TimePoint::max();
    } else if (made.unused_since == TimePoint::max()) {
      made.unused_since = reactor_->now();
    }
  }
}

// Forgets the one that is unused for the longest time. False: all of them are used.
bool DatabaseDirectory::make_room() {
  note_uses();
  const auto oldest = std::ranges::min_element(
      made_, {}, [](const auto& made) { return made.second.unused_since; });
  if (oldest == made_.end() || oldest->second.unused_since == TimePoint::max()) return false;
  forget(oldest, "its place is wanted");
  return true;
}

DatabaseDirectory::MadeMap::iterator DatabaseDirectory::forget(MadeMap::iterator made,
                                                               std::string_view why) {
  log_->write(LogLevel::info, "database " + made->first + ": forgotten, " + std::string(why));
  return made_.erase(made);
}

void DatabaseDirectory::sweep() {
  if (sweep_timer_ == nullptr) return;
  note_uses();
  for (auto made = made_.begin(); made != made_.end();) {
    const TimePoint since = made->second.unused_since;
    const bool over = since != TimePoint::max() && reactor_->now() - since >= catch_all_.unused_max;
    made = over ? forget(made, "nobody has used it for long") : std::next(made);
  }
  sweep_timer_->arm(reactor_->now() +
                    std::clamp(catch_all_.unused_max / 4, sweep_shortest, sweep_longest));
}

std::vector<const DatabaseDirectory::Entry*> DatabaseDirectory::present() const {
  std::vector<const Entry*> all;
  for (const Entry& entry : entries_) all.push_back(&entry);
  for (const auto& [name, made] : made_) all.push_back(&made.entry);
  if (!sandboxes_) return all;
  for (const Entry* entry : sandboxes_->all()) all.push_back(entry);
  return all;
}

void DatabaseDirectory::end() {
  sweep_timer_.reset();
  reactor_ = nullptr;
  if (sandboxes_) sandboxes_->end();
}

void DatabaseDirectory::clear() {
  end();
  sandboxes_.reset();
  made_.clear();
  entries_.clear();
}

}  // namespace based
