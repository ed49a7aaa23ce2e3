#include "tests/fuzz/client_target.h"

#include <algorithm>
#include <string>

#include "protocol/check.h"
#include "protocol/postgres/cutter.h"
#include "protocol/postgres/requests.h"
#include "protocol/postgres/startup.h"
#include "protocol/scram.h"

namespace based::postgres {
namespace {

// What a cutter says of the stream, in one string; parts of one message are joined. However the
// stream is cut, this is the same.
std::string cut(std::string_view stream, std::size_t step) {
  MessageCutter cutter({.whole_bytes = 256, .part_bytes = 16});
  std::string seen;
  while (!stream.empty()) {
    cutter.feed(stream.substr(0, step));
    stream.remove_prefix(std::min(step, stream.size()));
    Piece piece;
    MessageCutter::Cut result;
    while ((result = cutter.next(piece)) == MessageCutter::Cut::piece) {
      INVARIANT(piece.bytes.size() <= piece.body_bytes);
      INVARIANT(piece.first || piece.type == request::bind || piece.type == request::copy_data);
      if (piece.first) seen.append(1, piece.type).append(std::to_string(piece.body_bytes));
      seen.append(piece.bytes);
    }
    if (result != MessageCutter::Cut::need_more) {
      return seen + std::to_string(static_cast<int>(result));
    }
    cutter.keep();
  }
  return seen;
}

void read_startup(std::string_view bytes) {
  if (const auto head = decode_startup_head(bytes.substr(0, startup_head_bytes)); head) {
    static_cast<void>(startup_kind(*head).ok());
  }
  if (const auto startup = decode_startup(bytes); startup) {
    INVARIANT(!startup->user.empty());
    for (const auto& setting : startup->settings) {
      INVARIANT(std::none_of(setting.first.begin(), setting.first.end(),
                             [](char c) { return c >= 'A' && c <= 'Z'; }));
    }
  }
  CancelKey key;
  if (decode_cancel(bytes, key)) INVARIANT(key.secret.size() + 4 == bytes.size());
}

void read_requests(std::string_view body) {
  ParseRequest parse;
  BindNames names;
  BindRequest bind;
  NamedRequest named;
  ExecuteRequest execute;
  static_cast<void>(decode_parse(body, parse));
  static_cast<void>(decode_named(body, named));
  static_cast<void>(decode_execute(body, execute));
  if (!decode_bind(body, bind)) return;
  // Whoever reads the names only reads the same ones.
  INVARIANT(decode_bind_names(body, names));
  INVARIANT(names.portal == bind.portal && names.statement == bind.statement);
}

void log_in(std::string_view message) {
  if (const auto verifier = parse_scram_verifier(message); verifier) {
    INVARIANT(parse_scram_verifier(format_scram_verifier(*verifier)).has_value());
  }
  const ScramVerifier nobody = mock_scram_verifier("user", "secret");
  ScramExchange exchange(nobody, "nonce-of-24-characters-+");
  const std::size_t half = message.find('|');
  if (!exchange.first(message.substr(0, half))) return;
  const std::string_view last = half == message.npos ? "" : message.substr(half + 1);
  INVARIANT(!exchange.final(last).ok());
}

}  // namespace

void fuzz_client(std::string_view input) {
  if (input.empty()) return;
  const auto step = 1 + static_cast<unsigned char>(input[0]) % 32;
  const std::string_view rest = input.substr(1);
  read_startup(rest);
  read_requests(rest);
  log_in(rest);
  INVARIANT(cut(rest, static_cast<std::size_t>(step)) ==
            cut(rest, std::max<std::size_t>(1, rest.size())));
}

}  // namespace based::postgres
