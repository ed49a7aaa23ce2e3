#include "protocol/postgres/scanner.h"

#include <algorithm>
#include <cstring>

#include "protocol/check.h"
#include "protocol/postgres/backend.h"

namespace based::postgres {
namespace {

constexpr std::size_t buffer_bytes_start = 16 * 1024;
constexpr std::size_t buffer_bytes_kept = 64 * 1024;

std::uint32_t read_length(const char* at) {
  const auto* byte = reinterpret_cast<const unsigned char*>(at);
  return static_cast<std::uint32_t>(byte[0]) << 24 | static_cast<std::uint32_t>(byte[1]) << 16 |
         static_cast<std::uint32_t>(byte[2]) << 8 | byte[3];
}

}  // namespace

MessageScanner::MessageScanner(std::size_t whole_bytes_max) : whole_bytes_max_(whole_bytes_max) {
  INVARIANT(whole_bytes_max > 0);
}

std::span<char> MessageScanner::space() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == buffer_.size() && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  // By doubling, not at once to the length that the server announced: it has to send it first.
  if (end_ == buffer_.size()) buffer_.resize(std::max(buffer_bytes_start, buffer_.size() * 2));
  return {buffer_.data() + end_, buffer_.size() - end_};
}

void MessageScanner::filled(std::size_t bytes) {
  INVARIANT(bytes <= buffer_.size() - end_);
  end_ += bytes;
}

Scan MessageScanner::next(Piece& piece) {
  if (broken_) return Scan::broken;
  if (left_ > 0) return next_part(piece);
  const std::size_t have = end_ - begin_;
  if (have < message_header_bytes) return Scan::need_more;
  const char* at = buffer_.data() + begin_;
  const std::uint32_t length = read_length(at + 1);
  if (length < 4 || length > message_length_max) {
    broken_ = true;
    return Scan::broken;
  }
  const std::uint32_t body = length - 4;
  if (is_given_in_parts(*at, body)) {
    begin_ += message_header_bytes;
    type_ = *at;
    body_ = left_ = body;
    return next_part(piece);
  }
  if (have - message_header_bytes < body) return Scan::need_more;
  piece = {.type = *at,
           .bytes = {at + message_header_bytes, body},
           .body_bytes = body,
           .first = true,
           .last = true};
  begin_ += message_header_bytes + body;
  return Scan::piece;
}

bool MessageScanner::is_given_in_parts(char type, std::uint32_t body) const {
  if (body > whole_bytes_max_) return true;
  if (stream_over_ == 0 || body <= stream_over_) return false;
  return type == reply::data_row || type == reply::copy_data ||
         type == reply::function_call_response;
}

Scan MessageScanner::next_part(Piece& piece) {
  const std::size_t have = end_ - begin_;
  if (have == 0) return Scan::need_more;
  const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(have, left_));
  piece = {.type = type_,
           .bytes = {buffer_.data() + begin_, part},
           .body_bytes = body_,
           .first = left_ == body_,
           .last = part == left_};
  begin_ += part;
  left_ -= part;
  return Scan::piece;
}

void MessageScanner::trim() {
  if (begin_ != end_ || buffer_.size() <= buffer_bytes_kept) return;
  begin_ = end_ = 0;
  buffer_ = std::vector<char>();
}

void MessageScanner::clear() {
  begin_ = end_ = 0;
  left_ = 0;
  broken_ = false;
}

}  // namespace based::postgres
