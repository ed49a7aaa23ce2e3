#include "tests/fuzz/native_target.h"

#include <algorithm>
#include <string>
#include <vector>

#include "protocol/check.h"
#include "protocol/native/frame.h"
#include "tests/protocol/native/recode.h"

namespace based::native {
namespace {

// Small, so that the limit itself is found.
constexpr std::uint32_t payload_bytes_max = 4096;

struct Cut {
  FrameHeader header;
  std::string payload;
  friend bool operator==(const Cut&, const Cut&) = default;
};

// What the bytes hold when they come in pieces of this size, each in memory of its own.
std::vector<Cut> cut(std::string_view bytes, std::size_t piece_bytes, bool& refused) {
  std::vector<Cut> found;
  PrefaceReader preface;
  FrameBuffer buffer(payload_bytes_max);
  refused = false;
  while (!bytes.empty() && !refused) {
    const std::vector<char> piece(
        bytes.begin(),
        bytes.begin() + static_cast<std::ptrdiff_t>(std::min(piece_bytes, bytes.size())));
    bytes.remove_prefix(piece.size());
    std::string_view rest(piece.data(), piece.size());
    refused = preface.feed(rest) == PrefaceReader::State::wrong;
    if (refused || rest.empty()) continue;
    buffer.feed(rest);
    Frame frame;
    FrameBuffer::Scan scan;
    while ((scan = buffer.next(frame)) == FrameBuffer::Scan::frame) {
      INVARIANT(frame.payload.size() <= payload_bytes_max);
      found.push_back({frame.header, std::string(frame.payload)});
    }
    refused = scan == FrameBuffer::Scan::too_long;
    INVARIANT(buffer.unfinished_bytes() <= header_bytes + std::size_t{payload_bytes_max});
  }
  return found;
}

// A payload that is understood has a canonical form, which means the same.
void check_payload(MessageType type, const std::string& payload) {
  const Result<std::string> once = recode(type, payload);
  if (!once) {
    const Error& error = once.error();
    INVARIANT(!error.message.empty() && error.sqlstate != sqlstate::internal_error);
    INVARIANT(error.scope == ErrorScope::statement && error.executed == Executed::no);
    return;
  }
  if (once->empty()) return;
  const Result<std::string> twice = recode(type, *once);
  INVARIANT(twice.ok());
  INVARIANT(*twice == *once);
}

}  // namespace

void fuzz_native(std::string_view input) {
  if (input.empty()) return;
  const std::size_t piece_bytes = 1 + static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  bool refused = false;
  bool refused_whole = false;
  const std::vector<Cut> frames = cut(input, piece_bytes, refused);
  INVARIANT(cut(input, input.size() + 1, refused_whole) == frames);
  INVARIANT(refused == refused_whole);
  for (const Cut& frame : frames) check_payload(frame.header.type, frame.payload);
}

}  // namespace based::native
