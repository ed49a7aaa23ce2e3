#include "protocol/postgres/cutter.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace based::postgres;

namespace {

std::string message(char type, std::string_view body) {
  const auto length = static_cast<std::uint32_t>(body.size() + 4);
  std::string out(1, type);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  return out.append(body);
}

// Everything that can be cut now, as "type:body;" where parts of one message are joined.
std::string drain(MessageCutter& cutter, MessageCutter::Cut& last) {
  std::string seen;
  Piece piece;
  while ((last = cutter.next(piece)) == MessageCutter::Cut::piece) {
    if (piece.first) seen.append(1, piece.type).append(":");
    seen.append(piece.bytes);
    if (piece.last) seen.append(";");
  }
  cutter.keep();
  return seen;
}

MessageCutter::Cut end_of(std::string_view bytes, const CutterLimits& limits = {}) {
  MessageCutter cutter(limits);
  cutter.feed(bytes);
  MessageCutter::Cut last{};
  drain(cutter, last);
  return last;
}

}  // namespace

TEST_CASE("a client's messages are the same at every split point") {
  const std::string stream = message('P', std::string("s\0select 1\0\0\0", 13)) +
                             message('B', "0123456789abcdef") + message('S', "") +
                             message('d', "rows") + message('X', "");
  const std::string expected =
      std::string("P:s\0select 1\0\0\0;", 16) + "B:0123456789abcdef;S:;d:rows;X:;";
  for (const std::size_t part : {std::size_t{3}, std::size_t{64 * 1024}}) {
    for (std::size_t first = 0; first <= stream.size(); ++first) {
      for (std::size_t second = first; second <= stream.size(); ++second) {
        MessageCutter cutter({.whole_bytes = 64, .part_bytes = part});
        MessageCutter::Cut last{};
        std::string seen;
        for (const std::string_view bytes : {std::string_view(stream).substr(0, first),
                                             std::string_view(stream).substr(first, second - first),
                                             std::string_view(stream).substr(second)}) {
          cutter.feed(bytes);
          seen += drain(cutter, last);
        }
        CHECK(seen == expected);
        CHECK(last == MessageCutter::Cut::need_more);
        CHECK(cutter.empty());
      }
    }
  }
}

TEST_CASE("between two messages nothing is kept, and within one no more than it") {
  MessageCutter cutter({});
  MessageCutter::Cut last{};
  const std::string whole = message('Q', "select 1") + message('S', "");
  cutter.feed(whole);
  drain(cutter, last);
  CHECK(cutter.empty());
  cutter.feed(std::string_view(whole).substr(0, 3));
  drain(cutter, last);
  CHECK_FALSE(cutter.empty());
}

TEST_CASE("messages that were read wait until they are asked for") {
  MessageCutter cutter({});
  Piece piece;
  const std::string stream = message('S', "") + message('H', "") + message('X', "");
  cutter.feed(stream);
  REQUIRE(cutter.next(piece) == MessageCutter::Cut::piece);
  CHECK(piece.type == 'S');
  cutter.keep();
  cutter.feed("");
  MessageCutter::Cut last{};
  CHECK(drain(cutter, last) == "H:;X:;");
}

TEST_CASE("a length that no message has ends the stream") {
  using Cut = MessageCutter::Cut;
  CHECK(end_of(std::string("Q\0\0\0\0", 5)) == Cut::bad_length);
  CHECK(end_of(std::string("Q\0\0\0\3", 5)) == Cut::bad_length);
  CHECK(end_of(std::string("S\0\0\0\4", 5)) == Cut::need_more);
  CHECK(end_of(std::string("d\x3f\xff\xff\xff", 5)) == Cut::need_more);
  CHECK(end_of(std::string("d\x40\0\0\0", 5)) == Cut::bad_length);
  CHECK(end_of(std::string("d\x80\0\0\0", 5)) == Cut::bad_length);
  CHECK(end_of(std::string("d\xff\xff\xff\xff", 5)) == Cut::bad_length);
}

TEST_CASE("a type that no client sends is told before its message is waited for") {
  for (int type = 0; type < 256; ++type) {
    CAPTURE(type);
    const bool known =
        type != 0 &&
        std::string_view("BCDEFHPQSXcdfp").find(static_cast<char>(type)) != std::string_view::npos;
    CHECK(end_of(std::string(1, static_cast<char>(type))) ==
          (known ? MessageCutter::Cut::need_more : MessageCutter::Cut::bad_type));
  }
}

TEST_CASE("what has to be whole is limited, and what may come in parts is not") {
  const CutterLimits limits{.whole_bytes = 16, .part_bytes = 8};
  CHECK(end_of(message('Q', std::string(16, 'x')), limits) == MessageCutter::Cut::need_more);
  CHECK(end_of(message('Q', std::string(17, 'x')), limits) == MessageCutter::Cut::too_large);
  CHECK(end_of(message('Q', std::string(17, 'x')).substr(0, 5), limits) ==
        MessageCutter::Cut::too_large);
  CHECK(end_of(message('d', std::string(1000, 'x')), limits) == MessageCutter::Cut::need_more);
}

TEST_CASE("the first part of a large Bind holds what its names need") {
  const std::string stream = message('B', std::string(100, 'x'));
  MessageCutter cutter({.whole_bytes = 16, .part_bytes = 8});
  Piece piece;
  for (std::size_t have = 0; have < message_header_bytes + 8; ++have) {
    cutter.feed(std::string_view(stream).substr(have, 1));
    if (have + 1 < message_header_bytes + 8) {
      REQUIRE(cutter.next(piece) == MessageCutter::Cut::need_more);
    } else {
      REQUIRE(cutter.next(piece) == MessageCutter::Cut::piece);
    }
    if (have + 1 < message_header_bytes + 8) cutter.keep();
  }
  CHECK(piece.first);
  CHECK_FALSE(piece.last);
  CHECK(piece.bytes.size() == 8);
  CHECK(piece.body_bytes == 100);
}
