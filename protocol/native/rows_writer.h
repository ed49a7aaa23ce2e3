// RowsWriter: rows into ROWS frames, cut between rows. Any thread.
//
// One request's open frame has a buffer of its own, because frames of other sessions may be sent
// before it is full. Typical use: on each row, add(); when full(), send finish() and go on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "protocol/native/frame.h"
#include "protocol/native/messagepack.h"
#include "protocol/value.h"

namespace based::native {

inline constexpr std::size_t rows_frame_bytes = 64u << 10;  // a frame is cut when it has these

class RowsWriter {
 public:
  // `frame_bytes_max`: the largest payload that the client takes.
  RowsWriter(std::uint32_t session, std::uint32_t request, std::uint32_t frame_bytes_max)
      : session_(session), request_(request), frame_bytes_max_(frame_bytes_max) {}

  enum class Added : std::uint8_t {
    yes,
    finish_first,  // not added: the open frame is of another step, or has no room for it
    too_large,     // not added: the row alone is more than the client takes (54000 is the answer)
  };
  Added add(std::uint32_t step, std::span<const ValueView> row);

  bool empty() const { return rows_ == 0; }
  bool full() const { return buffer_.size() >= rows_frame_bytes; }
  std::size_t bytes() const { return buffer_.size(); }

  // The whole frame with its header, valid until the next add(). REQUIRES !empty(). Afterwards the
  // writer is empty, and keeps its buffer for the next frame.
  std::string_view finish();
  // Gives the buffer back.
  void release();

 private:
  void begin(std::uint32_t step);
  bool has_room(std::size_t bytes) const;

  std::string buffer_;
  std::uint32_t session_;
  std::uint32_t request_;
  std::uint32_t frame_bytes_max_;
  std::uint32_t step_ = 0;
  std::uint32_t rows_ = 0;
  std::size_t count_place_ = 0;
};

}  // namespace based::native
