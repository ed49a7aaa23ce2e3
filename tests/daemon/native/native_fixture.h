// A native client and the daemon's half of its conversation, over fakes. Frames are shown as text,
// so that a test compares lists of strings:
//   #3 COLS n | #3 ROWS 1 2 | #3 END open/1 [SELECT 2] | #4 ERROR 25P02 failed/1 | NOTICE goaway
#pragma once

#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "daemon/native/connection.h"
#include "daemon/native/front_end.h"
#include "protocol/native/frame.h"
#include "protocol/native/messages.h"
#include "tests/support/fake_database.h"
#include "tests/support/fake_reactor.h"
#include "tests/support/fake_transport.h"
#include "tests/support/memory_log.h"

namespace based::native {

// Shown by doctest where a list differs.
struct Lines : std::vector<std::string> {
  using std::vector<std::string>::vector;
  Lines(std::vector<std::string> lines) : std::vector<std::string>(std::move(lines)) {}
  friend std::ostream& operator<<(std::ostream& out, const Lines& lines) {
    for (const std::string& line : lines) out << "\n    " << line;
    return out;
  }
};

std::string show_frame(const FrameHeader& header, std::string_view payload);

// The daemon with one database.
struct Daemon {
  explicit Daemon(FakeDatabase::Options options = {}, NativeLimits limits_ = {},
                  Users users_ = Users(AuthMethod::trust, AuthMethod::trust));
  ~Daemon();

  FakeReactor reactor;
  MemoryLog log;
  NativeLimits limits;
  Users users;
  DatabaseDirectory databases;
  FakeDatabase* database = nullptr;
  std::unique_ptr<NativeFrontEnd> front_end;
  std::deque<std::unique_ptr<FakeTransport>> transports;
};

// One client of it.
class Client {
 public:
  // `greet`: the preface and HELLO are exchanged.
  explicit Client(Daemon& daemon, bool greet = true, std::uint32_t frame_bytes_max = 0);

  // Sends one request and answers its number. Nothing runs before run().
  std::uint32_t open(std::uint32_t session, const Open& options = {});
  std::uint32_t close(std::uint32_t session, bool commit = false);
  std::uint32_t exec(std::uint32_t session, std::string_view sql, std::uint8_t flags = 0,
                     const RunOptions& options = {});
  std::uint32_t exec_with(std::uint32_t session, std::string_view sql,
                          const std::vector<std::int64_t>& values);
  std::uint32_t exec_named(std::uint32_t session, std::string_view sql,
                           const std::vector<std::pair<std::string, std::int64_t>>& values);
  struct Item {
    std::string sql;
    std::optional<std::vector<std::vector<std::int64_t>>> sets = std::nullopt;
  };
  std::uint32_t batch(std::uint32_t session, const std::vector<Item>& items, bool stop = true,
                      bool atomic = false, std::uint8_t flags = 0);
  std::uint32_t tx(std::uint32_t session, const Tx& tx, std::uint8_t flags = 0);
  std::uint32_t tx(std::uint32_t session, TxOp op, std::uint8_t flags = 0);
  std::uint32_t fetch(std::uint32_t session, std::uint32_t request, std::uint64_t rows);
  std::uint32_t cancel(std::uint32_t session, const Cancel& cancel);
  std::uint32_t ping(std::string_view echo = {});
  std::uint32_t status();
  std::uint32_t raw(MessageType type, std::uint32_t session, std::string_view payload,
                    std::uint8_t flags = 0);

  // Runs the daemon until it rests; the frames since the last call, as text.
  Lines run();
  // The frames of the answer to the request that `request` names, without its number.
  Lines answers_to(std::uint32_t request, const Lines& lines) const;

  FakeTransport& transport() { return *transport_; }
  bool closed() const { return transport_->closed; }
  std::uint32_t last_request() const { return request_; }
  std::uint64_t connection = 0;  // WELCOME's
  std::string cancel_key;
  bool with_welcome = false;  // show it

 private:
  Lines take_frames();

  Daemon& daemon_;
  FakeTransport* transport_;
  std::size_t shown_ = 0;
  bool preface_seen_ = false;
  std::uint32_t request_ = 0;
};

// A daemon and a client that has opened session 1.
struct OneSession {
  explicit OneSession(FakeDatabase::Options options = {}, const Open& open = {})
      : daemon(std::move(options)), c(daemon) {
    c.open(1, open);
    REQUIRE(c.run() == Lines{"#2 END idle opened app"});
  }
  std::string exec(std::string_view sql) { return last(c.exec(1, sql)); }
  std::string tx(const Tx& request) { return last(c.tx(1, request)); }
  std::string tx(TxOp op) { return last(c.tx(1, op)); }
  std::string last(std::uint32_t request) {
    const Lines lines = c.answers_to(request, c.run());
    REQUIRE(!lines.empty());
    return lines.back();
  }
  FakeDatabase& db() { return *daemon.database; }

  Daemon daemon;
  Client c;
};

}  // namespace based::native
