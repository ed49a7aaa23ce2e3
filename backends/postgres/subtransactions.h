// Subtransactions: how many of a sandbox's root have a transaction ID, as the server's tags tell.
//
// Every savepoint is a subtransaction. It gets an ID with the first thing that it writes, those
// around it get theirs before it, and a RELEASE leaves them all to the root. The server keeps 64 of
// one transaction at hand for everybody; above that whoever meets a row of the root looks them up
// one by one until the root ends. What a SELECT's function, a DO or an EXCEPTION clause writes is
// not seen; what was rolled back to a savepoint is counted still. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace based::postgres {

inline constexpr std::uint64_t subtransactions_at_hand = 64;

class Subtransactions {
 public:
  // A statement's command tag. A BEGIN's is another root's.
  void note(std::string_view tag);
  // Of what is open no more than so many have no ID: two releases in one have one tag.
  void bound(std::uint64_t open);

  std::uint64_t count() const { return count_; }
  // The root went back to a mark, when they were so many.
  void go_back(std::uint64_t count) { count_ = count; }
  // Were there ever more than the server keeps at hand? That stays until the root's end.
  bool overflowed() const { return overflowed_; }

 private:
  std::uint64_t count_ = 0;
  std::uint64_t without_ = 0;  // savepoints that are open, and have no ID
  bool overflowed_ = false;
};

}  // namespace based::postgres
