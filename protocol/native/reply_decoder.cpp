// The client's half of replies.h.
#include <limits>

#include "protocol/native/payload_reader.h"
#include "protocol/native/reply_words.h"

namespace based::native {
namespace {

constexpr std::int64_t number_max = std::numeric_limits<std::int64_t>::max();

bool read_number(MessagePackReader& reader, std::uint64_t& into) {
  std::int64_t number = 0;
  if (!reader.read_between(0, number_max, number)) return false;
  return into = static_cast<std::uint64_t>(number), true;
}

bool read_number(MessagePackReader& reader, std::uint32_t& into) {
  std::int64_t number = 0;
  if (!reader.read_between(0, std::numeric_limits<std::uint32_t>::max(), number)) return false;
  return into = static_cast<std::uint32_t>(number), true;
}

bool read_string(MessagePackReader& reader, std::string& into) {
  std::string_view text;
  if (!reader.read_text(text)) return false;
  return into = text, true;
}

bool read_transaction(MessagePackReader& reader, TransactionReport& transaction) {
  std::uint32_t count = 0;
  if (!reader.read_array(count)) return false;
  if (count != 2) return reader.fail(sqlstate::protocol_violation, "two elements are expected");
  return read_word(reader, transaction_states, transaction.state,
                   "a transaction state is expected") &&
         read_number(reader, transaction.depth);
}

bool read_limits(MessagePackReader& reader, Limits& limits) {
  std::uint32_t pairs = 0;
  if (!reader.read_map(pairs)) return false;
  for (std::uint32_t i = 0; i < pairs; ++i) {
    std::string_view key;
    if (!reader.read_text(key)) return false;
    const LimitRow* found = nullptr;
    for (const LimitRow& row : limit_rows) {
      if (row.key == key) found = &row;
    }
    const bool read = found != nullptr ? read_number(reader, limits.*found->member) : reader.skip();
    if (!read) return false;
  }
  return true;
}

constexpr std::array<Option<DatabaseReport>, 3> database_keys{{
    {"name", [](MessagePackReader& r, DatabaseReport& x) { return r.read_text(x.name); }},
    {"backend", [](MessagePackReader& r, DatabaseReport& x) { return r.read_text(x.backend); }},
    {"force_rollback",
     [](MessagePackReader& r, DatabaseReport& x) { return r.read(x.force_rollback); }},
}};

// An array of maps.
template <typename T, std::size_t count>
bool read_list(MessagePackReader& reader, const std::array<Option<T>, count>& keys,
               std::vector<T>& into) {
  std::uint32_t elements = 0;
  if (!reader.read_array(elements)) return false;
  for (std::uint32_t i = 0; i < elements; ++i) {
    std::string_view failed;
    if (!read_options(reader, keys, into.emplace_back(), failed)) return false;
  }
  return true;
}

constexpr std::array<Option<Welcome>, 8> welcome_keys{{
    {"server", [](MessagePackReader& r, Welcome& x) { return r.read_text(x.server); }},
    {"connection", [](MessagePackReader& r, Welcome& x) { return read_number(r, x.connection); }},
    {"cancel_key", [](MessagePackReader& r, Welcome& x) { return r.read_bytes(x.cancel_key); }},
    {"auth", [](MessagePackReader& r, Welcome& x) { return r.read_text(x.auth); }},
    {"auth_data", [](MessagePackReader& r, Welcome& x) { return r.read_text(x.auth_data); }},
    {"features",
     [](MessagePackReader& r, Welcome& x) {
       std::uint32_t count = 0;
       if (!r.read_array(count)) return false;
       for (std::uint32_t i = 0; i < count; ++i) {
         if (!r.read_text(x.features.emplace_back())) return false;
       }
       return true;
     }},
    {"limits", [](MessagePackReader& r, Welcome& x) { return read_limits(r, x.limits); }},
    {"databases",
     [](MessagePackReader& r, Welcome& x) { return read_list(r, database_keys, x.databases); }},
}};

constexpr std::array<Option<Error>, 4> object_keys{{
    {"schema", [](MessagePackReader& r, Error& x) { return read_string(r, x.schema); }},
    {"table", [](MessagePackReader& r, Error& x) { return read_string(r, x.table); }},
    {"column", [](MessagePackReader& r, Error& x) { return read_string(r, x.column); }},
    {"constraint", [](MessagePackReader& r, Error& x) { return read_string(r, x.constraint); }},
}};

bool read_code(MessagePackReader& r, Error& x) {
  std::string_view text;
  if (!r.read_text(text)) return false;
  return x.sqlstate = Sqlstate::from_peer(text), true;
}

bool read_native(MessagePackReader& r, Error& x) {
  std::uint32_t count = 0;
  std::int64_t code = 0;
  if (!r.read_array(count)) return false;
  if (count != 2) return r.fail(sqlstate::protocol_violation, "two elements are expected");
  if (!r.read_between(std::numeric_limits<std::int32_t>::min(),
                      std::numeric_limits<std::int32_t>::max(), code)) {
    return false;
  }
  x.native_code = static_cast<std::int32_t>(code);
  return read_string(r, x.native_name);
}

// ERROR, the payload of some NOTICEs and the "error" of a result have these keys in common.
struct AnyFailure {
  Error error;
  std::optional<TransactionReport> transaction;
  std::optional<std::uint32_t> step;
  std::string_view results;  // encoded
  std::string_view severity;
  std::string_view reason;
  std::uint64_t deadline_ms = 0;
};

constexpr std::array<Option<AnyFailure>, 16> failure_keys{{
    {"code", [](MessagePackReader& r, AnyFailure& x) { return read_code(r, x.error); }},
    {"message",
     [](MessagePackReader& r, AnyFailure& x) { return read_string(r, x.error.message); }},
    {"scope",
     [](MessagePackReader& r, AnyFailure& x) {
       return read_word(r, error_scopes, x.error.scope, "a scope is expected");
     }},
    {"executed",
     [](MessagePackReader& r, AnyFailure& x) {
       return read_word(r, executed_words, x.error.executed, "no, yes or unknown is expected");
     }},
    {"retry", [](MessagePackReader& r, AnyFailure& x) { return r.read(x.error.retryable); }},
    {"detail", [](MessagePackReader& r, AnyFailure& x) { return read_string(r, x.error.detail); }},
    {"hint", [](MessagePackReader& r, AnyFailure& x) { return read_string(r, x.error.hint); }},
    {"position", [](MessagePackReader& r,
                    AnyFailure& x) { return read_number(r, x.error.position.emplace()); }},
    {"object",
     [](MessagePackReader& r, AnyFailure& x) {
       std::string_view failed;
       return read_options(r, object_keys, x.error, failed);
     }},
    {"native", [](MessagePackReader& r, AnyFailure& x) { return read_native(r, x.error); }},
    {"tx", [](MessagePackReader& r,
              AnyFailure& x) { return read_transaction(r, x.transaction.emplace()); }},
    {"step", [](MessagePackReader& r, AnyFailure& x) { return read_number(r, x.step.emplace()); }},
    {"results", [](MessagePackReader& r, AnyFailure& x) { return r.take_raw(x.results); }},
    {"severity", [](MessagePackReader& r, AnyFailure& x) { return r.read_text(x.severity); }},
    {"reason", [](MessagePackReader& r, AnyFailure& x) { return r.read_text(x.reason); }},
    {"deadline_ms",
     [](MessagePackReader& r, AnyFailure& x) { return read_number(r, x.deadline_ms); }},
}};

struct ResultReading {
  ResultReport report;
  std::unique_ptr<Error> error;
};

constexpr std::array<Option<ResultReading>, 6> result_keys{{
    {"tag", [](MessagePackReader& r, ResultReading& x) { return r.read_text(x.report.tag); }},
    {"affected",
     [](MessagePackReader& r, ResultReading& x) { return r.read(x.report.affected.emplace()); }},
    {"last_insert_id", [](MessagePackReader& r,
                          ResultReading& x) { return r.read(x.report.last_insert_id.emplace()); }},
    {"rows", [](MessagePackReader& r, ResultReading& x) { return read_number(r, x.report.rows); }},
    {"truncated",
     [](MessagePackReader& r, ResultReading& x) { return r.read(x.report.truncated); }},
    {"error",
     [](MessagePackReader& r, ResultReading& x) {
       AnyFailure failure;
       std::string_view failed;
       if (!read_options(r, failure_keys, failure, failed)) return false;
       x.error = std::make_unique<Error>(std::move(failure.error));
       return x.report.error = x.error.get(), true;
     }},
}};

bool read_results(MessagePackReader& r, std::vector<ResultReport>& results,
                  std::vector<std::unique_ptr<Error>>& errors) {
  std::vector<ResultReading> readings;
  if (!read_list(r, result_keys, readings)) return false;
  for (ResultReading& reading : readings) {
    results.push_back(reading.report);
    if (reading.error != nullptr) errors.push_back(std::move(reading.error));
  }
  return true;
}

constexpr std::array<Option<OpenedReport>, 5> opened_keys{{
    {"database", [](MessagePackReader& r, OpenedReport& x) { return r.read_text(x.database); }},
    {"backend", [](MessagePackReader& r, OpenedReport& x) { return r.read_text(x.backend); }},
    {"force_rollback",
     [](MessagePackReader& r, OpenedReport& x) { return r.read(x.force_rollback); }},
    {"read_only", [](MessagePackReader& r, OpenedReport& x) { return r.read(x.read_only); }},
    {"token", [](MessagePackReader& r, OpenedReport& x) { return r.read_text(x.token); }},
}};

constexpr std::array<Option<LevelReport>, 5> level_keys{{
    {"level", [](MessagePackReader& r, LevelReport& x) { return read_number(r, x.level); }},
    {"name", [](MessagePackReader& r, LevelReport& x) { return r.read_text(x.name); }},
    {"state",
     [](MessagePackReader& r, LevelReport& x) {
       return read_word(r, transaction_states, x.state, "a level's state is expected");
     }},
    {"force_rollback",
     [](MessagePackReader& r, LevelReport& x) { return r.read(x.force_rollback); }},
    {"age_ms", [](MessagePackReader& r, LevelReport& x) { return read_number(r, x.age_ms); }},
}};

constexpr std::array<Option<DecodedEnd>, 9> end_keys{{
    {"tx",
     [](MessagePackReader& r, DecodedEnd& x) { return read_transaction(r, x.end.transaction); }},
    {"results",
     [](MessagePackReader& r, DecodedEnd& x) { return read_results(r, x.end.results, x.errors); }},
    {"level",
     [](MessagePackReader& r, DecodedEnd& x) { return read_number(r, x.end.level.emplace()); }},
    {"joined", [](MessagePackReader& r, DecodedEnd& x) { return r.read(x.end.joined); }},
    {"rolled_back", [](MessagePackReader& r, DecodedEnd& x) { return r.read(x.end.rolled_back); }},
    {"found", [](MessagePackReader& r, DecodedEnd& x) { return r.read(x.end.found.emplace()); }},
    {"session",
     [](MessagePackReader& r, DecodedEnd& x) {
       std::string_view failed;
       return read_options(r, opened_keys, x.end.opened.emplace(), failed);
     }},
    {"levels", [](MessagePackReader& r,
                  DecodedEnd& x) { return read_list(r, level_keys, x.end.levels.emplace()); }},
    {"status", [](MessagePackReader& r, DecodedEnd& x) { return r.take_raw(x.end.status); }},
}};

bool read_column(MessagePackReader& r, ColumnReport& column) {
  std::uint32_t elements = 0;
  if (!r.read_array(elements)) return false;
  if (elements < 2) return r.fail(sqlstate::protocol_violation, "a column has a name and a type");
  if (!r.read_text(column.name) || !r.read_text(column.type)) return false;
  if (elements > 2 && !r.take_null() && !read_number(r, column.type_oid)) return false;
  for (std::uint32_t i = 3; i < elements; ++i) {
    if (!r.skip()) return false;
  }
  return true;
}

}  // namespace

Result<Welcome> decode_welcome(std::string_view payload) {
  PayloadReader reader("WELCOME", payload, 1);
  Welcome welcome;
  reader.required();
  if (!reader.failed()) reader.options(welcome_keys, welcome);
  if (!reader.end()) return reader.error();
  return welcome;
}

Result<Cols> decode_cols(std::string_view payload) {
  PayloadReader reader("COLS", payload, 2);
  Cols cols;
  read_number(reader.required(), cols.step);
  MessagePackReader& columns = reader.required();
  std::uint32_t count = 0;
  columns.read_array(count);
  for (std::uint32_t i = 0; i < count && !reader.failed(); ++i) {
    read_column(columns, cols.columns.emplace_back());
  }
  if (!reader.end()) return reader.error();
  return cols;
}

Result<Rows> decode_rows(std::string_view payload) {
  PayloadReader reader("ROWS", payload, 2);
  Rows rows;
  read_number(reader.required(), rows.step);
  MessagePackReader& list = reader.required();
  list.read_array(rows.count);
  const std::string_view before = list.rest();
  for (std::uint32_t i = 0; i < rows.count && !reader.failed(); ++i) {
    std::uint32_t values = 0;
    list.read_array(values);
    Item item;
    for (std::uint32_t value = 0; value < values && list.next(item); ++value) {
      if (item.kind == ItemKind::array || item.kind == ItemKind::map) {
        list.fail(sqlstate::protocol_violation, "a value is not a scalar");
      }
    }
  }
  rows.rows = before.substr(0, before.size() - list.rest().size());
  if (!reader.end()) return reader.error();
  return rows;
}

Result<DecodedEnd> decode_end(std::string_view payload) {
  PayloadReader reader("END", payload, 1);
  DecodedEnd end;
  reader.required();
  if (!reader.failed()) reader.options(end_keys, end);
  if (!reader.end()) return reader.error();
  return end;
}

Result<DecodedFailure> decode_failure(std::string_view payload) {
  PayloadReader reader("ERROR", payload, 1);
  AnyFailure any;
  reader.required();
  if (!reader.failed()) reader.options(failure_keys, any);
  if (!reader.end()) return reader.error();
  DecodedFailure failure;
  failure.error = std::move(any.error);
  failure.transaction = any.transaction.value_or(TransactionReport());
  failure.step = any.step;
  if (any.results.empty()) return failure;
  MessagePackReader results(any.results);
  if (!read_results(results, failure.results, failure.errors)) return results.error("ERROR");
  return failure;
}

Result<DecodedNotice> decode_notice(std::string_view payload) {
  PayloadReader reader("NOTICE", payload, 2);
  DecodedNotice notice;
  AnyFailure any;
  reader.required().read_text(notice.kind);
  reader.required();
  if (!reader.failed()) reader.options(failure_keys, any);
  if (!reader.end()) return reader.error();
  notice.severity = any.severity;
  notice.error = std::move(any.error);
  notice.transaction = any.transaction;
  notice.reason = any.reason;
  notice.deadline_ms = any.deadline_ms;
  return notice;
}

}  // namespace based::native
