// HeldMessages: a client's messages that wait for their link, in one buffer. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "backends/wire.h"

namespace based::postgres {

// Where nothing is in flight: of a COPY that the server has ended, or of another message whose link
// was lost.
bool is_too_late(const WireMessage& message);

class HeldMessages {
 public:
  void add(const WireMessage& message);
  // The oldest one, which is valid until the next add() or clear(). REQUIRES that there is one.
  void peek(WireMessage& message) const;
  // The one behind it; false: there is none yet.
  bool peek_next(WireMessage& message) const;
  void pop();
  bool empty() const { return begin_ == bytes_.size(); }
  std::size_t bytes() const { return bytes_.size() - begin_; }
  void clear();

 private:
  struct Head {
    std::uint32_t bytes = 0;       // of this message, or this part
    std::uint32_t body_bytes = 0;  // of the whole message
    char type = 0;
    bool first = true;
    bool last = true;
  };
  Head head_at(std::size_t at) const;
  WireMessage message_at(std::size_t at) const;

  std::string bytes_;
  std::size_t begin_ = 0;
};

}  // namespace based::postgres
