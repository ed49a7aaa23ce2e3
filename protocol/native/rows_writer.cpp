#include "protocol/native/rows_writer.h"

#include "protocol/check.h"

namespace based::native {
namespace {

constexpr std::size_t array_head_bytes_max = 5;

}  // namespace

bool RowsWriter::has_room(std::size_t bytes) const {
  const std::size_t used = buffer_.size() - header_bytes;
  return used <= frame_bytes_max_ && bytes <= frame_bytes_max_ - used;
}

void RowsWriter::begin(std::uint32_t step) {
  buffer_.resize(header_bytes);
  step_ = step;
  MessagePackWriter writer(buffer_);
  writer.array(2);
  writer.integer(step);
  count_place_ = writer.open_array();
}

RowsWriter::Added RowsWriter::add(std::uint32_t step, std::span<const ValueView> row) {
  if (rows_ > 0 && step != step_) return Added::finish_first;
  if (rows_ == 0) begin(step);
  const std::size_t before = buffer_.size();
  MessagePackWriter writer(buffer_);
  bool fits = has_room(array_head_bytes_max);
  if (fits) writer.array(row.size());
  for (const ValueView& value : row) {
    // Asked before each value, so that a huge row is refused without having been copied.
    fits = fits && has_room(encoded_bytes_max(value));
    if (!fits) break;
    writer.value(value);
  }
  if (fits) return ++rows_, Added::yes;
  buffer_.resize(before);
  return rows_ > 0 ? Added::finish_first : Added::too_large;
}

std::string_view RowsWriter::finish() {
  INVARIANT(rows_ > 0);
  MessagePackWriter(buffer_).close_array(count_place_, rows_);
  FrameHeader header;
  header.payload_bytes = static_cast<std::uint32_t>(buffer_.size() - header_bytes);
  header.type = MessageType::rows;
  header.session = session_;
  header.request = request_;
  encode_header(header, buffer_.data());
  rows_ = 0;
  return buffer_;
}

void RowsWriter::release() {
  INVARIANT(rows_ == 0);
  std::string().swap(buffer_);
}

}  // namespace based::native
