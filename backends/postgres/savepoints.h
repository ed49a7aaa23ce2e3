// Savepoints: a client's savepoints of one transaction, the newest last, each with a state that
// going back to it brings back. Pure.
//
// Those that follow one another with the same name and state are one entry that is there several
// times: pgjdbc's autosave makes one before each statement, all of one name, and releases none.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace based::postgres {

template <typename State>
class Savepoints {
 public:
  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }  // in entries
  // REQUIRES that there is one.
  const State& oldest() const { return entries_.front().state; }
  const State& newest() const { return entries_.back().state; }

  void add(std::string_view name, State state) {
    if (!empty() && entries_.back().name == name && newest() == state) {
      ++entries_.back().times;
    } else {
      entries_.push_back({std::string(name), std::move(state)});
    }
  }
  // Of the newest of this name; null: there is none.
  const State* find(std::string_view name) const {
    const auto found = std::find_if(entries_.rbegin(), entries_.rend(),
                                    [name](const Entry& entry) { return entry.name == name; });
    return found == entries_.rend() ? nullptr : &found->state;
  }
  // What is newer than that one goes. No effect where there is none.
  void go_back_to(std::string_view name) {
    if (find(name) == nullptr) return;
    while (entries_.back().name != name) entries_.pop_back();
  }
  // And so does it.
  void release(std::string_view name) {
    if (find(name) == nullptr) return;
    go_back_to(name);
    if (--entries_.back().times == 0) entries_.pop_back();
  }
  void clear() { entries_.clear(); }

 private:
  struct Entry {
    std::string name;
    State state;
    std::size_t times = 1;
  };

  std::vector<Entry> entries_;
};

}  // namespace based::postgres
