#include "protocol/native/frame.h"

#include <algorithm>
#include <cstring>

#include "protocol/check.h"

namespace based::native {
namespace {

struct TypeRow {
  MessageType type;
  std::string_view name;
  bool request;
};

constexpr std::array<TypeRow, 17> types{{
    {MessageType::hello, "HELLO", true},
    {MessageType::welcome, "WELCOME", false},
    {MessageType::auth, "AUTH", true},
    {MessageType::open, "OPEN", true},
    {MessageType::close, "CLOSE", true},
    {MessageType::exec, "EXEC", true},
    {MessageType::batch, "BATCH", true},
    {MessageType::tx, "TX", true},
    {MessageType::fetch, "FETCH", true},
    {MessageType::cancel, "CANCEL", true},
    {MessageType::ping, "PING", true},
    {MessageType::cols, "COLS", false},
    {MessageType::rows, "ROWS", false},
    {MessageType::end, "END", false},
    {MessageType::error, "ERROR", false},
    {MessageType::notice, "NOTICE", false},
    {MessageType::status, "STATUS", true},
}};

constexpr bool types_are_in_place() {
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (static_cast<std::size_t>(types[i].type) != i + 1) return false;
  }
  return true;
}
static_assert(types_are_in_place());

void put_u32(std::uint32_t value, char* out) noexcept {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<char>(value >> (24 - 8 * i) & 0xFF);
}

std::uint32_t get_u32(const char* bytes) noexcept {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

bool is_known(MessageType type) noexcept {
  const auto number = static_cast<std::size_t>(type);
  return number >= 1 && number <= types.size();
}

std::string_view name_of(MessageType type) noexcept {
  return is_known(type) ? types[static_cast<std::size_t>(type) - 1].name : std::string_view();
}

bool is_request(MessageType type) noexcept {
  return is_known(type) && types[static_cast<std::size_t>(type) - 1].request;
}

void encode_header(const FrameHeader& header, char* out) noexcept {
  put_u32(header.payload_bytes, out);
  out[4] = static_cast<char>(header.type);
  out[5] = static_cast<char>(header.flags);
  out[6] = out[7] = 0;
  put_u32(header.session, out + 8);
  put_u32(header.request, out + 12);
}

FrameHeader decode_header(const char* bytes) noexcept {
  FrameHeader header;
  header.payload_bytes = get_u32(bytes);
  header.type = static_cast<MessageType>(static_cast<unsigned char>(bytes[4]));
  header.flags = static_cast<std::uint8_t>(bytes[5]);
  header.session = get_u32(bytes + 8);
  header.request = get_u32(bytes + 12);
  return header;
}

std::string encode_client_preface(Preface preface) {
  std::string out(magic);
  out += static_cast<char>(preface.version_min);
  out += static_cast<char>(preface.version_max);
  out.append(2, '\0');
  return out;
}

std::string encode_server_preface(std::uint8_t version) {
  std::string out(magic);
  out += static_cast<char>(version);
  out.append(3, '\0');
  return out;
}

std::uint8_t choose_version(Preface client) noexcept {
  const bool common =
      client.version_min <= protocol_version && protocol_version <= client.version_max;
  return common ? protocol_version : 0;
}

PrefaceReader::State PrefaceReader::feed(std::string_view& bytes) noexcept {
  while (state_ == State::more && !bytes.empty()) {
    const char byte = bytes.front();
    if (taken_ < magic.size() && byte != magic[taken_]) {
      state_ = State::wrong;
      break;
    }
    bytes_[taken_++] = byte;
    bytes.remove_prefix(1);
    if (taken_ == preface_bytes) state_ = State::whole;
  }
  return state_;
}

Preface PrefaceReader::preface() const noexcept {
  INVARIANT(state_ == State::whole);
  return {static_cast<std::uint8_t>(bytes_[4]), static_cast<std::uint8_t>(bytes_[5])};
}

void FrameBuffer::feed(std::string_view bytes) {
  INVARIANT(input_.empty());
  INVARIANT(!kept_is_out_);
  input_ = bytes;
}

void FrameBuffer::check() const {
  INVARIANT(broken_ || kept_.size() <= header_bytes + std::size_t{payload_bytes_max_} ||
            kept_.size() <= header_bytes + std::size_t{get_u32(kept_.data())});
  INVARIANT(!kept_is_out_ || kept_.size() >= header_bytes);
}

// Moves input into kept_ until it holds `bytes`. False: the input was too short.
bool FrameBuffer::keep_up_to(std::size_t bytes) {
  const std::size_t missing = bytes - kept_.size();
  const std::size_t taken = std::min(missing, input_.size());
  kept_.append(input_.data(), taken);
  input_.remove_prefix(taken);
  return taken == missing;
}

FrameBuffer::Scan FrameBuffer::next_from_kept(Frame& frame) {
  if (kept_.size() < header_bytes) {
    if (!keep_up_to(header_bytes)) return Scan::more;
    frame.header = decode_header(kept_.data());
    if (frame.header.payload_bytes > payload_bytes_max_) return broken_ = true, Scan::too_long;
  }
  frame.header = decode_header(kept_.data());
  if (!keep_up_to(header_bytes + std::size_t{frame.header.payload_bytes})) return Scan::more;
  kept_is_out_ = true;
  frame.payload = std::string_view(kept_).substr(header_bytes);
  return Scan::frame;
}

FrameBuffer::Scan FrameBuffer::next(Frame& frame) {
  if (broken_) return input_ = {}, Scan::too_long;
  if (kept_is_out_) {
    kept_is_out_ = false;
    std::string().swap(kept_);
  }
  Scan scan = Scan::more;
  if (!kept_.empty() || input_.size() < header_bytes) {
    if (!input_.empty()) scan = next_from_kept(frame);
  } else {
    frame.header = decode_header(input_.data());
    const std::size_t payload_bytes = frame.header.payload_bytes;
    if (payload_bytes > payload_bytes_max_) return broken_ = true, Scan::too_long;
    if (payload_bytes <= input_.size() - header_bytes) {
      frame.payload = input_.substr(header_bytes, payload_bytes);
      input_.remove_prefix(header_bytes + payload_bytes);
      scan = Scan::frame;
    } else {
      scan = next_from_kept(frame);
    }
  }
  INVARIANT(scan != Scan::more || input_.empty());
  check();
  return scan;
}

FrameWriter::FrameWriter(std::string& out, const FrameHeader& header)
    : out_(out), start_(out.size()) {
  out_.resize(start_ + header_bytes);
  encode_header(header, out_.data() + start_);
}

void FrameWriter::finish() noexcept {
  const std::size_t payload_bytes = out_.size() - start_ - header_bytes;
  INVARIANT(payload_bytes <= UINT32_MAX);
  put_u32(static_cast<std::uint32_t>(payload_bytes), out_.data() + start_);
}

}  // namespace based::native
