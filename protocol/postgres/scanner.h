// MessageScanner: cuts a server's bytes into PostgreSQL v3 messages. Pure; any thread, one user.
//
// It owns one buffer, into which the caller reads. A message whose body is larger than the limit is
// given in parts, so that no length of the server's makes us keep more than the limit. What next()
// gave stays valid until the next call of space() or clear().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace based::postgres {

// PostgreSQL's own limit of a message (MaxAllocSize), its length field included.
inline constexpr std::uint32_t message_length_max = 0x3fffffff;
inline constexpr std::size_t message_header_bytes = 5;

// A whole message, or a part of one that is too large to be kept.
struct Piece {
  char type = 0;
  std::string_view bytes;        // of the body, without type and length
  std::uint32_t body_bytes = 0;  // of the whole body
  bool first = true;
  bool last = true;

  bool whole() const { return first && last; }
};

enum class Scan : std::uint8_t {
  piece,      // one was given
  need_more,  // read more bytes
  broken,     // a length that no message can have: the stream cannot be followed any more
};

class MessageScanner {
 public:
  // REQUIRES whole_bytes_max > 0.
  explicit MessageScanner(std::size_t whole_bytes_max);

  // Room for at least one byte to read into; the bytes read are then told by filled(). Grows with
  // the message that is under way, up to the limit.
  std::span<char> space();
  void filled(std::size_t bytes);

  Scan next(Piece& piece);

  // Rows, COPY data and function results larger than `bytes` are given in parts although they could
  // be kept; 0: only what is over the limit of every message.
  void stream_over(std::size_t bytes) { stream_over_ = bytes; }

  // Is nothing kept: the stream is between two messages?
  bool empty() const { return begin_ == end_ && left_ == 0; }
  std::size_t buffered() const { return end_ - begin_; }
  // Gives back a buffer that grew for a large message. Only does so when nothing is kept.
  void trim();
  // Forgets everything, also a broken stream.
  void clear();

 private:
  Scan next_part(Piece& piece);

  bool is_given_in_parts(char type, std::uint32_t body) const;

  std::size_t whole_bytes_max_;
  std::size_t stream_over_ = 0;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;   // first byte not yet given
  std::size_t end_ = 0;     // behind the last byte read
  std::uint32_t left_ = 0;  // of a message given in parts: bytes still to give
  std::uint32_t body_ = 0;  // its body's size
  char type_ = 0;           // its type
  bool broken_ = false;
};

}  // namespace based::postgres
