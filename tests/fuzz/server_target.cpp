#include "tests/fuzz/server_target.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/postgres/listener.h"
#include "backends/postgres/pool.h"
#include "backends/postgres/relay.h"
#include "protocol/check.h"
#include "protocol/postgres/backend.h"
#include "protocol/postgres/frontend.h"
#include "tests/fuzz/server_stream.h"
#include "tests/support/fake_reactor.h"

namespace based::postgres {
namespace {

using std::chrono::seconds;

class NoLog final : public Log {
 public:
  bool enabled(LogLevel) const override { return false; }
  void write(LogLevel, std::string_view) override {}
};

// Between what the pool's links hear and what the listener's do.
constexpr std::string_view listener_mark = "|||";

constexpr unsigned scripts = 14;
bool listens(unsigned number) { return number % scripts == 7 || number % scripts >= 12; }

// What one client says: units, each of which gets one ReadyForQuery.
std::vector<std::string> script_of(unsigned number) {
  std::vector<std::string> units;
  const auto query = [&units](std::string_view text) {
    FrontendWriter(units.emplace_back()).query(text);
  };
  const auto extended = [&units](std::string_view name, std::string_view text, bool flush) {
    FrontendWriter writer(units.emplace_back());
    writer.parse(name, text, {});
    writer.begin_bind("", name, {});
    writer.end_bind();
    writer.describe_portal("");
    writer.execute("", 0);
    if (flush) writer.flush();
    writer.sync();
  };
  switch (number % scripts) {
    case 0:
      query("select 1");
      query("select 2");
      break;
    case 1:
      extended("", "select 1", false);
      extended("", "select 1", true);
      break;
    case 2:
      for (const char* text : {"begin", "insert into t values (1)", "commit"}) query(text);
      break;
    case 3:
      for (const char* name : {"a", "b", "a"}) extended(name, "select 1", false);
      break;
    case 4:
      for (const char* text : {"create temp table t(n int)", "select 1", "discard all"}) {
        query(text);
      }
      break;
    case 5:
      for (const char* text : {"set role other", "select 1", "reset all", "select 2"}) query(text);
      break;
    case 6:
      query("copy t from stdin");
      units.back() += std::string("d\0\0\0\6x\nc\0\0\0\4", 12);
      query("copy t to stdout");
      break;
    case 7:
      units.emplace_back("F\0\0\0\xe\0\0\0\1\0\0\0\0\0\0", 15);
      query("listen x");
      break;
    case 8:
      query("prepare p as select 1; execute p; deallocate all");
      extended("", "execute p", false);
      break;
    case 9:
      for (const char* text : {"begin; savepoint a", "select 1/0", "rollback to a", "end"}) {
        query(text);
      }
      break;
    case 10:
      extended("a", "copy t from stdin", true);
      break;
    case 12:
      for (const char* text : {"listen x", "select 1", "unlisten x", "select 2"}) query(text);
      break;
    case 13:
      for (const char* text : {"begin; listen x", "commit", "notify x, 'y'"}) query(text);
      extended("", "unlisten *", false);
      break;
    default:
      extended("x", "begin", false);
      extended("x", "set time zone 'UTC'", false);
      extended("", "rollback", true);
      break;
  }
  return units;
}

class FuzzClient final : public WireClient {
 public:
  FuzzClient(RelayContext& context, unsigned number, bool at_once)
      : context_(context), units_(script_of(number)), listens_(listens(number)), at_once_(at_once) {
    session_ =
        std::make_unique<Relay>(context, WireOptions{.session_id = number, .user = "u"}, *this);
    session_->start();
  }

  // Says what it may say now.
  void step() {
    if (std::exchange(asked_for_data_, false) && !ended_) {
      std::string bytes;
      FrontendWriter writer(bytes);
      writer.copy_fail("never mind");
      if (units_[said_ - 1][0] == 'P') writer.sync();  // that of the unit was read by the COPY
      say(bytes);
    }
    while (started_ && !ended_ && said_ < units_.size() && (at_once_ || answered_ >= said_)) {
      say(units_[said_++]);
    }
  }
  void cancel() { session_->cancel("a test"); }

  // Looks at what came.
  void check() {
    while (true) {
      const std::string_view rest = std::string_view(received_).substr(checked_);
      if (rest.size() < message_header_bytes) break;
      const std::size_t length = length_of(rest);
      INVARIANT(length >= 4);
      if (rest.size() < length + 1) break;
      take(rest[0], rest.substr(message_header_bytes, length - 4));
      checked_ += length + 1;
    }
  }
  // Everything is over: no link is there, and none comes.
  void check_end() {
    step();
    check();
    if (ended_) return;
    INVARIANT(started_ && checked_ == received_.size());
    INVARIANT(answered_ >= said_);
  }

 private:
  void say(std::string_view bytes) {
    while (!bytes.empty() && !ended_) {
      const std::size_t length = length_of(bytes);
      const char type = bytes[0];
      asked_ += type == 'Q' || type == 'S' || type == 'F' ? 1 : 0;
      session_->on_message({.type = type,
                            .body = bytes.substr(message_header_bytes, length - 4),
                            .body_bytes = static_cast<std::uint32_t>(length - 4)});
      bytes.remove_prefix(length + 1);
    }
    if (!ended_) session_->on_batch_end();
  }

  void take(char type, std::string_view body) {
    constexpr std::string_view types("123nstTDCEISZGHcdVNA");
    INVARIANT(types.find(type) != std::string_view::npos);
    // Whoever has a link to itself is told what the server says there.
    const bool own_link = context_.session_mode || context_.pins.count > 0;
    INVARIANT(type != reply::notification || listens_ || own_link);
    ErrorFields fields;
    char status = 0;
    if (type == reply::error) INVARIANT(decode_error(body, fields));
    if (type == reply::copy_in) asked_for_data_ = copied_ = true;
    heard_ = heard_ || std::string_view("CEIsV").find(type) != std::string_view::npos;
    if (type != reply::ready) return;
    INVARIANT(decode_ready(body, status));
    INVARIANT(std::exchange(heard_, false) || copied_);  // the Sync behind a COPY has no answer
    ++answered_;
    INVARIANT(answered_ <= asked_);
  }

  void on_started(std::span<const std::pair<std::string, std::string>>) override {
    INVARIANT(!started_ && !ended_);
    started_ = true;
  }
  void send(std::string_view bytes) override {
    INVARIANT(started_ && !ended_);
    received_ += bytes;
  }
  void flush() override {}
  std::size_t unsent() const override { return 0; }
  void notify_when_drained(std::size_t) override {}
  void set_taking(bool) override {}
  void end(const Error&) override {
    INVARIANT(!ended_);
    ended_ = true;
  }
  void on_at_rest() override {}

  const RelayContext& context_;
  std::vector<std::string> units_;
  bool listens_;
  bool at_once_;
  std::unique_ptr<Relay> session_;
  std::string received_;
  std::size_t checked_ = 0;
  std::size_t said_ = 0;      // units
  std::size_t asked_ = 0;     // messages that a ReadyForQuery answers
  std::size_t answered_ = 0;  // ReadyForQuery
  bool asked_for_data_ = false;
  bool copied_ = false;
  bool heard_ = false;  // an answer in the unit that is being answered
  bool started_ = false;
  bool ended_ = false;
};

struct World {
  explicit World(std::string_view bytes) {
    const std::size_t mark = bytes.find(listener_mark);
    stream.left = bytes.substr(0, mark);
    if (mark != bytes.npos) notifications.left = bytes.substr(mark + listener_mark.size());
    static_cast<void>(types.load());  // nobody answers it
    pool.start();
  }
  ~World() {
    clients.clear();
    listener.stop();
    pool.stop();
    for (int i = 0; i < 8 && !pool.empty(); ++i) reactor.advance(seconds(60));
    INVARIANT(pool.empty() && listener.empty());
  }

  bool silent() const { return stream.left.empty() && notifications.left.empty(); }

  // One piece of each stream arrives.
  void turn(std::size_t bytes) {
    stream.ready = std::min(bytes, stream.left.size());
    notifications.ready = std::min(bytes, notifications.left.size());
    reactor.trigger(opener.fd, {.readable = true, .writable = false, .failed = false});
    reactor.trigger(listening.fd, {.readable = true, .writable = false, .failed = false});
    while (reactor.fire_due()) reactor.run_ready();
    reactor.run_ready();
    for (const auto& client : clients) {
      client->step();
      client->check();
    }
    reactor.run_ready();
  }

  FakeReactor reactor;
  NoLog log;
  Stream stream;
  FuzzOpener opener{stream, reactor, 1'000'000};
  Stream notifications;
  FuzzOpener listening{notifications, reactor, 2'000'000};
  TypeCatalogue types;
  static PoolSettings settings() {
    PoolSettings made;
    made.name = "app";
    made.max_size = 1;
    made.link = {.start_timeout = seconds(10),
                 .cleanup_timeout = seconds(5),
                 .statements_cached_max = 2,
                 .message_bytes_max = 256};
    return made;
  }
  Pool pool{settings(), opener, types, reactor, log};
  Listener listener{{.name = "app",
                     .wait_timeout = seconds(10),
                     .linger = seconds(60),
                     .channels_max = 1,
                     .link = settings().link},
                    listening,
                    reactor,
                    log};
  sql::StatementTable texts{Dialect::postgres};
  Pins pins;
  RelayContext context{.leases = pool,
                       .pins = pins,
                       .reactor = reactor,
                       .log = log,
                       .texts = texts,
                       .pool = "app",
                       .lease_timeout = seconds(30),
                       .connect_timeout = seconds(10),
                       .settings_timeout = seconds(5),
                       .idle_in_transaction = seconds(60),
                       .prepared_max = 10,
                       .notification_queue = 64};
  std::vector<std::unique_ptr<FuzzClient>> clients;
};

}  // namespace

void fuzz_server(std::string_view input) {
  if (input.size() < 3) return;
  const auto byte = [input](std::size_t i) { return static_cast<unsigned char>(input[i]); };
  const std::size_t piece = 1 + byte(0) % 64;
  World world(input.substr(3));
  world.context.verify_release = (byte(2) & 4) != 0;
  world.context.stack.nested = (byte(2) & 8) != 0;
  if ((byte(2) & 16) != 0) world.context.listener = &world.listener;
  world.context.session_mode = (byte(2) & 32) != 0;
  world.stream.waits = world.notifications.waits = (byte(2) & 64) != 0;
  for (const unsigned number : {byte(1) & 15u, byte(1) / 16u}) {
    if (!world.clients.empty() && (byte(2) & 128) != 0) break;
    world.clients.push_back(
        std::make_unique<FuzzClient>(world.context, number, (byte(2) & 1) != 0));
  }
  for (std::size_t turns = 0; !world.silent() && turns < input.size(); ++turns) {
    if (turns == 4 && (byte(2) & 2) != 0) world.clients[0]->cancel();
    world.turn(piece);
  }
  // The server is gone, and no deadline is further away.
  world.stream.left = world.notifications.left = {};
  for (int i = 0; i < 16; ++i) {
    world.turn(0);
    world.reactor.advance(seconds(61));
  }
  for (const auto& client : world.clients) client->check_end();
}

}  // namespace based::postgres
