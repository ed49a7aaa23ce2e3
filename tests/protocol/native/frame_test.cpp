#include "protocol/native/frame.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace based::native {
namespace {

struct Cut {
  FrameHeader header;
  std::string payload;
  friend bool operator==(const Cut&, const Cut&) = default;
};

std::string frame_bytes(MessageType type, std::uint32_t request, std::string_view payload) {
  std::string out;
  FrameWriter frame(out, {.type = type, .flags = flags::chain, .session = 7, .request = request});
  out += payload;
  frame.finish();
  return out;
}

// Feeds the pieces one after another; stops at too_long.
std::vector<Cut> cut(FrameBuffer& buffer, const std::vector<std::string>& pieces) {
  std::vector<Cut> found;
  for (const std::string& piece : pieces) {
    buffer.feed(piece);
    Frame frame;
    FrameBuffer::Scan scan;
    while ((scan = buffer.next(frame)) == FrameBuffer::Scan::frame) {
      found.push_back({frame.header, std::string(frame.payload)});
    }
    if (scan == FrameBuffer::Scan::too_long) break;
  }
  return found;
}

}  // namespace

TEST_CASE("a header is 16 big-endian bytes") {
  std::string out;
  FrameWriter frame(out, {.type = MessageType::exec,
                          .flags = flags::chain,
                          .session = 0x01020304,
                          .request = 0xA0B0C0D0});
  out += "abc";
  frame.finish();
  CHECK_EQ(out, std::string("\0\0\0\x03\x06\x01\0\0\x01\x02\x03\x04\xA0\xB0\xC0\xD0"
                            "abc",
                            19));
  const FrameHeader header = decode_header(out.data());
  CHECK_EQ(header.payload_bytes, 3);
  CHECK_EQ(header.session, 0x01020304);
  CHECK_EQ(header.request, 0xA0B0C0D0);
}

TEST_CASE("frames are the same at every two points where their bytes are cut") {
  const std::string bytes = frame_bytes(MessageType::exec, 1, "hello") +
                            frame_bytes(MessageType::ping, 2, "") +
                            frame_bytes(MessageType::close, 3, std::string(9, 'x'));
  FrameBuffer whole(100);
  const std::vector<Cut> expected = cut(whole, {bytes});
  REQUIRE(expected.size() == 3);
  for (std::size_t first = 0; first <= bytes.size(); ++first) {
    for (std::size_t second = first; second <= bytes.size(); ++second) {
      FrameBuffer buffer(100);
      const std::vector<Cut> found =
          cut(buffer,
              {bytes.substr(0, first), bytes.substr(first, second - first), bytes.substr(second)});
      REQUIRE(found == expected);
      REQUIRE(buffer.unfinished_bytes() == 0);
    }
  }
  std::vector<std::string> single;
  for (const char byte : bytes) single.emplace_back(1, byte);
  FrameBuffer buffer(100);
  CHECK(cut(buffer, single) == expected);
}

TEST_CASE("a truncated frame is never given out, and only its bytes are kept") {
  const std::string bytes = frame_bytes(MessageType::exec, 1, "hello");
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    FrameBuffer buffer(100);
    CHECK(cut(buffer, {bytes.substr(0, length)}).empty());
    CHECK_EQ(buffer.unfinished_bytes(), length);
  }
}

TEST_CASE("a frame at the limit passes, one byte more is refused for good, wherever it is cut") {
  const std::string good = frame_bytes(MessageType::exec, 1, std::string(10, 'x'));
  const std::string bad = frame_bytes(MessageType::exec, 2, std::string(11, 'x'));
  for (std::size_t at = 0; at <= header_bytes; ++at) {
    FrameBuffer buffer(10);
    CHECK_EQ(cut(buffer, {good, bad.substr(0, at), bad.substr(at)}).size(), 1);
    Frame frame;
    CHECK(buffer.next(frame) == FrameBuffer::Scan::too_long);
    buffer.feed(good);
    CHECK(buffer.next(frame) == FrameBuffer::Scan::too_long);
  }
}

TEST_CASE("the length that a header claims is not reserved") {
  FrameBuffer buffer(UINT32_MAX);
  const std::string header("\xFF\xFF\xFF\xFF\x06\0\0\0\0\0\0\0\0\0\0\x01", 16);
  CHECK(cut(buffer, {header, "abc"}).empty());
  CHECK_EQ(buffer.unfinished_bytes(), 19);
}

TEST_CASE("a frame that arrives whole is not copied") {
  const std::string bytes = frame_bytes(MessageType::exec, 1, "hello");
  FrameBuffer buffer(100);
  buffer.feed(bytes);
  Frame frame;
  REQUIRE(buffer.next(frame) == FrameBuffer::Scan::frame);
  CHECK(static_cast<const void*>(frame.payload.data()) == bytes.data() + header_bytes);
}

TEST_CASE("a preface is taken at every split point and wrong at its first wrong byte") {
  const std::string preface = encode_client_preface({1, 3});
  for (std::size_t at = 0; at <= preface.size(); ++at) {
    PrefaceReader reader;
    std::string_view first = std::string_view(preface).substr(0, at);
    const std::string rest = preface.substr(at) + "frames";
    std::string_view second = rest;
    reader.feed(first);
    CHECK(first.empty());
    CHECK(reader.feed(second) == PrefaceReader::State::whole);
    CHECK_EQ(second, "frames");
    CHECK_EQ(reader.preface().version_max, 3);
  }
  for (std::size_t at = 0; at < magic.size(); ++at) {
    std::string wrong = preface;
    wrong[at] = static_cast<char>(wrong[at] ^ 1);
    PrefaceReader reader;
    std::string_view bytes = wrong;
    CHECK(reader.feed(bytes) == PrefaceReader::State::wrong);
    CHECK_EQ(bytes.size(), wrong.size() - at);
  }
}

TEST_CASE("the version is the one that both know, else 0") {
  CHECK_EQ(choose_version({1, 1}), 1);
  CHECK_EQ(choose_version({0, 255}), 1);
  CHECK_EQ(choose_version({2, 9}), 0);
  CHECK_EQ(choose_version({0, 0}), 0);
  CHECK_EQ(choose_version({3, 1}), 0);
}

TEST_CASE("known types have names, and requests are told from answers") {
  CHECK_EQ(name_of(MessageType::exec), "EXEC");
  CHECK_EQ(name_of(static_cast<MessageType>(200)), "");
  CHECK_FALSE(is_known(static_cast<MessageType>(0)));
  CHECK(is_request(MessageType::status));
  CHECK_FALSE(is_request(MessageType::rows));
}

}  // namespace based::native
