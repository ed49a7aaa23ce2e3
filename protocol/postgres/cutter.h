// MessageCutter: cuts what a PostgreSQL client sends after start-up into messages. Pure.
//
// The bytes of one read are looked at where they are; only an incomplete message at their end is
// kept, so a client that is between two messages keeps nothing. Bind and CopyData that are large
// come in parts; every other message is whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/postgres/scanner.h"

namespace based::postgres {

struct CutterLimits {
  std::size_t whole_bytes = std::size_t{64} << 20;  // of a message that must be whole
  std::size_t part_bytes = 64 * 1024;               // above it Bind and CopyData come in parts
};

class MessageCutter {
 public:
  enum class Cut : std::uint8_t {
    piece,
    need_more,
    bad_type,    // no message of a client begins so: not worth waiting for its rest
    bad_length,  // below 4, or over PostgreSQL's own limit: the stream cannot be followed
    too_large,   // over CutterLimits::whole_bytes
  };

  explicit MessageCutter(const CutterLimits& limits) : limits_(limits) {}

  void set_limits(const CutterLimits& limits) { limits_ = limits; }

  // More bytes, valid until keep(). REQUIRES that keep() was called since the last feed().
  void feed(std::string_view bytes);
  // What was cut is valid until keep().
  Cut next(Piece& piece);
  bool at_end() const { return view_.empty(); }  // of the bytes
  // Keeps what is left of the bytes, for the next time.
  void keep();
  bool empty() const { return kept_.empty() && left_ == 0; }
  std::size_t kept_bytes() const { return kept_.size(); }

 private:
  Cut next_part(Piece& piece);

  CutterLimits limits_;
  std::string kept_;
  std::string_view view_;
  std::uint32_t left_ = 0;  // of a message that is given in parts
  std::uint32_t body_ = 0;
  char type_ = 0;
};

}  // namespace based::postgres
