#include "protocol/postgres/scanner.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace based::postgres {
namespace {

std::string message(char type, std::string_view body) {
  const auto length = static_cast<std::uint32_t>(body.size() + 4);
  std::string out(1, type);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  return out.append(body);
}

void feed(MessageScanner& scanner, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::span<char> space = scanner.space();
    const std::size_t n = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), n);
    scanner.filled(n);
    bytes.remove_prefix(n);
  }
}

// Everything that can be cut now, as "type:body" where parts of one message are joined.
std::string drain(MessageScanner& scanner, Scan& last) {
  std::string seen;
  Piece piece;
  while ((last = scanner.next(piece)) == Scan::piece) {
    if (piece.first) seen.append(1, piece.type).append(":");
    seen.append(piece.bytes);
    if (piece.last) seen.append(";");
  }
  return seen;
}

}  // namespace

TEST_CASE("messages are the same at every split point of the stream") {
  const std::string stream = message('T', "abc") + message('Z', "") + message('D', "12345678");
  for (const std::size_t limit : {std::size_t{4}, std::size_t{100}}) {
    for (std::size_t first = 0; first <= stream.size(); ++first) {
      for (std::size_t second = first; second <= stream.size(); ++second) {
        MessageScanner scanner(limit);
        Scan last{};
        std::string seen;
        feed(scanner, stream.substr(0, first));
        seen += drain(scanner, last);
        feed(scanner, stream.substr(first, second - first));
        seen += drain(scanner, last);
        feed(scanner, stream.substr(second));
        seen += drain(scanner, last);
        CHECK(last == Scan::need_more);
        REQUIRE(seen == "T:abc;Z:;D:12345678;");
        CHECK(scanner.empty());
      }
    }
  }
}

TEST_CASE("a truncated message is never given, and the scanner is not empty") {
  const std::string whole = message('D', "12345");
  for (std::size_t length = 1; length < whole.size(); ++length) {
    MessageScanner scanner(1000);
    feed(scanner, whole.substr(0, length));
    Piece piece;
    CHECK(scanner.next(piece) == Scan::need_more);
    CHECK_FALSE(scanner.empty());
  }
}

TEST_CASE("a length below four or above PostgreSQL's largest breaks the stream for good") {
  for (const char* length : {"\0\0\0\0", "\0\0\0\3", "\x40\0\0\0", "\x80\0\0\0"}) {
    MessageScanner scanner(1000);
    feed(scanner, std::string("D") + std::string(length, 4));
    Piece piece;
    CHECK(scanner.next(piece) == Scan::broken);
    feed(scanner, message('Z', "I"));
    CHECK(scanner.next(piece) == Scan::broken);
    scanner.clear();
    feed(scanner, message('Z', "I"));
    CHECK(scanner.next(piece) == Scan::piece);
  }
}

TEST_CASE("a message over the limit comes in parts and does not make the buffer grow") {
  MessageScanner scanner(1024);
  const std::string body(1 << 20, 'x');
  const std::string stream = message('D', body) + message('Z', "I");
  std::size_t parts = 0, bytes = 0, whole = 0;
  for (std::size_t at = 0; at < stream.size(); at += 4096) {
    feed(scanner, std::string_view(stream).substr(at, 4096));
    Piece piece;
    while (scanner.next(piece) == Scan::piece) {
      if (piece.whole()) {
        ++whole;
        continue;
      }
      CHECK(piece.type == 'D');
      CHECK(piece.body_bytes == body.size());
      CHECK(piece.first == (parts == 0));
      ++parts;
      bytes += piece.bytes.size();
      CHECK(piece.last == (bytes == body.size()));
    }
  }
  CHECK(bytes == body.size());
  CHECK(whole == 1);
  CHECK(scanner.space().size() <= 16 * 1024);
}

TEST_CASE("a buffer that grew for a large message is given back") {
  MessageScanner scanner(std::size_t{1} << 20);
  feed(scanner, message('D', std::string(500'000, 'x')));
  Piece piece;
  REQUIRE(scanner.next(piece) == Scan::piece);
  CHECK(piece.bytes.size() == 500'000);
  scanner.trim();
  CHECK(scanner.space().size() <= 16 * 1024);
}

}  // namespace based::postgres
