#include "daemon/postgres/client.h"

#include <fmt/format.h>

#include <array>

#include "daemon/postgres/front_end.h"
#include "daemon/postgres/sqlite_session.h"
#include "protocol/check.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/body_reader.h"
#include "protocol/postgres/requests.h"

namespace based::postgres {
namespace {

constexpr std::uint16_t newest_minor = 2;
// Of a client that has not shown who it is.
constexpr CutterLimits limits_of_strangers{.whole_bytes = 4096, .part_bytes = 4096};
constexpr std::uint32_t authentication_sasl = 10;
constexpr std::uint32_t authentication_sasl_continue = 11;
constexpr std::uint32_t authentication_sasl_final = 12;

Error going_down() {
  return Error::make(sqlstate::admin_shutdown,
                     "terminating connection due to administrator command");
}

constexpr std::size_t read_ahead_max = 64 * 1024;
// A client whose statement runs for long may have gone behind what it has sent since.
constexpr std::size_t read_on_max = 2 * 1024 * 1024;
constexpr std::chrono::seconds read_on_after{1};

// Is it what a ReadyForQuery answers?
bool is_request(char type) {
  return type == request::query || type == request::sync || type == request::function_call;
}

}  // namespace

PostgresClient::PostgresClient(PostgresFrontEnd& front_end, Transport& transport,
                               const Error* turned_away)
    : front_end_(front_end),
      transport_(transport),
      turned_away_(turned_away),
      process_id_(front_end.enter(*this)),
      since_(front_end.reactor().now()),
      cutter_(limits_of_strangers) {}

PostgresClient::~PostgresClient() {
  if (canceller_) *canceller_ = nullptr;
  front_end_.leave(process_id_);
}

void PostgresClient::transition(State to) {
  constexpr std::array<std::array<bool, 6>, 6> edges{{
      // starting proving opening serving cancelling ended
      {false, true, true, false, true, true},     // starting
      {false, false, true, false, false, true},   // proving
      {false, false, false, true, false, true},   // opening
      {false, false, false, false, false, true},  // serving
      {false, false, false, false, false, true},  // cancelling
      {false, false, false, false, false, false},
  }};
  INVARIANT(edges[static_cast<std::size_t>(state_)][static_cast<std::size_t>(to)]);
  state_ = to;
  // The greeting has one deadline, whatever its steps.
  if (to != State::proving) since_ = front_end_.reactor().now();
}

// --- bytes

void PostgresClient::on_bytes(std::string_view bytes) {
  if (state_ == State::starting && !read_startup(bytes)) return;
  if (state_ == State::cancelling || state_ == State::ended || bytes.empty()) return;
  cutter_.feed(bytes);
  deliver();
  // What comes before the session has begun is kept, but not without end: on_started goes on.
  if (state_ == State::opening && !cutter_.empty()) transport_.set_reading(false);
}

// Start-up packets at the front of the bytes are taken. False: more are needed, or it is over.
bool PostgresClient::read_startup(std::string_view& bytes) {
  while (state_ == State::starting) {
    const std::size_t had = first_bytes_.size();
    std::size_t wanted = startup_head_bytes;
    if (had >= startup_head_bytes) wanted = decode_startup_head(first_bytes_)->length;
    const std::size_t taken = std::min(bytes.size(), wanted - had);
    first_bytes_ += bytes.substr(0, taken);
    bytes.remove_prefix(taken);
    if (first_bytes_.size() < startup_head_bytes) return false;
    const Result<StartupHead> head = decode_startup_head(first_bytes_);
    if (!head) return refuse(head.error()), false;
    if (first_bytes_.size() < head->length) {
      if (bytes.empty()) return false;
      continue;
    }
    const std::string packet = std::exchange(first_bytes_, {});
    if (!take_startup_packet(*head, std::string_view(packet).substr(startup_head_bytes),
                             !bytes.empty())) {
      return false;
    }
    if (bytes.empty()) return state_ != State::starting;
  }
  return true;
}

bool PostgresClient::take_startup_packet(const StartupHead& head, std::string_view body,
                                         bool more_follows) {
  const Result<StartupKind> kind = startup_kind(head);
  if (!kind) return refuse(kind.error()), false;
  switch (*kind) {
    case StartupKind::ssl:
      decline_encryption(ssl_declined_, more_follows || !body.empty());
      break;
    case StartupKind::gss_encryption:
      decline_encryption(gss_declined_, more_follows || !body.empty());
      break;
    case StartupKind::cancel:
      ask_for_cancel(body);
      return false;
    case StartupKind::start:
      start(head, body);
      break;
  }
  return state_ != State::ended;
}

// Whoever sends on before the answer would send in the clear what it meant to be encrypted.
void PostgresClient::decline_encryption(bool& declined, bool more_follows) {
  if (std::exchange(declined, true) || more_follows) {
    return refuse(Error::make(Sqlstate("08P01"), more_follows
                                                     ? "received unencrypted data after SSL request"
                                                     : "a request for encryption was sent twice"));
  }
  transport_.send("N");
}

void PostgresClient::start(const StartupHead& head, std::string_view body) {
  Result<Startup> startup = decode_startup(body);
  if (!startup) return refuse(startup.error());
  user_ = startup->user;
  database_ = startup->database.empty() ? startup->user : startup->database;
  minor_ = std::min(head.minor(), newest_minor);
  if (front_end_.draining()) return refuse(going_down());
  if (turned_away_ != nullptr) return end(*turned_away_);
  if (!startup->replication.empty() && startup->replication != "false" &&
      startup->replication != "off" && startup->replication != "0" &&
      startup->replication != "no") {
    return refuse(
        Error::make(sqlstate::feature_not_supported, "replication connections are not supported")
            .with_hint("Connect to the PostgreSQL server directly."));
  }
  negotiate(head, *startup);
  authenticate(*std::move(startup));
}

// Tells what of the client's wishes is not known here: exactly once, and only then.
void PostgresClient::negotiate(const StartupHead& head, const Startup& startup) {
  if (head.minor() <= newest_minor && startup.protocol_options.empty()) return;
  std::string message;
  BackendWriter(message).negotiate_version(3u << 16 | minor_, startup.protocol_options);
  transport_.send(message);
}

// --- who it is

void PostgresClient::authenticate(Startup startup) {
  const Users& users = front_end_.users();
  const AuthMethod method = users.method(transport_.peer());
  if (method != AuthMethod::scram) {
    const Result<void> checked = users.check(method, startup.user, transport_.peer_user());
    if (!checked) return refuse(checked.error());
    return open_session(std::move(startup));
  }
  ScramExchange exchange(users.verifier(startup.user), Users::make_nonce());
  proof_ = std::make_unique<Proof>(
      Proof{.startup = std::move(startup), .exchange = std::move(exchange)});
  transition(State::proving);
  std::string out;
  BackendWriter(out).authentication(authentication_sasl,
                                    std::string(scram_mechanism) + '\0' + '\0');
  transport_.send(out);
}

void PostgresClient::take_proof(const Piece& message) {
  if (message.type != request::password) {
    return refuse(Error::make(Sqlstate("08P01"), "expected SASL response, got message type " +
                                                     std::to_string(message.type)));
  }
  const bool last = proof_->begun;
  const Result<std::string> answer = answer_proof(message.bytes);
  if (!answer) {
    const bool wrong = answer.error().sqlstate == sqlstate::invalid_password;
    return refuse(wrong ? wrong_password(user_) : answer.error());
  }
  std::string out;
  BackendWriter(out).authentication(last ? authentication_sasl_final : authentication_sasl_continue,
                                    *answer);
  transport_.send(out);
  if (!last) return;
  Startup startup = std::move(proof_->startup);
  proof_.reset();
  open_session(std::move(startup));
}

Result<std::string> PostgresClient::answer_proof(std::string_view message) {
  if (std::exchange(proof_->begun, true)) return proof_->exchange.final(message);
  // SASLInitialResponse: a mechanism, then the client's first message with its length.
  BodyReader reader(message);
  const std::string_view mechanism = reader.take_text();
  const std::uint32_t length = reader.take32();
  const std::string_view first = reader.take_rest();
  if (!reader.ok() || first.size() != length) {
    return Error::make(Sqlstate("08P01"), "malformed SASL message");
  }
  if (mechanism != scram_mechanism) {
    return Error::make(Sqlstate("08P01"),
                       "client selected an invalid SASL authentication mechanism");
  }
  return proof_->exchange.first(first);
}

void PostgresClient::open_session(Startup startup) {
  take_sandbox_option(startup);
  DatabaseDirectory& databases = front_end_.databases();
  if (!front_end_.users().may_use(user_, databases.owner_of(database_))) {
    return refuse(not_permitted(user_, database_));
  }
  const Result<const DatabaseDirectory::Entry*> found =
      databases.find(database_, transport_.peer_pid());
  if (!found) return refuse(found.error());
  const DatabaseDirectory::Entry* entry = *found;
  use_.emplace(*entry);
  if (const Result<void> taken = take_join_options(startup, *entry->database); !taken) {
    return refuse(taken.error());
  }
  // Secrets of 3.2 may be longer, so that they cannot be guessed.
  secret_ = front_end_.random_bytes(minor_ >= 2 ? 32 : 4);
  WireOptions options{.session_id = static_cast<std::uint64_t>(process_id_),
                      .client = transport_.peer(),
                      .user = std::move(startup.user),
                      .database = database_,
                      .settings = std::move(startup.settings),
                      .process_id = process_id_,
                      .statement_timeout = entry->timeouts.statement,
                      .idle_in_transaction = entry->timeouts.idle_in_transaction,
                      .pool_mode = front_end_.users().pool_mode(user_),
                      .group = ticket_ ? ticket_->group() : 0};
  if (entry->database->dialect() == Dialect::sqlite) {
    session_ = open_sqlite_wire_session(
        *entry->database, std::move(options), *this, front_end_.reactor(),
        {.timeouts = entry->timeouts, .nested = entry->nested_transactions});
  } else {
    session_ = entry->database->open_wire_session(std::move(options), *this);
  }
  INVARIANT(session_ != nullptr);
  transition(State::opening);
  cutter_.set_limits(front_end_.limits().messages);
  session_->start();
}

void PostgresClient::on_started(std::span<const std::pair<std::string, std::string>> parameters) {
  if (state_ != State::opening) return;
  transition(State::serving);
  std::string out;
  BackendWriter writer(out);
  writer.authentication(0);
  for (const auto& [name, value] : parameters) writer.parameter_status(name, value);
  writer.key_data(static_cast<std::uint32_t>(process_id_), secret_);
  writer.ready('I');
  transport_.send(out);
  if (front_end_.draining()) return drain();
  if (taking_) transport_.set_reading(true);
  front_end_.go_on_soon(*this);  // it may have sent on already
}

// --- messages

void PostgresClient::deliver() {
  if (delivering_) return;
  if (state_ == State::serving && !taking_) return keep_for_later();
  delivering_ = true;
  Piece piece;
  MessageCutter::Cut cut = MessageCutter::Cut::need_more;
  while ((state_ == State::serving && taking_) || state_ == State::proving) {
    cut = cutter_.next(piece);
    if (cut != MessageCutter::Cut::piece) break;
    if (state_ == State::proving) {
      take_proof(piece);
      continue;
    }
    if (piece.type == request::terminate) {
      transition(State::ended);
      session_.reset();
      transport_.close("it said goodbye");
      break;
    }
    if (piece.last && is_request(piece.type)) ++front_end_.counters().requests;
    session_->on_message({.type = piece.type,
                          .body = piece.bytes,
                          .body_bytes = piece.body_bytes,
                          .first = piece.first,
                          .last = piece.last});
  }
  keep_for_later();
  delivering_ = false;
  if (state_ == State::ended || state_ == State::opening) return;
  if (state_ == State::serving) since_ = front_end_.reactor().now();
  if (cut == MessageCutter::Cut::bad_type) {
    return refuse(Error::make(
        sqlstate::protocol_violation,
        fmt::format("invalid frontend message type {}", static_cast<unsigned char>(piece.type))));
  }
  const bool too_large = cut == MessageCutter::Cut::too_large;
  if (cut == MessageCutter::Cut::bad_length || (too_large && state_ == State::proving)) {
    return refuse(Error::make(Sqlstate("08P01"), "invalid message length"));
  }
  if (too_large) {
    return end(Error::make(sqlstate::program_limit_exceeded, "a message is too long"));
  }
  if (state_ == State::serving) session_->on_batch_end();
}

// A client that goes is noticed by reading only: so what the session does not take yet is read too,
// up to a limit.
void PostgresClient::keep_for_later() {
  cutter_.keep();
  const std::size_t most = reads_on_ ? read_on_max : read_ahead_max;
  if (!taking_ && cutter_.kept_bytes() >= most) transport_.set_reading(false);
}

void PostgresClient::set_taking(bool on) {
  taking_ = on;
  if (!on) return;
  reads_on_ = false;
  transport_.set_reading(true);
  front_end_.go_on_soon(*this);
}

void PostgresClient::go_on() {
  if (state_ != State::serving || !taking_) return;
  cutter_.feed({});
  deliver();
}

void PostgresClient::on_drained() {
  if (state_ == State::serving) session_->on_drained();
}

// --- ends

void PostgresClient::refuse(const Error& error) {
  ++front_end_.counters().refused;
  front_end_.log().write(
      LogLevel::info, fmt::format("client {}: refused: {} ({})", transport_.peer(), error.message,
                                  error.sqlstate.text()));
  end(error);
}

void PostgresClient::end(const Error& error) {
  if (state_ == State::ended) return;
  // Inside of a row it would be taken for what is missing of the row.
  const bool hears = session_ == nullptr || !session_->in_mid_message();
  const bool speaks = hears && state_ != State::cancelling;
  transition(State::ended);
  std::string bytes;
  if (speaks) BackendWriter(bytes).error("FATAL", error);
  transport_.send(bytes);
  transport_.close(error.message);
}

void PostgresClient::on_closed(std::string_view) {
  if (state_ != State::ended) transition(State::ended);
  session_.reset();
}

void PostgresClient::look_at_clock() {
  const TimePoint now = front_end_.reactor().now();
  const PostgresLimits& limits = front_end_.limits();
  const bool strange =
      state_ == State::starting || state_ == State::proving || state_ == State::cancelling;
  if (strange && now - since_ >= limits.handshake) {
    transition(State::ended);
    transport_.close("no start-up packet in time");
  } else if (state_ == State::serving && limits.idle > Duration::zero() &&
             now - since_ >= limits.idle && session_->at_rest()) {
    end(Error::make(Sqlstate("57P05"), "terminating connection due to idle-session timeout"));
  } else if (state_ == State::serving && !taking_ && !reads_on_ && now - since_ >= read_on_after) {
    reads_on_ = true;
    transport_.set_reading(true);
  }
}

void PostgresClient::drain() {
  told_to_go_ = true;
  if (state_ == State::serving && !session_->at_rest()) return session_->tell_when_at_rest();
  if (state_ != State::opening) shut_down();
}

void PostgresClient::on_at_rest() {
  if (told_to_go_) shut_down();
}

void PostgresClient::shut_down() { end(going_down()); }

void PostgresClient::add_status(std::vector<SessionStatus>& sessions) const {
  constexpr std::array<std::string_view, 6> names{"starting", "proving",    "opening",
                                                  "serving",  "cancelling", "ended"};
  SessionStatus status;
  status.id = static_cast<std::uint64_t>(process_id_);
  status.client = transport_.peer();
  status.label = user_;
  status.database = database_;
  status.state = state_ == State::serving && session_->at_rest()
                     ? "idle"
                     : std::string(names[static_cast<std::size_t>(state_)]);
  const bool open = state_ == State::serving && session_->in_transaction();
  status.transaction = open ? "open" : "none";
  sessions.push_back(std::move(status));
}

}  // namespace based::postgres
