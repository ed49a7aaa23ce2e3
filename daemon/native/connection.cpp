#include "daemon/native/connection.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <chrono>
#include <utility>

namespace based::native {
namespace {

constexpr std::size_t cancel_key_bytes = 16;

// It does not wait: Users has had random bytes before the first client.
std::string random_key() {
  std::string key(cancel_key_bytes, '\0');
  INVARIANT(getrandom(key.data(), key.size(), 0) == static_cast<ssize_t>(key.size()));
  return key;
}

std::uint64_t milliseconds(Duration duration) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

}  // namespace

Error NativeConnection::ending_error() {
  return Error::make(sqlstate::admin_shutdown, "the daemon is ending")
      .with_scope(ErrorScope::session)
      .as_retryable();
}

NativeConnection::NativeConnection(NativeFrontEnd& front_end, Transport& transport,
                                   std::uint64_t id, const Error* turned_away)
    : front_end_(front_end),
      transport_(transport),
      id_(id),
      turned_away_(turned_away),
      wait_owner_(front_end.waits(), transport.peer()),
      frames_(hello_payload_max),
      accepted_(front_end.reactor().now()),
      last_heard_(accepted_),
      last_asked_(accepted_) {}

NativeConnection::~NativeConnection() { front_end_.forget(id_); }

void NativeConnection::transition(State to) {
  constexpr std::array<std::array<bool, 5>, 5> edges{{
      // preface hello proving ready closing
      {false, true, false, false, true},    // preface
      {false, false, true, true, true},     // hello
      {false, false, false, true, true},    // proving
      {false, false, false, false, true},   // ready
      {false, false, false, false, false},  // closing
  }};
  INVARIANT(edges[static_cast<std::size_t>(state_)][static_cast<std::size_t>(to)]);
  state_ = to;
}

void NativeConnection::on_bytes(std::string_view bytes) {
  last_heard_ = front_end_.reactor().now();
  asked_.reset();
  take_bytes(bytes);
  // Statements pause long before. Answers to PING and their like cannot, so who asks for more and
  // more of them without reading is not heard until it does.
  if (state_ == State::closing || transport_.unsent() <= unsent_max()) return;
  output_full();
  hears_ = false;
  transport_.set_reading(false);
}

std::size_t NativeConnection::unsent_max() const {
  return 4 * limits().output_bytes + client_frame_bytes_max_;
}

void NativeConnection::take_bytes(std::string_view bytes) {
  if (state_ == State::preface) {
    const PrefaceReader::State read = preface_.feed(bytes);
    if (read == PrefaceReader::State::more) return;
    const std::uint8_t version =
        read == PrefaceReader::State::whole ? choose_version(preface_.preface()) : 0;
    transport_.send(encode_server_preface(version));
    if (version == 0) {
      transition(State::closing);
      return transport_.close(read == PrefaceReader::State::whole ? "no version in common"
                                                                  : "wrong magic");
    }
    transition(State::hello);
  }
  if (state_ == State::closing) return;
  frames_.feed(bytes);
  Frame frame;
  while (state_ != State::closing) {
    const FrameBuffer::Scan scan = frames_.next(frame);
    if (scan == FrameBuffer::Scan::more) return;
    if (scan == FrameBuffer::Scan::too_long) {
      return fail_connection(
          frame.header, Error::make(sqlstate::program_limit_exceeded,
                                    fmt::format("a payload of {} bytes is longer than the limit",
                                                frame.header.payload_bytes)));
    }
    take_frame(frame);
  }
}

void NativeConnection::take_frame(const Frame& frame) {
  const FrameHeader& header = frame.header;
  if (!is_known(header.type)) {
    if (header.has(flags::ignorable)) return;
    return fail_connection(header, Error::make(sqlstate::protocol_violation,
                                               fmt::format("unknown frame type {}",
                                                           static_cast<unsigned>(header.type))));
  }
  if (header.type == MessageType::ping && header.has(flags::reply)) return;
  if (!is_request(header.type)) {
    return fail_connection(
        header, Error::make(sqlstate::protocol_violation,
                            fmt::format("{} is for servers to send", name_of(header.type))));
  }
  if (!is_in_place(header)) return;
  if (header.request <= last_request_) {
    return fail_connection(
        header, Error::make(sqlstate::protocol_violation,
                            fmt::format("request number {} does not increase", header.request)));
  }
  last_request_ = header.request;
  last_asked_ = last_heard_;
  ++front_end_.counters().requests;
  if (state_ == State::hello) return take_hello(frame);
  if (state_ == State::proving) return take_auth(frame);
  take_request(frame);
}

// May a request of this type come now? If not, the connection has failed.
bool NativeConnection::is_in_place(const FrameHeader& header) {
  const MessageType type = header.type;
  if (state_ == State::hello) {
    if (type == MessageType::hello) return true;
    fail_connection(header,
                    Error::make(sqlstate::protocol_violation, "the first frame must be HELLO"));
    return false;
  }
  if (type == MessageType::hello) {
    fail_connection(header, Error::make(sqlstate::protocol_violation, "HELLO comes once"));
    return false;
  }
  if (state_ == State::proving) {
    if (type == MessageType::auth) return true;
    refuse_login(header, Error::make(sqlstate::invalid_authorization,
                                     fmt::format("{} before authentication", name_of(type))));
    return false;
  }
  if (type != MessageType::auth) return true;
  fail_connection(header,
                  Error::make(sqlstate::protocol_violation, "nobody asked for authentication"));
  return false;
}

void NativeConnection::take_hello(const Frame& frame) {
  const Result<Hello> hello = decode_hello(frame.payload);
  if (!hello) return fail_connection(frame.header, hello.error());
  if (turned_away_ != nullptr) return end_with(frame.header, *turned_away_);
  if (hello->frame_bytes_max != 0) client_frame_bytes_max_ = hello->frame_bytes_max;
  if (log().enabled(LogLevel::debug)) {
    log().write(LogLevel::debug,
                fmt::format("client {}: connection {} of {}", peer(), id_,
                            hello->client.empty() ? "an unnamed program" : hello->client));
  }
  user_ = hello->user;
  const Users& users = front_end_.users();
  const AuthMethod method = users.method(transport_.peer());
  if (method != AuthMethod::scram) {
    const Result<void> known = users.check(method, user_, transport_.peer_user());
    return known ? begin(frame.header.request) : refuse_login(frame.header, known.error());
  }
  if (user_.empty()) {
    return refuse_login(frame.header,
                        Error::make(sqlstate::invalid_authorization, "HELLO names no user"));
  }
  login_ = std::make_unique<Login>(
      Login{.exchange = ScramExchange(users.verifier(user_), Users::make_nonce())});
  transition(State::proving);
  welcome(frame.header.request, scram_mechanism, {});
}

void NativeConnection::take_auth(const Frame& frame) {
  const Result<Auth> auth = decode_auth(frame.payload);
  if (!auth) return refuse_login(frame.header, auth.error());
  if (login_->challenged) {
    const Result<std::string> answer = login_->exchange.final(auth->data);
    login_.reset();
    if (answer) return begin(frame.header.request, *answer);
    const bool wrong = answer.error().sqlstate == sqlstate::invalid_password;
    return refuse_login(frame.header, wrong ? wrong_password(user_) : answer.error());
  }
  if (auth->mechanism != scram_mechanism) {
    return refuse_login(frame.header,
                        Error::make(sqlstate::protocol_violation,
                                    fmt::format("the first AUTH must choose {}", scram_mechanism)));
  }
  const Result<std::string> answer = login_->exchange.first(auth->data);
  if (!answer) return refuse_login(frame.header, answer.error());
  login_->challenged = true;
  std::string payload;
  encode(Auth{.data = *answer, .mechanism = {}}, payload);
  send(MessageType::auth, 0, frame.header.request, payload);
}

void NativeConnection::refuse_login(const FrameHeader& at, const Error& error) {
  login_.reset();
  fail_connection(at, error);
}

// The client is known, and may ask.
void NativeConnection::begin(std::uint32_t request, std::string_view auth_data) {
  transition(State::ready);
  frames_.set_payload_bytes_max(limits().frame_bytes);
  cancel_key_ = random_key();
  welcome(request, "ok", auth_data);
  if (front_end_.draining()) drain(front_end_.drain_until());
}

// Who is not known yet hears of limits only.
void NativeConnection::welcome(std::uint32_t request, std::string_view auth,
                               std::string_view auth_data) {
  const std::string grease = front_end_.meaningless_feature();
  const NativeLimits& ours = limits();
  Welcome welcome;
  welcome.server = "based " BASED_VERSION;
  welcome.connection = id_;
  welcome.cancel_key = cancel_key_;
  welcome.auth = auth;
  welcome.auth_data = auth_data;
  welcome.features = {"join", grease};
  welcome.limits = {.frame_bytes = ours.frame_bytes,
                    .sessions = ours.sessions,
                    .requests = ours.requests,
                    .request_bytes = ours.request_bytes,
                    .parameters = parameters_max,
                    .statements = statements_max,
                    .depth = ours.depth,
                    .nesting = nesting_max,
                    .handshake_ms = milliseconds(ours.handshake),
                    .ping_ms = milliseconds(ours.ping),
                    .statement_timeout_ms = ours.statement_timeout_ms,
                    .queue_timeout_ms = ours.queue_timeout_ms,
                    .idle_in_transaction_ms = ours.idle_in_transaction_ms};
  if (state_ == State::ready) add_databases(welcome);
  std::string payload;
  encode(welcome, payload);
  send(MessageType::welcome, 0, request, payload);
}

void NativeConnection::add_databases(Welcome& welcome) const {
  const auto usable = databases();
  for (const auto* entry : usable) {
    const Database* database = entry->database.get();
    welcome.databases.push_back(
        {.name = database->name(),
         .backend = database->dialect() == Dialect::postgres ? "postgresql" : "sqlite",
         .force_rollback = database->force_rollback()});
  }
  // The timeouts that are announced are the default's.
  if (usable.empty() || usable.front() == &front_end_.databases().all().front()) return;
  const DatabaseTimeouts& timeouts = usable.front()->timeouts;
  welcome.limits.statement_timeout_ms = milliseconds(timeouts.statement);
  welcome.limits.queue_timeout_ms = milliseconds(timeouts.queue);
  welcome.limits.idle_in_transaction_ms = milliseconds(timeouts.idle_in_transaction);
}

// Those that the client may use, its default first.
std::vector<const DatabaseDirectory::Entry*> NativeConnection::databases() const {
  std::vector<const DatabaseDirectory::Entry*> usable;
  for (const auto& entry : front_end_.databases().all()) {
    if (front_end_.users().may_use(user_, entry.database->name())) usable.push_back(&entry);
  }
  return usable;
}

TransactionReport NativeConnection::transaction_of(std::uint32_t session) const {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? TransactionReport{} : found->second->transaction();
}

void NativeConnection::send_end(const FrameHeader& to, const End& end) {
  std::string payload;
  End complete = end;
  complete.transaction = transaction_of(to.session);
  encode(complete, payload);
  send(MessageType::end, to.session, to.request, payload);
}

void NativeConnection::send_error(const FrameHeader& to, const Error& error) {
  ++front_end_.counters().errors;
  std::string payload;
  encode(Failure{.error = &error, .transaction = transaction_of(to.session), .step = std::nullopt},
         payload);
  send(MessageType::error, to.session, to.request, payload);
}

void NativeConnection::fail_connection(const FrameHeader& at, const Error& error) {
  log().write(LogLevel::warning,
              fmt::format("client {}: connection {} refused: {}", peer(), id_, error.message));
  end_with(at, error);
}

void NativeConnection::end_with(const FrameHeader& at, Error error) {
  error.scope = ErrorScope::connection;
  send_error({.type = at.type, .session = at.session, .request = at.request}, error);
  transition(State::closing);
  sessions_.clear();
  transport_.close(error.message);
}

void NativeConnection::on_drained() {
  waits_for_drain_ = false;
  if (!hears_) {
    hears_ = true;
    transport_.set_reading(true);
  }
  for (const auto& [number, session] : sessions_) session->on_drained();
}

void NativeConnection::on_closed(std::string_view reason) {
  if (log().enabled(LogLevel::debug)) {
    log().write(LogLevel::debug,
                fmt::format("client {}: connection {} closed, {}", peer(), id_, reason));
  }
  if (state_ != State::closing) transition(State::closing);
  sessions_.clear();
}

void NativeConnection::look_at_clock() {
  const TimePoint now = front_end_.reactor().now();
  if (state_ == State::preface || state_ == State::hello || state_ == State::proving) {
    if (now - accepted_ < limits().handshake) return;
    transition(State::closing);
    return transport_.close("no whole HELLO within the handshake's time");
  }
  if (state_ != State::ready) return;
  // Who was not asked is not closed, and a loop that stood still reads once more what may wait in
  // the socket: the look behind the one that finds a client overdue closes.
  if (asked_ && now - asked_->at >= limits().ping && std::exchange(asked_->overdue, true)) {
    transition(State::closing);
    sessions_.clear();
    return transport_.close("silent for two ping intervals");
  }
  // The answer to a PING of ours shows that the client lives, not that it needs us.
  const bool rests = limits().idle > Duration::zero() && now - last_asked_ >= limits().idle;
  if (rests && close_when_idle()) return;
  if (limits().ping > Duration::zero() && now - last_heard_ >= limits().ping && !asked_) {
    asked_ = Asked{.at = now};
    std::string payload;
    encode(Ping{}, payload);
    send(MessageType::ping, 0, 0, payload);
  }
}

void NativeConnection::drain(TimePoint deadline) {
  draining_ = true;
  if (state_ != State::ready) return;
  for (const auto& [number, session] : sessions_) session->drain();
  std::string payload;
  encode(Notice{.kind = NoticeKind::goaway,
                .reason = "shutdown",
                .deadline_ms = milliseconds(
                    std::max(deadline - front_end_.reactor().now(), Duration::zero()))},
         payload);
  send(MessageType::notice, 0, 0, payload);
  close_when_idle();
}

bool NativeConnection::close_when_idle() {
  if (state_ != State::ready) return false;
  for (const auto& [number, session] : sessions_) {
    if (!session->is_idle()) return false;
  }
  transition(State::closing);
  transport_.close(draining_ ? "the daemon is ending" : "idle for too long");
  return true;
}

void NativeConnection::end() {
  if (state_ != State::ready) {
    if (state_ != State::closing) transition(State::closing);
    return transport_.close("the daemon is ending");
  }
  for (const auto& [number, session] : sessions_) session->end(ending_error());
  transition(State::closing);
  sessions_.clear();
  transport_.close("the daemon is ending");
}

void NativeConnection::add_status(std::vector<SessionStatus>& sessions) const {
  for (const auto& [number, session] : sessions_) sessions.push_back(session->status());
}

void NativeConnection::send(MessageType type, std::uint32_t session, std::uint32_t request,
                            std::string_view payload) {
  std::array<char, header_bytes> header;
  encode_header({.payload_bytes = static_cast<std::uint32_t>(payload.size()),
                 .type = type,
                 .session = session,
                 .request = request},
                header.data());
  transport_.send({header.data(), header.size()});
  transport_.send(payload);
}

void NativeConnection::send_frames(std::string_view frames) { transport_.send(frames); }

void NativeConnection::send_final(MessageType type, std::uint32_t session, std::uint32_t request,
                                  std::string_view payload, std::size_t request_bytes) {
  INVARIANT(requests_ > 0 && request_bytes <= request_bytes_);
  --requests_;
  request_bytes_ -= request_bytes;
  if (type == MessageType::error) ++front_end_.counters().errors;
  send(type, session, request, payload);
  if (draining_ && requests_ == 0) {
    reactor().at_end_of_turn([&front_end = front_end_, id = id_] {
      if (NativeConnection* self = front_end.find(id)) self->close_when_idle();
    });
  }
}

void NativeConnection::closed(std::uint32_t session) {
  closed_.push_back(session);
  reactor().at_end_of_turn([&front_end = front_end_, id = id_] {
    if (NativeConnection* self = front_end.find(id)) self->reap();
  });
}

void NativeConnection::reap() {
  for (const std::uint32_t session : closed_) sessions_.erase(session);
  closed_.clear();
}

bool NativeConnection::output_full() {
  const std::size_t limit = limits().output_bytes;
  if (transport_.unsent() <= limit) return false;
  if (!waits_for_drain_) {
    waits_for_drain_ = true;
    transport_.notify_when_drained(limit / 2);
  }
  return true;
}

}  // namespace based::native
