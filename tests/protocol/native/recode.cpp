#include "tests/protocol/native/recode.h"

#include "protocol/native/messages.h"
#include "protocol/native/rows_writer.h"

namespace based::native {
namespace {

template <typename Message>
Result<std::string> again(const Result<Message>& message) {
  if (!message) return message.error();
  std::string out;
  encode(*message, out);
  return out;
}

// A sum, so that no walk can be left out.
std::size_t walk(const ParametersView& parameters) {
  std::size_t sum = 0;
  std::string_view name;
  ValueView value;
  ParameterCursor cursor(parameters);
  while (cursor.next(name, value)) sum += 1 + name.size() + value.data.size();
  INVARIANT(sum >= parameters.count());
  return sum;
}

Result<std::string> again_batch(const Result<Batch>& batch) {
  if (!batch) return batch.error();
  BatchCursor cursor(*batch);
  BatchItem item;
  std::uint32_t items = 0;
  while (cursor.next(item)) {
    ++items;
    walk(item.parameters);
    if (!item.sets) continue;
    ParameterSetCursor sets(*item.sets);
    ParametersView parameters;
    std::uint32_t count = 0;
    for (; sets.next(parameters); ++count) walk(parameters);
    INVARIANT(count == item.sets->count());
  }
  INVARIANT(items == batch->count);
  return again(batch);
}

Result<std::string> again_rows(const Result<Rows>& rows) {
  if (!rows) return rows.error();
  RowsWriter writer(1, 1, frame_payload_default);
  MessagePackReader reader(rows->rows);
  for (std::uint32_t i = 0; i < rows->count; ++i) {
    std::uint32_t count = 0;
    INVARIANT(reader.read_array(count));
    std::vector<ValueView> values;
    for (std::uint32_t v = 0; v < count; ++v) {
      Item item;
      INVARIANT(reader.next(item));
      values.push_back(value_of(item));
    }
    INVARIANT(writer.add(rows->step, values) == RowsWriter::Added::yes);
  }
  INVARIANT(reader.at_end());
  if (!writer.empty()) return std::string(writer.finish().substr(header_bytes));
  std::string out;
  MessagePackWriter empty(out);
  empty.array(2);
  empty.integer(rows->step);
  empty.open_array();
  return out;
}

Result<std::string> again_failure(const Result<DecodedFailure>& decoded) {
  if (!decoded) return decoded.error();
  Failure failure;
  failure.error = &decoded->error;
  failure.transaction = decoded->transaction;
  failure.step = decoded->step;
  failure.results = decoded->results;
  std::string out;
  encode(failure, out);
  return out;
}

Result<std::string> again_notice(const Result<DecodedNotice>& decoded) {
  if (!decoded) return decoded.error();
  for (const NoticeKind kind : {NoticeKind::database, NoticeKind::goaway,
                                NoticeKind::transaction_lost, NoticeKind::state_lost}) {
    if (text_of(kind) != decoded->kind) continue;
    Notice notice;
    notice.kind = kind;
    notice.severity = decoded->severity;
    notice.error = &decoded->error;
    notice.transaction = decoded->transaction.value_or(TransactionReport());
    notice.reason = decoded->reason;
    notice.deadline_ms = decoded->deadline_ms;
    std::string out;
    encode(notice, out);
    return out;
  }
  return std::string();  // of an unknown kind: to be ignored
}

}  // namespace

Result<std::string> recode(MessageType type, std::string_view payload) {
  switch (type) {
    case MessageType::hello:
      return again(decode_hello(payload));
    case MessageType::welcome:
      return again(decode_welcome(payload));
    case MessageType::auth:
      return again(decode_auth(payload));
    case MessageType::open:
      return again(decode_open(payload));
    case MessageType::close:
      return again(decode_close(payload));
    case MessageType::exec: {
      const Result<Exec> exec = decode_exec(payload);
      if (exec) walk(exec->parameters);
      return again(exec);
    }
    case MessageType::batch:
      return again_batch(decode_batch(payload));
    case MessageType::tx:
      return again(decode_tx(payload));
    case MessageType::fetch:
      return again(decode_fetch(payload));
    case MessageType::cancel:
      return again(decode_cancel(payload));
    case MessageType::ping:
      return again(decode_ping(payload));
    case MessageType::cols:
      return again(decode_cols(payload));
    case MessageType::rows:
      return again_rows(decode_rows(payload));
    case MessageType::end: {
      const Result<DecodedEnd> end = decode_end(payload);
      if (!end) return end.error();
      std::string out;
      encode(end->end, out);
      return out;
    }
    case MessageType::error:
      return again_failure(decode_failure(payload));
    case MessageType::notice:
      return again_notice(decode_notice(payload));
    case MessageType::status:
      return again(decode_status(payload));
  }
  return Error::make(sqlstate::feature_not_supported, "no payload of that type is known");
}

}  // namespace based::native
