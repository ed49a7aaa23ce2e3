// WaitGraph: who waits for whom over all databases of a daemon, and who waits in vain.
//
// A client with several sessions can wait for itself, or in a ring with others: it rests in a
// transaction that holds one lane, root or pool while it waits for another that is held in turn.
// Resting means that the client must act; a client whose every request waits is taken not to act.
// An owner can go on if one of its units works, if it waits for nothing, or if one thing it waits
// for has a place that is free, working, unknown to the graph, or held by an owner that can go on.
// Who cannot, and is in a ring, is refused with 40P01, the newest wait first:
//   - a ring of several owners, each with one wait: at once;
//   - one owner by itself, or with further waits: when all in it have stood still for `patience`,
//     as such a client may have another thread about to end the transaction.
//
// Owners and resources outlive their members; the graph outlives the owners. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/reactor.h"
#include "protocol/result.h"

namespace based {

class WaitGraph;
class WaitMember;

// What is leased: a lane, a sandbox's root, the links of a pool.
struct WaitResource {
  std::string name;        // the database's
  std::size_t places = 1;  // leases that there can be
  std::vector<WaitMember*> resting{};

  bool rests_everywhere() const { return resting.size() >= places; }
};

// A client: who acts.
class WaitOwner {
 public:
  WaitOwner(WaitGraph& graph, std::string name) : graph_(graph), name_(std::move(name)) {}
  // REQUIRES that its members are gone.
  ~WaitOwner();
  WaitOwner(const WaitOwner&) = delete;
  WaitOwner& operator=(const WaitOwner&) = delete;

 private:
  friend class WaitGraph;
  friend class WaitMember;

  WaitGraph& graph_;
  const std::string name_;  // "127.0.0.1:4711"
  std::size_t working_ = 0;
  std::vector<WaitMember*> waiting_, resting_;
  TimePoint changed_;
};

enum class WaitState : std::uint8_t {
  absent,   // holds nothing, wants nothing
  working,  // its unit runs, or will end by itself
  waiting,  // its unit waits for a place
  resting,  // it has a place and no unit
};

// The session that waits.
class WaitListener {
 public:
  virtual ~WaitListener() = default;
  // Its unit waits in vain: it is to end with this error. Never inside WaitMember::become(); the
  // member is no longer waiting afterwards.
  virtual void on_vain_wait(Error error) = 0;
};

// A session's part. Without an owner it says nothing, and what it holds counts as working.
class WaitMember {
 public:
  WaitMember(WaitOwner* owner, WaitResource& resource, std::uint64_t session_id,
             WaitListener& listener)
      : owner_(owner), resource_(resource), session_id_(session_id), listener_(listener) {}
  ~WaitMember() { become(WaitState::absent); }
  WaitMember(const WaitMember&) = delete;
  WaitMember& operator=(const WaitMember&) = delete;

  void become(WaitState state);

 private:
  friend class WaitGraph;

  WaitOwner* const owner_;
  WaitResource& resource_;
  const std::uint64_t session_id_;
  WaitListener& listener_;
  WaitState state_ = WaitState::absent;
  std::uint64_t number_ = 0;  // of the wait, by arrival
};

class WaitGraph {
 public:
  static constexpr Duration patience = std::chrono::seconds(1);

  explicit WaitGraph(Reactor& reactor);
  ~WaitGraph();
  WaitGraph(const WaitGraph&) = delete;
  WaitGraph& operator=(const WaitGraph&) = delete;

 private:
  friend class WaitOwner;
  friend class WaitMember;
  using Owners = std::vector<const WaitOwner*>;

  void note(WaitOwner& owner);
  void check();
  static Owners ring_of(const WaitOwner& owner);
  static TimePoint due_of(const Owners& ring);
  static Error error_of(const WaitMember& victim, const Owners& ring);

  Reactor& reactor_;
  std::unique_ptr<Reactor::Timer> timer_;
  std::vector<WaitOwner*> suspects_;  // those that wait and rest
  std::uint64_t waits_ = 0;
};

}  // namespace based
