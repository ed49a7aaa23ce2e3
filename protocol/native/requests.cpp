#include "protocol/native/requests.h"

#include <limits>

#include "protocol/native/frame.h"
#include "protocol/native/payload_reader.h"

namespace based::native {
namespace {

using enum LevelOptions::Isolation;

constexpr std::array<Word<LevelOptions::Isolation>, 4> isolations{{
    {read_uncommitted, "read uncommitted"},
    {read_committed, "read committed"},
    {repeatable_read, "repeatable read"},
    {serializable, "serializable"},
}};

constexpr std::array<Word<LevelOptions::Locking>, 3> lockings{{
    {LevelOptions::Locking::deferred, "deferred"},
    {LevelOptions::Locking::immediate, "immediate"},
    {LevelOptions::Locking::exclusive, "exclusive"},
}};

constexpr std::array<Word<LevelOptions::IfOpen>, 3> if_opens{{
    {LevelOptions::IfOpen::nest, "nest"},
    {LevelOptions::IfOpen::join, "join"},
    {LevelOptions::IfOpen::error, "error"},
}};

constexpr std::array<Word<TxOp>, 5> tx_ops{{
    {TxOp::begin, "begin"},
    {TxOp::commit, "commit"},
    {TxOp::rollback, "rollback"},
    {TxOp::rollback_all, "rollback_all"},
    {TxOp::status, "status"},
}};

bool read_name(MessagePackReader& reader, std::string_view& name) {
  if (!reader.read_text(name)) return false;
  if (name.size() > name_bytes_max) {
    return reader.fail(sqlstate::program_limit_exceeded, "the name is longer than 255 bytes");
  }
  if (name.find('\0') != std::string_view::npos) {
    return reader.fail(sqlstate::character_not_in_repertoire, "NUL is not allowed in a name");
  }
  return true;
}

bool read_sql(MessagePackReader& reader, std::string_view& sql) {
  if (!reader.read_text(sql)) return false;
  if (sql.find('\0') != std::string_view::npos) {
    return reader.fail(sqlstate::character_not_in_repertoire, "NUL is not allowed in SQL text");
  }
  return true;
}

template <typename T>
bool read_number(MessagePackReader& reader, std::int64_t least, std::int64_t most, T& into) {
  std::int64_t number = 0;
  if (!reader.read_between(least, most, number)) return false;
  into = static_cast<T>(number);
  return true;
}

bool read_timeout(MessagePackReader& reader, std::optional<std::uint64_t>& into) {
  std::uint64_t milliseconds = 0;
  if (!read_number(reader, 0, milliseconds_max, milliseconds)) return false;
  return into = milliseconds, true;
}

bool read_flag(MessagePackReader& reader, std::optional<bool>& into) {
  bool flag = false;
  if (!reader.read(flag)) return false;
  return into = flag, true;
}

constexpr std::int64_t rows_most = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t id_most = std::numeric_limits<std::uint32_t>::max();

constexpr std::array<Option<Hello>, 4> hello_options{{
    {"client", [](MessagePackReader& r, Hello& x) { return read_name(r, x.client); }},
    {"user", [](MessagePackReader& r, Hello& x) { return read_name(r, x.user); }},
    {"features",
     [](MessagePackReader& r, Hello& x) {
       std::uint32_t count = 0;
       if (!r.read_array(count)) return false;
       if (count > features_max) {
         return r.fail(sqlstate::program_limit_exceeded, "there are more than 64 features");
       }
       for (std::uint32_t i = 0; i < count; ++i) {
         if (!read_name(r, x.features.emplace_back())) return false;
       }
       return true;
     }},
    {"frame_bytes_max",
     [](MessagePackReader& r, Hello& x) {
       return read_number(r, client_payload_min, id_most, x.frame_bytes_max);
     }},
}};

// OPEN's implicit transaction is read by the same table: what only ends a level is ignored there.
constexpr std::array<Option<Tx>, 9> tx_options{{
    {"isolation",
     [](MessagePackReader& r, Tx& x) {
       return read_word(r, isolations, x.options.isolation,
                        "read uncommitted, read committed, repeatable read or serializable is "
                        "expected");
     }},
    {"read_only", [](MessagePackReader& r, Tx& x) { return read_flag(r, x.options.read_only); }},
    {"deferrable", [](MessagePackReader& r, Tx& x) { return read_flag(r, x.options.deferrable); }},
    {"locking",
     [](MessagePackReader& r, Tx& x) {
       return read_word(r, lockings, x.options.locking,
                        "deferred, immediate or exclusive is expected");
     }},
    {"if_open",
     [](MessagePackReader& r, Tx& x) {
       return read_word(r, if_opens, x.options.if_open, "nest, join or error is expected");
     }},
    {"force_rollback",
     [](MessagePackReader& r, Tx& x) { return r.read(x.options.force_rollback); }},
    {"name", [](MessagePackReader& r, Tx& x) { return read_name(r, x.options.name); }},
    {"depth",
     [](MessagePackReader& r, Tx& x) { return read_number(r, 1, id_most, x.depth.emplace()); }},
    {"level",
     [](MessagePackReader& r, Tx& x) { return read_number(r, 1, rows_most, x.level.emplace()); }},
}};

constexpr std::array<Option<Open>, 10> open_options{{
    {"database", [](MessagePackReader& r, Open& x) { return read_name(r, x.database); }},
    {"sandbox", [](MessagePackReader& r, Open& x) { return read_name(r, x.sandbox); }},
    {"label", [](MessagePackReader& r, Open& x) { return read_name(r, x.label); }},
    {"share", [](MessagePackReader& r, Open& x) { return r.read(x.share); }},
    {"join", [](MessagePackReader& r, Open& x) { return read_name(r, x.join); }},
    {"read_only", [](MessagePackReader& r, Open& x) { return r.read(x.read_only); }},
    {"transaction",
     [](MessagePackReader& r, Open& x) {
       Tx tx;
       std::string_view key;
       if (!read_options(r, tx_options, tx, key)) return false;
       return x.transaction = tx.options, true;
     }},
    {"statement_timeout_ms",
     [](MessagePackReader& r, Open& x) { return read_timeout(r, x.statement_timeout_ms); }},
    {"queue_timeout_ms",
     [](MessagePackReader& r, Open& x) { return read_timeout(r, x.queue_timeout_ms); }},
    {"idle_in_transaction_ms",
     [](MessagePackReader& r, Open& x) { return read_timeout(r, x.idle_in_transaction_ms); }},
}};

constexpr std::array<Option<Close>, 1> close_options{{
    {"commit", [](MessagePackReader& r, Close& x) { return r.read(x.commit); }},
}};

constexpr std::array<Option<Batch>, 5> batch_options{{
    {"credit", [](MessagePackReader& r,
                  Batch& x) { return read_number(r, 1, rows_most, x.options.credit.emplace()); }},
    {"max_rows", [](MessagePackReader& r,
                    Batch& x) { return read_number(r, 0, rows_most, x.options.max_rows); }},
    {"timeout_ms",
     [](MessagePackReader& r, Batch& x) { return read_timeout(r, x.options.timeout_ms); }},
    {"atomic", [](MessagePackReader& r, Batch& x) { return r.read(x.options.atomic); }},
    {"stop", [](MessagePackReader& r, Batch& x) { return r.read(x.stop); }},
}};

// EXEC takes what BATCH takes; a script always stops at its first error.
bool read_run_options(PayloadReader& payload, RunOptions& options, bool& stop) {
  Batch batch;
  if (!payload.options(batch_options, batch)) return false;
  options = batch.options;
  stop = batch.stop;
  return true;
}

bool read_item(MessagePackReader& reader, BatchItem& item) {
  item = BatchItem();
  std::uint32_t elements = 0;
  if (!reader.read_array(elements)) return false;
  if (elements == 0) {
    return reader.fail(sqlstate::protocol_violation, "a batch item has no SQL text");
  }
  if (!read_sql(reader, item.sql)) return false;
  if (elements > 1 && !ParametersView::read(reader, item.parameters)) return false;
  if (elements > 2 && !reader.take_null()) {
    if (!ParameterSetsView::read(reader, item.sets.emplace())) return false;
    if (item.parameters.count() > 0) {
      return reader.fail(sqlstate::invalid_parameter_value,
                         "a batch item has parameters or parameter sets, not both");
    }
  }
  for (std::uint32_t i = 3; i < elements; ++i) {
    if (!reader.skip()) return false;
  }
  return true;
}

}  // namespace

std::string_view text_of(LevelOptions::Isolation isolation) noexcept {
  return word_of(isolations, isolation);
}
std::string_view text_of(LevelOptions::Locking locking) noexcept {
  return word_of(lockings, locking);
}
std::string_view text_of(LevelOptions::IfOpen if_open) noexcept {
  return word_of(if_opens, if_open);
}
std::string_view text_of(TxOp op) noexcept { return word_of(tx_ops, op); }

Result<Hello> decode_hello(std::string_view payload) {
  PayloadReader reader("HELLO", payload, 1);
  Hello hello;
  reader.required();
  if (!reader.failed()) reader.options(hello_options, hello);
  if (!reader.end()) return reader.error();
  return hello;
}

Result<Auth> decode_auth(std::string_view payload) {
  PayloadReader reader("AUTH", payload, 1);
  Auth auth;
  reader.required().read_text(auth.data);
  if (reader.optional()) read_name(reader.reader(), auth.mechanism);
  if (!reader.end()) return reader.error();
  return auth;
}

Result<Open> decode_open(std::string_view payload) {
  PayloadReader reader("OPEN", payload, 0);
  Open open;
  if (reader.optional()) reader.options(open_options, open);
  if (!reader.end()) return reader.error();
  return open;
}

Result<Close> decode_close(std::string_view payload) {
  PayloadReader reader("CLOSE", payload, 0);
  Close close;
  if (reader.optional()) reader.options(close_options, close);
  if (!reader.end()) return reader.error();
  return close;
}

Result<Exec> decode_exec(std::string_view payload) {
  PayloadReader reader("EXEC", payload, 1);
  Exec exec;
  bool stop = true;
  read_sql(reader.required(), exec.sql);
  if (reader.optional()) ParametersView::read(reader.reader(), exec.parameters);
  if (reader.optional()) read_run_options(reader, exec.options, stop);
  if (!reader.end()) return reader.error();
  return exec;
}

Result<Batch> decode_batch(std::string_view payload) {
  PayloadReader reader("BATCH", payload, 1);
  Batch batch;
  MessagePackReader& items = reader.required();
  if (items.read_array(batch.count) && batch.count > statements_max) {
    items.fail(sqlstate::program_limit_exceeded, "there are more than 1000 statements");
  }
  const std::string_view before = items.rest();
  BatchItem item;
  for (std::uint32_t i = 0; i < batch.count && !reader.failed(); ++i) read_item(items, item);
  batch.items = before.substr(0, before.size() - items.rest().size());
  if (reader.optional()) read_run_options(reader, batch.options, batch.stop);
  if (!reader.failed() && batch.options.atomic && !batch.stop) {
    items.fail(sqlstate::invalid_parameter_value, "an atomic batch always stops at an error");
  }
  if (!reader.end()) return reader.error();
  return batch;
}

BatchCursor::BatchCursor(const Batch& batch) : reader_(batch.items), left_(batch.count) {}

bool BatchCursor::next(BatchItem& item) {
  if (left_ == 0) return false;
  --left_;
  INVARIANT(read_item(reader_, item));
  return true;
}

Result<Tx> decode_tx(std::string_view payload) {
  PayloadReader reader("TX", payload, 1);
  Tx tx;
  read_word(reader.required(), tx_ops, tx.op,
            "begin, commit, rollback, rollback_all or status is expected");
  if (reader.optional()) reader.options(tx_options, tx);
  if (!reader.end()) return reader.error();
  return tx;
}

Result<Fetch> decode_fetch(std::string_view payload) {
  PayloadReader reader("FETCH", payload, 2);
  Fetch fetch;
  read_number(reader.required(), 1, id_most, fetch.request);
  read_number(reader.required(), 0, rows_most, fetch.rows);
  if (!reader.end()) return reader.error();
  return fetch;
}

namespace {

constexpr std::array<Option<Cancel>, 2> cancel_options{{
    {"connection", [](MessagePackReader& r,
                      Cancel& x) { return read_number(r, 1, rows_most, x.connection.emplace()); }},
    {"key", [](MessagePackReader& r, Cancel& x) { return r.read_bytes(x.key); }},
}};

}  // namespace

Result<Cancel> decode_cancel(std::string_view payload) {
  PayloadReader reader("CANCEL", payload, 1);
  Cancel cancel;
  read_number(reader.required(), 0, id_most, cancel.request);
  if (reader.optional()) reader.options(cancel_options, cancel);
  if (!reader.end()) return reader.error();
  return cancel;
}

Result<Ping> decode_ping(std::string_view payload) {
  PayloadReader reader("PING", payload, 0);
  Ping ping;
  if (reader.optional()) reader.reader().take_raw(ping.echo);
  if (!reader.end()) return reader.error();
  if (ping.echo.size() > ping_bytes_max) {
    return Error::make(sqlstate::program_limit_exceeded,
                       "PING: its value is larger than 1024 bytes");
  }
  return ping;
}

Result<StatusRequest> decode_status(std::string_view payload) {
  PayloadReader reader("STATUS", payload, 0);
  if (!reader.end()) return reader.error();
  return StatusRequest{};
}

}  // namespace based::native
