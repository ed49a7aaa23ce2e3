#include "backends/postgres/statement_cache.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <utility>

namespace based::postgres {
namespace {

// Based's own control of transactions is prepared, too.
bool is_lasting(std::string_view text) {
  static constexpr std::array<std::string_view, 5> control{"SAVEPOINT ", "RELEASE ", "ROLLBACK",
                                                           "COMMIT", "BEGIN"};
  return std::ranges::any_of(control,
                             [text](std::string_view word) { return text.starts_with(word); });
}

}  // namespace

bool StatementCache::Key::operator==(const Key& other) const {
  return text == other.text && settings == other.settings && std::ranges::equal(types, other.types);
}

std::size_t StatementCache::KeyHash::operator()(const Key& key) const noexcept {
  std::size_t hash = std::hash<std::string_view>()(key.text);
  hash = hash * 31 + std::hash<std::string_view>()(key.settings);
  for (const std::uint32_t type : key.types) hash = hash * 31 + type;
  return hash;
}

StatementCache::Entry* StatementCache::find(std::string_view text,
                                            std::span<const std::uint32_t> types,
                                            std::string_view settings) {
  const auto found = index_.find(Key{text, types, settings});
  if (found == index_.end()) return nullptr;
  if (found->second->state == State::sent && found->second->made_in != group_) {
    closable_.push_back(found->second->name);
    erase(found->second);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  found->second->group = group_;
  ++reused_;
  return &*found->second;
}

StatementCache::Entry* StatementCache::find_current(std::string_view text,
                                                    std::span<const std::uint32_t> types,
                                                    std::string_view settings) {
  const auto found = index_.find(Key{text, types, settings});
  if (found == index_.end() || !found->second->outdated) return find(text, types, settings);
  closable_.push_back(found->second->name);
  erase(found->second);
  return nullptr;
}

const StatementCache::Entry* StatementCache::peek(std::string_view text,
                                                  std::span<const std::uint32_t> types,
                                                  std::string_view settings) const {
  const auto found = index_.find(Key{text, types, settings});
  return found == index_.end() ? nullptr : &*found->second;
}

const StatementCache::Entry* StatementCache::named(std::string_view name) const {
  const auto found = std::ranges::find(entries_, name, &Entry::name);
  return found == entries_.end() ? nullptr : &*found;
}

StatementCache::Entry* StatementCache::add(std::string_view text,
                                           std::span<const std::uint32_t> types,
                                           std::string_view settings) {
  if (const auto found = index_.find(Key{text, types, settings}); found != index_.end()) {
    closable_.push_back(found->second->name);
    erase(found->second);
  }
  if (full()) return nullptr;
  ++unconfirmed_;
  entries_.push_front({.text = std::string(text),
                       .types = {types.begin(), types.end()},
                       .settings = std::string(settings),
                       .name = "based_s" + std::to_string(++names_),
                       .state = State::sent,
                       .made_in = group_,
                       .group = group_,
                       .number = static_cast<std::uint32_t>(names_),
                       .lasting = is_lasting(text)});
  index_.emplace(key_of(entries_.front()), entries_.begin());
  return &entries_.front();
}

std::optional<std::string> StatementCache::evict() {
  if (entries_.empty() || entries_.back().group == group_) return std::nullopt;
  std::string name = entries_.back().name;
  erase(std::prev(entries_.end()));
  return name;
}

void StatementCache::described(std::string_view name, std::uint64_t columns) {
  const auto entry = std::ranges::find(entries_, name, &Entry::name);
  if (entry != entries_.end()) entry->columns = columns;
}

void StatementCache::parsed(std::string_view name) {
  for (Entry& entry : entries_) {
    if (entry.name == name) {
      entry.state = State::ready;
      return;
    }
  }
}

void StatementCache::forget_unconfirmed() {
  if (unconfirmed_ == 0) return;
  unconfirmed_ = 0;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->state == State::sent) {
      closable_.push_back(entry->name);
      erase(entry);
    }
    entry = next;
  }
}

bool StatementCache::forget(std::string_view name) {
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->name != name) continue;
    closable_.push_back(entry->name);
    erase(entry);
    return true;
  }
  return false;
}

bool StatementCache::forget_older(std::uint32_t number) {
  const auto entry = std::ranges::find(entries_, number, &Entry::number);
  if (entry == entries_.end() || entry->made_in == group_) return false;
  closable_.push_back(entry->name);
  erase(entry);
  return true;
}

void StatementCache::outdate_since(std::uint64_t prepared) {
  for (Entry& entry : entries_) {
    entry.outdated = entry.outdated || (entry.number > prepared && !entry.lasting);
  }
}

void StatementCache::outdate_naming(std::string_view name) {
  const auto lower = [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c); };
  const auto same = [lower](char a, char b) { return lower(a) == lower(b); };
  for (Entry& entry : entries_) {
    if (entry.outdated || entry.lasting) continue;
    const auto found =
        std::search(entry.text.begin(), entry.text.end(), name.begin(), name.end(), same);
    entry.outdated = found != entry.text.end();
  }
}

void StatementCache::forget_since(std::uint64_t prepared) {
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto at = entry++;
    if (at->number <= prepared || at->lasting) continue;
    closable_.push_back(at->name);
    erase(at);
  }
}

void StatementCache::forget_all(bool server_dropped_them) {
  if (server_dropped_them) closable_.clear();
  for (Entry& entry : entries_) {
    if (!server_dropped_them) closable_.push_back(std::move(entry.name));
  }
  index_.clear();
  entries_.clear();
}

std::vector<std::string> StatementCache::take_closable() { return std::exchange(closable_, {}); }

void StatementCache::erase(Place place) {
  index_.erase(key_of(*place));
  entries_.erase(place);
}

bool SeenTexts::seen(std::string_view text) {
  const std::size_t hash = std::hash<std::string_view>()(text) | 1;  // an empty slot is 0
  std::size_t& slot = slots_[(hash >> 1) % slots_.size()];
  return std::exchange(slot, hash) == hash;
}

}  // namespace based::postgres
