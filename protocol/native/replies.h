// What the daemon answers: WELCOME to NOTICE. See messages.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/native/messagepack.h"
#include "protocol/result.h"

namespace based::native {

// Whether something is in progress on the session, as every final frame says.
enum class TransactionState : std::uint8_t {
  idle,     // no level
  open,     // the top level takes statements
  failed,   // the top level takes only its rollback (and those of the levels around it)
  aborted,  // the whole stack is gone, and the client has not acknowledged it with a rollback
};
struct TransactionReport {
  TransactionState state = TransactionState::idle;
  std::uint32_t depth = 0;
};
std::string_view text_of(TransactionState state) noexcept;

struct DatabaseReport {
  std::string_view name;
  std::string_view backend;  // "postgresql", "sqlite"
  bool force_rollback = false;
};

// What the daemon promises and enforces. Times of 0 are off.
struct Limits {
  std::uint64_t frame_bytes = 0;    // payload, client to server
  std::uint64_t sessions = 0;       // open on the connection
  std::uint64_t requests = 0;       // of the connection without a final frame
  std::uint64_t request_bytes = 0;  // payloads of these together
  std::uint64_t parameters = 0;     // of one statement
  std::uint64_t statements = 0;     // of one script or batch
  std::uint64_t depth = 0;          // levels of a transaction stack
  std::uint64_t nesting = 0;        // arrays and maps of a payload
  std::uint64_t handshake_ms = 0;
  std::uint64_t ping_ms = 0;  // silence after which the server sends PING; twice: it closes
  std::uint64_t statement_timeout_ms = 0;
  std::uint64_t queue_timeout_ms = 0;
  std::uint64_t idle_in_transaction_ms = 0;
};

struct Welcome {
  std::string_view server;  // "based 0.1.0"
  std::uint64_t connection = 0;
  std::string_view cancel_key;  // bytes; empty: not given before the client is known
  std::string_view auth = "ok";
  std::string_view auth_data;  // the mechanism's last message to the client; empty: none
  std::vector<std::string_view> features;
  Limits limits;
  std::vector<DatabaseReport> databases;
};
void encode(const Welcome& welcome, std::string& out);
Result<Welcome> decode_welcome(std::string_view payload);

struct ColumnReport {
  std::string_view name;
  std::string_view type;
  std::uint32_t type_oid = 0;
};
struct Cols {
  std::uint32_t step = 0;  // index of the statement in its script or batch
  std::vector<ColumnReport> columns;
};
void encode(const Cols& cols, std::string& out);
Result<Cols> decode_cols(std::string_view payload);

struct Rows {
  std::uint32_t step = 0;
  std::uint32_t count = 0;
  std::string_view rows;  // encoded and checked: each an array of values
};
Result<Rows> decode_rows(std::string_view payload);

struct ResultReport {
  std::string_view tag;
  std::optional<std::int64_t> affected;
  std::optional<std::int64_t> last_insert_id;
  std::uint64_t rows = 0;
  bool truncated = false;
  const Error* error = nullptr;  // BATCH with stop: false only
};

// One level of the stack, the outermost first: TX status.
struct LevelReport {
  std::uint64_t level = 0;
  std::string_view name;
  TransactionState state = TransactionState::open;  // open or failed
  bool force_rollback = false;
  std::uint64_t age_ms = 0;
};

struct OpenedReport {
  std::string_view database;
  std::string_view backend;
  bool force_rollback = false;
  bool read_only = false;
  std::string_view token;  // of a session that is shared; empty: it is not
};

struct End {
  TransactionReport transaction;
  std::vector<ResultReport> results;   // EXEC and BATCH: one for each statement
  std::optional<std::uint64_t> level;  // TX begin: the id of the level that was made or joined
  bool joined = false;                 // TX begin: no level was made
  bool rolled_back = false;            // commit of a force_rollback level: TX, CLOSE
  std::optional<bool> found;           // FETCH, CANCEL
  std::optional<OpenedReport> opened;  // OPEN
  std::optional<std::vector<LevelReport>> levels;  // TX status
  std::string_view status;                         // STATUS: one encoded map
};
void encode(const End& end, std::string& out);

struct DecodedEnd {
  End end;
  std::vector<std::unique_ptr<Error>> errors;  // what the results point at
};
Result<DecodedEnd> decode_end(std::string_view payload);

struct Failure {
  const Error* error = nullptr;
  TransactionReport transaction;
  std::optional<std::uint32_t> step;           // which statement failed
  std::span<const ResultReport> results = {};  // of the statements before it
};
void encode(const Failure& failure, std::string& out);
struct DecodedFailure {
  Error error;
  TransactionReport transaction;
  std::optional<std::uint32_t> step;
  std::vector<ResultReport> results;
  std::vector<std::unique_ptr<Error>> errors;  // what the results point at
};
Result<DecodedFailure> decode_failure(std::string_view payload);

enum class NoticeKind : std::uint8_t {
  database,          // a NOTICE or WARNING of the database: severity, error
  goaway,            // the daemon is about to end: reason, deadline_ms
  transaction_lost,  // between requests the session's stack was rolled back: error, transaction
  state_lost,        // so was what the session had on its connection: error, transaction
};
std::string_view text_of(NoticeKind kind) noexcept;

struct Notice {
  NoticeKind kind = NoticeKind::database;
  std::string_view severity;
  const Error* error = nullptr;
  TransactionReport transaction;
  std::string_view reason;
  std::uint64_t deadline_ms = 0;
};
void encode(const Notice& notice, std::string& out);
struct DecodedNotice {
  std::string_view kind;  // one that this version does not know is to be ignored
  std::string_view severity;
  Error error;
  std::optional<TransactionReport> transaction;
  std::string_view reason;
  std::uint64_t deadline_ms = 0;
};
Result<DecodedNotice> decode_notice(std::string_view payload);

}  // namespace based::native
