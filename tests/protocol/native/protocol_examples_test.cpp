// The frames that PROTOCOL.md shows are what the codec reads and writes.
#include <doctest/doctest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "protocol/native/messages.h"
#include "tests/protocol/native/diagnostic.h"
#include "tests/protocol/native/recode.h"

namespace based::native {
namespace {

struct Example {
  std::size_t line = 0;
  std::string title;  // "EXEC CHAIN session=1 request=4"
  std::string bytes;
  std::string meaning;  // diagnostic notation, white space as one space
};

std::vector<Example> read_examples() {
  std::ifstream file(BASED_PROTOCOL_MD);
  REQUIRE(file.is_open());
  std::vector<Example> examples;
  std::string line;
  std::string digits;
  enum class At { outside, title, bytes, meaning } at = At::outside;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    if (at == At::outside) {
      if (line == "```frame") at = At::title;
    } else if (line == "```") {
      examples.back().bytes = from_hex(digits);
      digits.clear();
      at = At::outside;
    } else if (at == At::title) {
      examples.push_back({number, line, "", ""});
      at = At::bytes;
    } else if (at == At::bytes && !line.starts_with("= ")) {
      digits += line;
    } else {
      if (at == At::meaning) examples.back().meaning += ' ';
      examples.back().meaning += line.substr(2);
      at = At::meaning;
    }
  }
  REQUIRE(at == At::outside);
  return examples;
}

std::string title_of(const FrameHeader& header) {
  std::string title(name_of(header.type));
  if (header.has(flags::chain)) title += " CHAIN";
  if (header.has(flags::reply)) title += " REPLY";
  if (header.has(flags::ignorable)) title += " IGNORABLE";
  return title + " session=" + std::to_string(header.session) +
         " request=" + std::to_string(header.request);
}

}  // namespace

TEST_CASE("each frame that PROTOCOL.md shows has the header, bytes and meaning it says") {
  for (const Example& example : read_examples()) {
    CAPTURE(example.line);
    CAPTURE(example.title);
    FrameBuffer buffer(frame_payload_default);
    buffer.feed(example.bytes);
    Frame frame;
    REQUIRE(buffer.next(frame) == FrameBuffer::Scan::frame);
    CHECK_EQ(example.bytes.size(), header_bytes + frame.payload.size());
    CHECK_EQ(title_of(frame.header), example.title);
    CHECK_EQ(diagnostic(frame.payload), example.meaning);
    const Result<std::string> again = recode(frame.header.type, frame.payload);
    if (!again) FAIL(again.error().message);
    CHECK_EQ(diagnostic(*again), example.meaning);
    CHECK(*again == frame.payload);
  }
}

TEST_CASE("a frame that PROTOCOL.md shows is the same wherever its bytes are cut") {
  const std::vector<Example> examples = read_examples();
  REQUIRE_FALSE(examples.empty());
  for (const Example& example : examples) {
    CAPTURE(example.title);
    for (std::size_t at = 1; at < example.bytes.size(); ++at) {
      // Own copies, so that a sanitizer sees what is kept of the first part.
      const std::string first = example.bytes.substr(0, at);
      const std::string rest = example.bytes.substr(at);
      FrameBuffer buffer(frame_payload_default);
      Frame frame;
      buffer.feed(first);
      REQUIRE(buffer.next(frame) == FrameBuffer::Scan::more);
      REQUIRE(buffer.unfinished_bytes() == at);
      buffer.feed(rest);
      REQUIRE(buffer.next(frame) == FrameBuffer::Scan::frame);
      REQUIRE(title_of(frame.header) == example.title);
      REQUIRE(frame.payload == std::string_view(example.bytes).substr(header_bytes));
      REQUIRE(buffer.next(frame) == FrameBuffer::Scan::more);
      REQUIRE(buffer.unfinished_bytes() == 0);
    }
  }
}

TEST_CASE("PROTOCOL.md shows every message") {
  std::set<std::string> shown;
  for (const Example& example : read_examples()) {
    shown.insert(example.title.substr(0, example.title.find(' ')));
  }
  for (int type = 1; is_known(static_cast<MessageType>(type)); ++type) {
    CAPTURE(type);
    CHECK(shown.count(std::string(name_of(static_cast<MessageType>(type)))) == 1);
  }
}

TEST_CASE("every truncation of a payload that PROTOCOL.md shows is refused, and nothing crashes") {
  for (const Example& example : read_examples()) {
    const auto type = static_cast<MessageType>(example.bytes[4]);
    const std::string_view payload = std::string_view(example.bytes).substr(header_bytes);
    CAPTURE(example.title);
    for (std::size_t length = 0; length < payload.size(); ++length) {
      // An own copy, so that a sanitizer sees a read beyond it.
      const std::string cut(payload.substr(0, length));
      const Result<std::string> again = recode(type, cut);
      REQUIRE_FALSE(again.ok());
      CHECK(again.error().sqlstate.klass() != "XX");
      CHECK(again.error().scope == ErrorScope::statement);
      CHECK(again.error().executed == Executed::no);
    }
  }
}

TEST_CASE("a byte too many behind a payload is refused") {
  for (const Example& example : read_examples()) {
    const auto type = static_cast<MessageType>(example.bytes[4]);
    const Result<std::string> again = recode(type, example.bytes.substr(header_bytes) + '\xC0');
    REQUIRE_FALSE(again.ok());
    CHECK_EQ(again.error().sqlstate, sqlstate::protocol_violation);
  }
}

TEST_CASE("any byte of a payload may be anything: it is refused or means something") {
  for (const Example& example : read_examples()) {
    const auto type = static_cast<MessageType>(example.bytes[4]);
    std::string payload = example.bytes.substr(header_bytes);
    for (char& byte : payload) {
      const char before = byte;
      for (const int other : {0x00, 0x7F, 0x80, 0x90, 0xA1, 0xC0, 0xC1, 0xC7, 0xDB, 0xDD, 0xFF}) {
        byte = static_cast<char>(other);
        const Result<std::string> once = recode(type, payload);
        if (!once || once->empty()) continue;
        const Result<std::string> twice = recode(type, *once);
        REQUIRE(twice.ok());
        CHECK(*twice == *once);
      }
      byte = before;
    }
  }
}

}  // namespace based::native
