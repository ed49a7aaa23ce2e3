#include "protocol/postgres/cutter.h"

#include <algorithm>
#include <array>

#include "protocol/postgres/requests.h"

namespace based::postgres {
namespace {

std::uint32_t read_length(std::string_view bytes) {
  const auto* byte = reinterpret_cast<const unsigned char*>(bytes.data());
  return static_cast<std::uint32_t>(byte[1]) << 24 | static_cast<std::uint32_t>(byte[2]) << 16 |
         static_cast<std::uint32_t>(byte[3]) << 8 | byte[4];
}

constexpr std::string_view types{"BCDEFHPQSXcdfp"};
static_assert(types.find(request::bind) == 0 && types.find(request::password) == 13);

constexpr std::array<bool, 256> make_known() {
  std::array<bool, 256> known{};
  for (const char type : types) known[static_cast<unsigned char>(type)] = true;
  return known;
}
constexpr std::array<bool, 256> known = make_known();

}  // namespace

void MessageCutter::feed(std::string_view bytes) {
  if (kept_.empty()) {
    view_ = bytes;
    return;
  }
  kept_ += bytes;
  view_ = kept_;
}

MessageCutter::Cut MessageCutter::next(Piece& piece) {
  if (left_ > 0) return next_part(piece);
  if (view_.empty()) return Cut::need_more;
  if (!known[static_cast<unsigned char>(view_[0])]) {
    piece = {.type = view_[0], .bytes = {}, .body_bytes = 0, .first = true, .last = true};
    return Cut::bad_type;
  }
  if (view_.size() < message_header_bytes) return Cut::need_more;
  const std::uint32_t length = read_length(view_);
  if (length < 4 || length > message_length_max) return Cut::bad_length;
  const std::uint32_t body = length - 4;
  const char type = view_[0];
  const bool parts = type == request::bind || type == request::copy_data;
  if (parts && body > limits_.part_bytes) {
    // The first part holds what the names of a Bind need.
    if (view_.size() - message_header_bytes < limits_.part_bytes) return Cut::need_more;
    view_.remove_prefix(message_header_bytes);
    type_ = type;
    body_ = left_ = body;
    return next_part(piece);
  }
  if (body > limits_.whole_bytes) return Cut::too_large;
  if (view_.size() - message_header_bytes < body) return Cut::need_more;
  piece = {.type = type,
           .bytes = view_.substr(message_header_bytes, body),
           .body_bytes = body,
           .first = true,
           .last = true};
  view_.remove_prefix(message_header_bytes + body);
  return Cut::piece;
}

MessageCutter::Cut MessageCutter::next_part(Piece& piece) {
  if (view_.empty()) return Cut::need_more;
  const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(view_.size(), left_));
  piece = {.type = type_,
           .bytes = view_.substr(0, part),
           .body_bytes = body_,
           .first = left_ == body_,
           .last = part == left_};
  view_.remove_prefix(part);
  left_ -= part;
  return Cut::piece;
}

void MessageCutter::keep() {
  if (view_.empty()) {
    if (!kept_.empty()) std::string().swap(kept_);
  } else if (kept_.empty()) {
    kept_ = view_;
  } else {
    kept_.erase(0, kept_.size() - view_.size());
  }
  view_ = {};
}

}  // namespace based::postgres
