#include "tests/daemon/native/native_fixture.h"

#include <fmt/format.h>

#include "protocol/native/messagepack.h"
#include "tests/protocol/native/diagnostic.h"

namespace based::native {
namespace {

std::string show(const TransactionReport& report) {
  if (report.state == TransactionState::idle && report.depth == 0) return "idle";
  return fmt::format("{}/{}", text_of(report.state), report.depth);
}

std::string show(const std::vector<ResultReport>& results) {
  std::string text;
  for (const ResultReport& result : results) {
    if (!text.empty()) text += ", ";
    if (result.error != nullptr) {
      text += std::string(result.error->sqlstate.text());
      continue;
    }
    text += result.tag;
    if (result.rows > 0) text += fmt::format(" {}", result.rows);
    if (result.affected) text += fmt::format(" +{}", *result.affected);
    if (result.truncated) text += " truncated";
  }
  return text;
}

std::string show_end(std::string_view payload) {
  const auto decoded = decode_end(payload);
  REQUIRE(decoded.ok());
  const End& end = decoded->end;
  std::string text = "END " + show(end.transaction);
  if (!end.results.empty()) text += " [" + show(end.results) + "]";
  if (end.level) text += fmt::format(" level={}", *end.level);
  if (end.joined) text += " joined";
  if (end.rolled_back) text += " rolled_back";
  if (end.found) text += *end.found ? " found" : " not found";
  if (end.opened) text += fmt::format(" opened {}", end.opened->database);
  if (end.levels) {
    text += " levels";
    for (const LevelReport& level : *end.levels) {
      text += fmt::format(" {}:{}:{}", level.level, level.name, text_of(level.state));
    }
  }
  if (!end.status.empty()) text += " status";
  return text;
}

std::string show_error(std::string_view payload) {
  const auto decoded = decode_failure(payload);
  REQUIRE(decoded.ok());
  const Error& error = decoded->error;
  std::string text = fmt::format("ERROR {} {}", error.sqlstate.text(), show(decoded->transaction));
  if (error.scope == ErrorScope::transaction) text += " transaction";
  if (error.scope == ErrorScope::session) text += " session";
  if (error.scope == ErrorScope::connection) text += " connection";
  if (error.executed == Executed::unknown) text += " unknown";
  if (error.executed == Executed::yes) text += " executed";
  if (error.retryable) text += " retry";
  if (error.position) text += fmt::format(" at={}", *error.position);
  if (decoded->step) text += fmt::format(" step={}", *decoded->step);
  if (!decoded->results.empty()) text += " [" + show(decoded->results) + "]";
  return text;
}

std::string show_cols(std::string_view payload) {
  const auto cols = decode_cols(payload);
  REQUIRE(cols.ok());
  std::string text = cols->step == 0 ? "COLS" : fmt::format("COLS.{}", cols->step);
  for (const ColumnReport& column : cols->columns) text += ' ' + std::string(column.name);
  return text;
}

std::string show_rows(std::string_view payload) {
  const auto rows = decode_rows(payload);
  REQUIRE(rows.ok());
  std::string text = rows->step == 0 ? "ROWS" : fmt::format("ROWS.{}", rows->step);
  if (rows->count > 20) return text + fmt::format(" ({})", rows->count);
  MessagePackReader reader(rows->rows);
  for (std::uint32_t i = 0; i < rows->count; ++i) {
    std::uint32_t columns = 0;
    REQUIRE(reader.read_array(columns));
    std::string row;
    for (std::uint32_t c = 0; c < columns; ++c) {
      const std::string_view before = reader.rest();
      REQUIRE(reader.skip());
      const std::string shown = diagnostic(before.substr(0, before.size() - reader.rest().size()));
      row +=
          (c > 0 ? "," : "") + (shown.size() > 20 ? fmt::format("<{}>", shown.size() - 2) : shown);
    }
    text += ' ' + row;
  }
  return text;
}

std::string show_notice(std::string_view payload) {
  const auto notice = decode_notice(payload);
  REQUIRE(notice.ok());
  std::string text = "NOTICE " + std::string(notice->kind);
  if (notice->kind == "goaway") return text;
  text += ' ' + std::string(notice->error.sqlstate.text());
  if (notice->transaction) text += ' ' + show(*notice->transaction);
  return text;
}

void write_values(const std::vector<std::int64_t>& values, std::string& out) {
  MessagePackWriter writer(out);
  writer.array(values.size());
  for (const std::int64_t value : values) writer.integer(value);
}

void write_options(const RunOptions& options, bool stop, std::string& out) {
  MessagePackWriter writer(out);
  writer.map(5);
  writer.text("credit");
  options.credit ? writer.integer(static_cast<std::int64_t>(*options.credit)) : writer.null();
  writer.text("max_rows");
  writer.integer(static_cast<std::int64_t>(options.max_rows));
  writer.text("timeout_ms");
  options.timeout_ms ? writer.integer(static_cast<std::int64_t>(*options.timeout_ms))
                     : writer.null();
  writer.text("atomic");
  writer.boolean(options.atomic);
  writer.text("stop");
  writer.boolean(stop);
}

}  // namespace

std::string show_frame(const FrameHeader& header, std::string_view payload) {
  std::string text = header.request == 0 ? "" : fmt::format("#{} ", header.request);
  switch (header.type) {
    case MessageType::end:
      return text + show_end(payload);
    case MessageType::error:
      return text + show_error(payload);
    case MessageType::cols:
      return text + show_cols(payload);
    case MessageType::rows:
      return text + show_rows(payload);
    case MessageType::notice:
      return text + show_notice(payload);
    case MessageType::ping:
      return text + (header.has(flags::reply) ? "PONG " : "PING ") + diagnostic(payload);
    default:
      return text + std::string(name_of(header.type));
  }
}

Daemon::Daemon(FakeDatabase::Options options, NativeLimits limits_, Users users_)
    : limits(limits_), users(std::move(users_)) {
  auto made = std::make_unique<FakeDatabase>(reactor, std::move(options));
  database = made.get();
  databases.add(std::move(made), {});
  front_end = std::make_unique<NativeFrontEnd>(limits, databases, users, reactor, log);
}

Daemon::~Daemon() {
  for (const auto& transport : transports) transport->lose();
  transports.clear();
  CHECK(database->sessions() == 0);
  for (const std::string& violation : database->violations) CHECK(violation == "");
}

Client::Client(Daemon& daemon, bool greet, std::uint32_t frame_bytes_max) : daemon_(daemon) {
  daemon.transports.push_back(std::make_unique<FakeTransport>(daemon.reactor));
  transport_ = daemon.transports.back().get();
  transport_->handler = daemon.front_end->accept(*transport_);
  if (!greet) return;
  transport_->receive(encode_client_preface({.version_min = 1, .version_max = 1}));
  std::string payload;
  encode(Hello{.client = "test", .user = {}, .features = {}, .frame_bytes_max = frame_bytes_max},
         payload);
  raw(MessageType::hello, 0, payload);
  run();
  REQUIRE(connection != 0);
}

std::uint32_t Client::raw(MessageType type, std::uint32_t session, std::string_view payload,
                          std::uint8_t frame_flags) {
  std::string frame(header_bytes, '\0');
  encode_header({.payload_bytes = static_cast<std::uint32_t>(payload.size()),
                 .type = type,
                 .flags = frame_flags,
                 .session = session,
                 .request = ++request_},
                frame.data());
  frame += payload;
  transport_->receive(frame);
  return request_;
}

std::uint32_t Client::open(std::uint32_t session, const Open& options) {
  std::string payload;
  encode(options, payload);
  return raw(MessageType::open, session, payload);
}

std::uint32_t Client::close(std::uint32_t session, bool commit) {
  std::string payload;
  encode(Close{.commit = commit}, payload);
  return raw(MessageType::close, session, payload);
}

std::uint32_t Client::exec(std::uint32_t session, std::string_view sql, std::uint8_t frame_flags,
                           const RunOptions& options) {
  std::string payload;
  MessagePackWriter writer(payload);
  writer.array(3);
  writer.text(sql);
  writer.null();
  write_options(options, true, payload);
  return raw(MessageType::exec, session, payload, frame_flags);
}

std::uint32_t Client::exec_with(std::uint32_t session, std::string_view sql,
                                const std::vector<std::int64_t>& values) {
  std::string payload;
  MessagePackWriter writer(payload);
  writer.array(2);
  writer.text(sql);
  write_values(values, payload);
  return raw(MessageType::exec, session, payload);
}

std::uint32_t Client::exec_named(std::uint32_t session, std::string_view sql,
                                 const std::vector<std::pair<std::string, std::int64_t>>& values) {
  std::string payload;
  MessagePackWriter writer(payload);
  writer.array(2);
  writer.text(sql);
  writer.map(values.size());
  for (const auto& [name, value] : values) {
    writer.text(name);
    writer.integer(value);
  }
  return raw(MessageType::exec, session, payload);
}

std::uint32_t Client::batch(std::uint32_t session, const std::vector<Item>& items, bool stop,
                            bool atomic, std::uint8_t frame_flags) {
  std::string payload;
  MessagePackWriter writer(payload);
  writer.array(2);
  writer.array(items.size());
  for (const Item& item : items) {
    writer.array(item.sets ? 3 : 1);
    writer.text(item.sql);
    if (!item.sets) continue;
    writer.null();
    writer.array(item.sets->size());
    for (const auto& values : *item.sets) write_values(values, payload);
  }
  RunOptions options;
  options.atomic = atomic;
  write_options(options, stop, payload);
  return raw(MessageType::batch, session, payload, frame_flags);
}

std::uint32_t Client::tx(std::uint32_t session, const Tx& tx, std::uint8_t frame_flags) {
  std::string payload;
  encode(tx, payload);
  return raw(MessageType::tx, session, payload, frame_flags);
}

std::uint32_t Client::tx(std::uint32_t session, TxOp op, std::uint8_t frame_flags) {
  Tx request;
  request.op = op;
  return tx(session, request, frame_flags);
}

std::uint32_t Client::fetch(std::uint32_t session, std::uint32_t request, std::uint64_t rows) {
  std::string payload;
  encode(Fetch{.request = request, .rows = rows}, payload);
  return raw(MessageType::fetch, session, payload);
}

std::uint32_t Client::cancel(std::uint32_t session, const Cancel& cancel) {
  std::string payload;
  encode(cancel, payload);
  return raw(MessageType::cancel, session, payload);
}

std::uint32_t Client::ping(std::string_view echo) {
  std::string payload;
  encode(Ping{.echo = echo}, payload);
  return raw(MessageType::ping, 0, payload);
}

std::uint32_t Client::status() {
  std::string payload;
  encode(StatusRequest{}, payload);
  return raw(MessageType::status, 0, payload);
}

Lines Client::run() {
  daemon_.reactor.run_ready();
  return take_frames();
}

Lines Client::take_frames() {
  Lines lines;
  const std::string& sent = transport_->sent;
  if (!preface_seen_ && sent.size() >= preface_bytes) {
    preface_seen_ = true;
    shown_ = preface_bytes;
  }
  while (preface_seen_ && sent.size() - shown_ >= header_bytes) {
    const FrameHeader header = decode_header(sent.data() + shown_);
    REQUIRE(sent.size() - shown_ - header_bytes >= header.payload_bytes);
    const std::string_view payload(sent.data() + shown_ + header_bytes, header.payload_bytes);
    shown_ += header_bytes + header.payload_bytes;
    if (header.type == MessageType::welcome) {
      const auto welcome = decode_welcome(payload);
      REQUIRE(welcome.ok());
      connection = welcome->connection;
      cancel_key = welcome->cancel_key;
      if (!with_welcome) continue;
    }
    lines.push_back(show_frame(header, payload));
  }
  return lines;
}

Lines Client::answers_to(std::uint32_t request, const Lines& lines) const {
  Lines found;
  const std::string number = fmt::format("#{} ", request);
  for (const std::string& line : lines) {
    if (line.rfind(number, 0) == 0) found.push_back(line.substr(number.size()));
  }
  return found;
}

}  // namespace based::native
