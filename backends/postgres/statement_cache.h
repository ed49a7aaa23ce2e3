// StatementCache: the named server-side statements of one link. Pure.
//
// A statement is its text, the types its parameters were declared with, and the settings it was
// parsed under (a '2020-01-01'::timestamptz is fixed at Parse). Bounded: the least recently used
// goes, with a Close in front of the group that makes room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace based::postgres {

class StatementCache {
 public:
  enum class State : std::uint8_t { sent, ready };  // its Parse was sent; was answered
  struct Entry {
    std::string text;
    std::vector<std::uint32_t> types;
    std::string settings;
    std::string name;
    State state = State::sent;
    std::uint64_t made_in = 0;  // the group with its Parse: no other relies on it until it is ready
    std::uint64_t group = 0;    // the last group that used it: that group must not close it
    bool outdated = false;
    std::uint32_t number = 0;   // prepared() when it was made
    bool lasting = false;       // no table's or type's change can make another thing of it
    std::uint64_t columns = 0;  // a hash of those that it has; 0: not known
  };

  explicit StatementCache(std::size_t entries_max) : entries_max_(entries_max) {}

  // A new group is being written; what it uses is safe from eviction until the next call.
  void begin_group() { ++group_; }

  // nullptr: not prepared. One that an earlier group was to prepare and that is not answered yet
  // counts as such, as that group may be skipped; it is closed later.
  Entry* find(std::string_view text, std::span<const std::uint32_t> types,
              std::string_view settings);
  // The same for who prepares it anew: not one that is outdated, which goes.
  Entry* find_current(std::string_view text, std::span<const std::uint32_t> types,
                      std::string_view settings);
  // Whatever its state, and no use of it.
  const Entry* peek(std::string_view text, std::span<const std::uint32_t> types,
                    std::string_view settings) const;
  const Entry* named(std::string_view name) const;  // the same; of this name
  // Makes an entry whose Parse the caller sends next, in the place of one of the same key. nullptr
  // when there is no room (see evict).
  Entry* add(std::string_view text, std::span<const std::uint32_t> types,
             std::string_view settings);
  bool full() const { return entries_.size() >= entries_max_; }
  // Drops the least recently used entry that this group has not used and gives its name, which the
  // caller closes before anything else of the group.
  std::optional<std::string> evict();

  // The name of an evicted one, to be closed with the next group instead of this one.
  void close_later(std::string name) { closable_.push_back(std::move(name)); }

  // The server has described the statement of this name. An unknown name is ignored.
  void described(std::string_view name, std::uint64_t columns);
  // ParseComplete came for the statement of this name. An unknown name is ignored.
  void parsed(std::string_view name);
  // The group ended: what it sent and nobody confirmed is not relied on. It may be there.
  void forget_unconfirmed();
  // The server does not have it, or its plan cannot be used any more. Returns whether it was here.
  bool forget(std::string_view name);
  // The same of this number. False: there is none, or the group that is being written has made it.
  bool forget_older(std::uint32_t number);
  // All that were made when there were more than so many, but those that last: the same text may
  // mean others by now. They stay for who has prepared them, as the server would have it.
  void outdate_since(std::uint64_t prepared);
  // The same of those that have this name in their text, in whatever case.
  void outdate_naming(std::string_view name);
  // As outdate_since(), and they stay for nobody.
  void forget_since(std::uint64_t prepared);
  // The number of the one that was found or made last; 0: it has another name.
  std::uint32_t newest(std::string_view name) const {
    const bool found = !entries_.empty() && entries_.front().name == name;
    return found ? entries_.front().number : 0;
  }
  // Everything; the names are still to be closed (see take_closable) unless the server dropped
  // them.
  void forget_all(bool server_dropped_them);
  // Names that the server may still have and that nobody uses.
  std::vector<std::string> take_closable();

  std::size_t size() const { return entries_.size(); }
  // So far: entries made, and uses of one that was there.
  std::uint64_t prepared() const { return names_; }
  std::uint64_t reused() const { return reused_; }
  std::size_t entries_max() const { return entries_max_; }

 private:
  using Place = std::list<Entry>::iterator;
  struct Key {
    std::string_view text;
    std::span<const std::uint32_t> types;
    std::string_view settings;
    bool operator==(const Key& other) const;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  static Key key_of(const Entry& entry) { return {entry.text, entry.types, entry.settings}; }
  void erase(Place place);

  std::size_t entries_max_;
  std::uint64_t group_ = 0;
  std::uint64_t names_ = 0;
  std::uint64_t reused_ = 0;
  std::size_t unconfirmed_ = 0;  // at least as many as are `sent`
  std::list<Entry> entries_;  // newest used first; nodes do not move, so keys may view their texts
  std::unordered_map<Key, Place, KeyHash> index_;
  std::vector<std::string> closable_;
};

// SeenTexts: has a text been run before? Of a database, so that a text is prepared from its second
// execution on, whichever link ran the first. A fixed table of hashes: a collision, or an entry
// that was overwritten, only moves the moment.
class SeenTexts {
 public:
  SeenTexts() : slots_(4096) {}
  // Remembers it, and answers whether it was remembered.
  bool seen(std::string_view text);

 private:
  std::vector<std::size_t> slots_;
};

}  // namespace based::postgres
