// WireSession: a session that speaks PostgreSQL's protocol 3, whichever backend is behind it.
//
// The front end (daemon/postgres) has done start-up and authentication. From then on it gives the
// session the client's messages as they come, and the session gives back the server's messages as
// bytes, in PostgreSQL's order: PostgreSQL 15's manual, part VII, chapter "Frontend/Backend
// Protocol". Behind PostgreSQL they are the server's own bytes. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/reactor.h"
#include "protocol/result.h"

namespace based {

// One message of the client, without its type and length bytes; or a part of one that is too large
// to be kept. Its length has been checked against the protocol's limits and the front end's.
struct WireMessage {
  char type = 0;
  std::string_view body;         // valid during the call
  std::uint32_t body_bytes = 0;  // of the whole message
  bool first = true;
  bool last = true;

  bool whole() const { return first && last; }
};

// Where a session gives what the client is to read. The front end outlives its sessions.
class WireClient {
 public:
  virtual ~WireClient() = default;
  // Exactly once, unless end() comes first: the session is ready. The front end sends these
  // ParameterStatus messages, its own BackendKeyData and the first ReadyForQuery. May be called
  // inside WireSession::start().
  virtual void on_started(std::span<const std::pair<std::string, std::string>> parameters) = 0;
  // Bytes of server messages, whole ones or parts of a large one, in order. Flushed at the end of
  // the loop's turn. Never fails.
  virtual void send(std::string_view bytes) = 0;
  // What was sent goes to the client now: nothing is to follow until it asks.
  virtual void flush() = 0;
  // Bytes taken by send() that the client's socket has not. A session that finds it high pauses its
  // link or lane, and calls notify_when_drained().
  virtual std::size_t unsent() const = 0;
  virtual void notify_when_drained(std::size_t low) = 0;
  // The session can, or cannot, take more messages for now. While it cannot, on_message is not
  // called; what was already read waits in the front end, and the socket is not read.
  virtual void set_taking(bool on) = 0;
  // Has it sent more than its session was given?
  virtual bool has_more() const { return false; }
  // The conversation is over: the front end sends `error` as a FATAL ErrorResponse, unless the
  // session is in mid-message, and closes. The session is destroyed afterwards, never inside this
  // call.
  virtual void end(const Error& error) = 0;
  // The session has become at rest (see WireSession::at_rest). Only told after tell_when_at_rest().
  virtual void on_at_rest() = 0;
};

// When a session gives its link back: after each transaction, or at its end.
enum class PoolMode : std::uint8_t { of_database, transaction, session };

struct WireOptions {
  std::uint64_t session_id = 0;  // for logs, STATUS and errors that name the holder
  std::string client;            // the client's address
  std::string user;              // authenticated
  std::string database;          // as the client named it
  // What the start-up packet and its `options` set, in order, names in lower case: everything but
  // user, database, replication and _pq_.*. Values are plain text, not quoted.
  std::vector<std::pair<std::string, std::string>> settings;
  // What BackendKeyData says: the client knows itself under this number.
  std::int32_t process_id = 0;
  Duration statement_timeout{};                // zero: none
  Duration idle_in_transaction{};              // zero: the database's setting
  PoolMode pool_mode = PoolMode::of_database;  // where there is a pool
  std::uint64_t group = 0;  // of JoinTokens: whose transactions it joins; 0: nobody's
};

// Destroying it abandons the session, as it does for BackendSession: what runs is cancelled, its
// transaction and no other is rolled back.
class WireSession {
 public:
  virtual ~WireSession() = default;
  // Once, first: checks the settings where that needs the server, then WireClient::on_started, or
  // WireClient::end with the error that refuses the client (22023 and its like for a setting,
  // 57P03 where the server cannot be reached, 53300).
  virtual void start() = 0;
  // Every message after start-up but Terminate. Unknown types are the session's to refuse (08P01,
  // the end). REQUIRES that the session has started and is taking.
  virtual void on_message(const WireMessage& message) = 0;
  // No more messages are at hand for now: what was gathered is to be sent on.
  virtual void on_batch_end() = 0;
  // The client's cancel request, or a limit's. What is in flight ends with 57014 as soon as it can,
  // what still waits for a link or turn at once. Nothing in flight: no effect. Never hits a later
  // unit. `until_sent` is let go when the server has been asked, or has not to be.
  virtual void cancel(std::string_view reason, std::shared_ptr<const void> until_sent = {}) = 0;
  virtual void on_drained() = 0;
  // Nothing is in flight or begun, and no transaction is open: the client may be told to go.
  virtual bool at_rest() const = 0;
  // As its client sees it; a failed one too.
  virtual bool in_transaction() const = 0;
  virtual void tell_when_at_rest() = 0;
  // The last bytes that it sent are a part of a message, and the rest of it has not come: nothing
  // else can be sent to this client.
  virtual bool in_mid_message() const { return false; }
};

}  // namespace based
