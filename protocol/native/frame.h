// Frame: the preface and the 16-byte header of the native protocol, and the buffer that cuts
// frames.
//
// A frame's boundaries need no codec: what a payload holds is decoded elsewhere. Normative:
// PROTOCOL.md. Any thread, but each object by one at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace based::native {

enum class MessageType : std::uint8_t {
  hello = 1,
  welcome = 2,
  auth = 3,
  open = 4,
  close = 5,
  exec = 6,
  batch = 7,
  tx = 8,
  fetch = 9,
  cancel = 10,
  ping = 11,
  cols = 12,
  rows = 13,
  end = 14,
  error = 15,
  notice = 16,
  status = 17,
};

// "EXEC"; "" for a type that this version does not know.
std::string_view name_of(MessageType type) noexcept;
bool is_known(MessageType type) noexcept;
// Answered by exactly one final frame; `ping` only without Flags::reply.
bool is_request(MessageType type) noexcept;

namespace flags {
inline constexpr std::uint8_t chain =
    1;  // run only if the previous request of the session did not fail
inline constexpr std::uint8_t reply = 2;  // PING: this is the answer
inline constexpr std::uint8_t ignorable =
    4;  // a reader that does not know the type skips the frame
}  // namespace flags

struct FrameHeader {
  std::uint32_t payload_bytes = 0;
  MessageType type{};
  std::uint8_t flags = 0;
  std::uint32_t session = 0;  // 0: the connection
  std::uint32_t request = 0;  // 0: unsolicited

  bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

inline constexpr std::size_t header_bytes = 16;
inline constexpr std::uint32_t frame_payload_default = 16u << 20;  // both directions, unless said
inline constexpr std::uint32_t hello_payload_max = 64u << 10;      // before WELCOME
// A client that takes less could not be told of an error.
inline constexpr std::uint32_t client_payload_min = 64u << 10;

void encode_header(const FrameHeader& header, char* out) noexcept;  // header_bytes bytes
FrameHeader decode_header(const char* bytes) noexcept;              // header_bytes bytes

// The eight bytes that each side sends first.
struct Preface {
  std::uint8_t version_min = 0;
  std::uint8_t version_max = 0;
};
inline constexpr std::size_t preface_bytes = 8;
inline constexpr std::string_view magic{
    "\x1F"
    "BSD",
    4};
inline constexpr std::uint8_t protocol_version = 1;

std::string encode_client_preface(Preface preface);
// 0: no version in common; a close follows.
std::string encode_server_preface(std::uint8_t version);
// The version to speak with such a client; 0: none.
std::uint8_t choose_version(Preface client) noexcept;

// Takes the first bytes of a client until the preface is whole or wrong.
class PrefaceReader {
 public:
  enum class State : std::uint8_t { more, whole, wrong };
  // Takes what belongs to the preface off the front of `bytes`. After `whole` or `wrong` takes
  // nothing.
  State feed(std::string_view& bytes) noexcept;
  Preface preface() const noexcept;  // REQUIRES whole

 private:
  std::array<char, preface_bytes> bytes_{};
  std::size_t taken_ = 0;
  State state_ = State::more;
};

struct Frame {
  FrameHeader header;
  std::string_view payload;  // valid until the next call of the FrameBuffer that cut it
};

// Bytes in, frames out. A frame that arrives whole is never copied; only the unfinished rest of an
// input is kept. Memory: at most one frame, and nothing while no frame is unfinished.
class FrameBuffer {
 public:
  enum class Scan : std::uint8_t { frame, more, too_long };

  explicit FrameBuffer(std::uint32_t payload_bytes_max) : payload_bytes_max_(payload_bytes_max) {}

  // For frames whose header has not been read yet.
  void set_payload_bytes_max(std::uint32_t bytes) { payload_bytes_max_ = bytes; }

  // REQUIRES that next() answered `more` for the input before. `bytes` must live until next() does
  // so for it; the rest of an unfinished frame is then copied.
  void feed(std::string_view bytes);
  // `too_long` is final: the frame's header is in `frame`, nothing more can be cut.
  Scan next(Frame& frame);

  // Bytes kept of a frame that has not arrived whole.
  std::size_t unfinished_bytes() const { return kept_.size(); }

 private:
  Scan next_from_kept(Frame& frame);
  bool keep_up_to(std::size_t bytes);
  void check() const;

  std::uint32_t payload_bytes_max_;
  std::string_view input_;
  std::string kept_;
  bool kept_is_out_ = false;  // kept_ is the frame that next() gave last
  bool broken_ = false;
};

// Appends a header now and its length once the payload is written behind it.
class FrameWriter {
 public:
  // `header.payload_bytes` is ignored.
  FrameWriter(std::string& out, const FrameHeader& header);
  void finish() noexcept;

 private:
  std::string& out_;
  std::size_t start_;
};

}  // namespace based::native
