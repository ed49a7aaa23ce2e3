// What a client asks: HELLO to STATUS. See messages.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/native/messagepack.h"
#include "protocol/native/parameters.h"
#include "protocol/result.h"

namespace based::native {

inline constexpr std::uint32_t features_max = 64;       // in one HELLO
inline constexpr std::uint32_t statements_max = 1'000;  // in one script or batch
inline constexpr std::size_t name_bytes_max = 255;      // client, label, database, level
inline constexpr std::int64_t milliseconds_max = 1'000ll * 86'400 * 365;

struct Hello {
  std::string_view client;  // "based-client.py 1.0": for people and logs
  std::string_view user;    // empty: none said
  std::vector<std::string_view> features;
  std::uint32_t frame_bytes_max = 0;  // largest payload the client takes; 0: it did not say
};
Result<Hello> decode_hello(std::string_view payload);
void encode(const Hello& hello, std::string& out);

// One step of a proof of who the client is, from either side.
struct Auth {
  std::string_view data;       // the mechanism's own message: text
  std::string_view mechanism;  // with the client's first step; empty: not said
};
Result<Auth> decode_auth(std::string_view payload);
void encode(const Auth& auth, std::string& out);

// How a level of the transaction stack begins, as the client wrote it.
struct LevelOptions {
  enum class Isolation : std::uint8_t {
    unset,
    read_uncommitted,
    read_committed,
    repeatable_read,
    serializable
  };
  enum class Locking : std::uint8_t { unset, deferred, immediate, exclusive };
  enum class IfOpen : std::uint8_t { nest, join, error };

  Isolation isolation = Isolation::unset;
  std::optional<bool> read_only;
  std::optional<bool> deferrable;
  Locking locking = Locking::unset;
  IfOpen if_open = IfOpen::nest;
  bool force_rollback = false;
  std::string_view name;
};

// Timeouts: none said means the database's own setting; 0 means no limit of the client's.
struct Open {
  std::string_view database;  // empty: the first one
  std::string_view sandbox;   // of that database, by its name; empty: none is named
  std::string_view label;
  bool share = false;     // END tells the token by which others join
  std::string_view join;  // such a token; empty: none
  bool read_only = false;
  // Present: an implicit transaction begins with the first statement, and CLOSE ends it.
  std::optional<LevelOptions> transaction;
  std::optional<std::uint64_t> statement_timeout_ms;
  std::optional<std::uint64_t> queue_timeout_ms;
  std::optional<std::uint64_t> idle_in_transaction_ms;
};
Result<Open> decode_open(std::string_view payload);
void encode(const Open& open, std::string& out);

struct Close {
  bool commit = false;  // of the implicit transaction
};
Result<Close> decode_close(std::string_view payload);
void encode(const Close& close, std::string& out);

struct RunOptions {
  std::optional<std::uint64_t> credit;  // rows to send before the first FETCH
  std::uint64_t max_rows = 0;           // of each statement; 0: all
  std::optional<std::uint64_t> timeout_ms;
  bool atomic = false;
};

struct Exec {
  std::string_view sql;  // no NUL in it
  ParametersView parameters;
  RunOptions options;
};
Result<Exec> decode_exec(std::string_view payload);
void encode(const Exec& exec, std::string& out);

// One statement of a batch. With `sets` it runs once for each of them.
struct BatchItem {
  std::string_view sql;
  ParametersView parameters;
  std::optional<ParameterSetsView> sets;
};

struct Batch {
  std::string_view items;  // encoded and checked: BatchCursor walks them
  std::uint32_t count = 0;
  RunOptions options;
  bool stop = true;  // at the first error
};
Result<Batch> decode_batch(std::string_view payload);
void encode(const Batch& batch, std::string& out);

class BatchCursor {
 public:
  explicit BatchCursor(const Batch& batch);
  bool next(BatchItem& item);  // false at the end

 private:
  MessagePackReader reader_;
  std::uint32_t left_;
};

enum class TxOp : std::uint8_t { begin, commit, rollback, rollback_all, status };

struct Tx {
  TxOp op = TxOp::status;
  LevelOptions options;  // begin
  // commit and rollback: the level that the client means, by its depth, its id, or both.
  std::optional<std::uint32_t> depth;  // 1 is the outermost
  std::optional<std::uint64_t> level;
};
Result<Tx> decode_tx(std::string_view payload);
void encode(const Tx& tx, std::string& out);

struct Fetch {
  std::uint32_t request = 0;
  std::uint64_t rows = 0;  // more credit; 0: discard the rest
};
Result<Fetch> decode_fetch(std::string_view payload);
void encode(const Fetch& fetch, std::string& out);

struct Cancel {
  std::uint32_t request = 0;  // 0: every request of the session in the header (0: of all sessions)
  std::optional<std::uint64_t> connection;  // another one than this; then `key` is its key
  std::string_view key;
};
Result<Cancel> decode_cancel(std::string_view payload);
void encode(const Cancel& cancel, std::string& out);

struct Ping {
  std::string_view echo;  // any one value, encoded; empty: none. The answer returns it
};
Result<Ping> decode_ping(std::string_view payload);
void encode(const Ping& ping, std::string& out);

struct StatusRequest {};
Result<StatusRequest> decode_status(std::string_view payload);
void encode(const StatusRequest& status, std::string& out);

// The bytes of one PING value at most: it is returned, and its sender may be anybody.
inline constexpr std::size_t ping_bytes_max = 1024;

// "read committed", ...; "" for unset.
std::string_view text_of(LevelOptions::Isolation isolation) noexcept;
std::string_view text_of(LevelOptions::Locking locking) noexcept;
std::string_view text_of(LevelOptions::IfOpen if_open) noexcept;
std::string_view text_of(TxOp op) noexcept;

}  // namespace based::native
