// Fuzzes what reads a PostgreSQL server's bytes: the scanner, the decoders, the request queue,
// rows. The first byte chooses how the stream is cut; however it is cut, the messages are the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "backends/postgres/request_queue.h"
#include "backends/postgres/row_reader.h"
#include "backends/postgres/server_error.h"
#include "protocol/check.h"
#include "protocol/postgres/backend.h"
#include "protocol/postgres/scanner.h"

namespace based::postgres {
namespace {

constexpr std::size_t whole_bytes_max = 64;

// What a scanner says of the stream, in one string; parts of one message are joined.
std::string scan(std::string_view stream, std::size_t step) {
  MessageScanner scanner(whole_bytes_max);
  std::string seen;
  while (!stream.empty()) {
    const std::span<char> space = scanner.space();
    const std::size_t n = std::min({space.size(), stream.size(), step});
    std::memcpy(space.data(), stream.data(), n);
    scanner.filled(n);
    stream.remove_prefix(n);
    Piece piece;
    Scan result;
    while ((result = scanner.next(piece)) == Scan::piece) {
      INVARIANT(piece.bytes.size() <= piece.body_bytes);
      if (piece.first) seen.append(1, piece.type).append(std::to_string(piece.body_bytes));
      seen.append(piece.bytes);
    }
    if (result == Scan::broken) return seen + "broken";
  }
  return seen;
}

class Reader final : public Requester {
 public:
  Flow on_reply(const Reply& reply) override {
    if (reply.type == reply::row_description) {
      described_ = rows_.describe(reply.body, [](std::uint32_t) { return std::string_view(); });
    } else if (reply.type == reply::data_row && described_) {
      if (rows_.read(reply.body, true)) INVARIANT(rows_.row().size() == rows_.columns().size());
    }
    return Flow::more;
  }
  void on_ready(char) override { described_ = false; }

 private:
  RowReader rows_;
  bool described_ = false;
};

void decode(const Piece& piece) {
  ErrorFields error;
  if (decode_error(piece.bytes, error)) {
    const std::string text = "SELECT \xc3\xbc, x";
    const Error made = server_error(error, text);
    INVARIANT(!made.position || *made.position <= text.size());
  }
  CommandTag tag;
  ParameterStatus parameter;
  std::vector<std::uint32_t> types;
  KeyData key;
  Notification notification;
  static_cast<void>(decode_command_complete(piece.bytes, tag));
  static_cast<void>(decode_parameter_status(piece.bytes, parameter));
  static_cast<void>(decode_parameter_description(piece.bytes, types));
  static_cast<void>(decode_key_data(piece.bytes, key));
  static_cast<void>(decode_notification(piece.bytes, notification));
  static_cast<void>(connect_error(piece.bytes));
}

void converse(std::string_view stream) {
  MessageScanner scanner(1 << 16);
  const std::span<char> space = scanner.space();
  const std::size_t n = std::min(space.size(), stream.size());
  std::memcpy(space.data(), stream.data(), n);
  scanner.filled(n);
  Reader reader;
  RequestQueue queue;
  for (int i = 0; i < 3; ++i) {
    Request request{.requester = &reader};
    for (const Expect what :
         {Expect::parse, Expect::bind, Expect::describe_portal, Expect::execute, Expect::close}) {
      request.expected.push_back({.what = what, .fate = i == 1 ? Fate::swallow : Fate::forward});
    }
    queue.push(std::move(request));
  }
  Piece piece;
  while (scanner.next(piece) == Scan::piece) {
    decode(piece);
    RequestQueue::Match match;
    const RequestQueue::Verdict verdict = queue.accept(piece.type, match);
    if (verdict == RequestQueue::Verdict::mismatch) return;
    if (match.requester == nullptr) continue;
    if (verdict == RequestQueue::Verdict::finished) {
      match.requester->on_ready('I');
    } else {
      match.requester->on_reply(
          {.type = piece.type, .body = piece.bytes, .expectation = match.expectation});
    }
  }
}

}  // namespace
}  // namespace based::postgres

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = based::postgres::scan(stream, stream.size());
  INVARIANT(based::postgres::scan(stream, 1 + data[0] % 16) == whole);
  based::postgres::converse(stream);
  return 0;
}
