#include "protocol/native/replies.h"

#include "protocol/native/payload_reader.h"
#include "protocol/native/reply_words.h"

namespace based::native {
namespace {

void put_number(SmallMapWriter& map, std::string_view key, std::uint64_t value) {
  map.key(key).integer(static_cast<std::int64_t>(value));
}

void put_if(SmallMapWriter& map, std::string_view key, const std::string& text) {
  if (!text.empty()) map.key(key).display_text(text);
}

void put_transaction(SmallMapWriter& map, const TransactionReport& transaction) {
  MessagePackWriter& writer = map.key("tx");
  writer.array(2);
  writer.text(text_of(transaction.state));
  writer.integer(transaction.depth);
}

// Where the statement stood is a small map of its own, so that no map needs more than 15 keys.
void put_place(SmallMapWriter& map, const Error& error, std::string& out) {
  if (error.schema.empty() && error.table.empty() && error.column.empty() &&
      error.constraint.empty()) {
    return;
  }
  map.key("object");
  SmallMapWriter object(out);
  put_if(object, "schema", error.schema);
  put_if(object, "table", error.table);
  put_if(object, "column", error.column);
  put_if(object, "constraint", error.constraint);
}

void put_native(SmallMapWriter& map, const Error& error) {
  if (error.native_code == 0 && error.native_name.empty()) return;
  MessagePackWriter& writer = map.key("native");
  writer.array(2);
  writer.integer(error.native_code);
  writer.display_text(error.native_name);
}

void put_error(SmallMapWriter& map, const Error& error, std::string& out) {
  map.key("code").text(error.sqlstate.text());
  const std::string_view name = condition_name(error.sqlstate);
  if (!name.empty()) map.key("name").text(name);
  map.key("message").display_text(error.message);
  map.key("scope").text(word_of(error_scopes, error.scope));
  map.key("executed").text(word_of(executed_words, error.executed));
  if (error.retryable) map.key("retry").boolean(true);
  put_if(map, "detail", error.detail);
  put_if(map, "hint", error.hint);
  if (error.position) put_number(map, "position", *error.position);
  put_place(map, error, out);
  put_native(map, error);
}

void put_result(const ResultReport& result, std::string& out) {
  SmallMapWriter map(out);
  if (result.error != nullptr) {
    map.key("error");
    SmallMapWriter error(out);
    return put_error(error, *result.error, out);
  }
  map.key("tag").display_text(result.tag);
  if (result.affected) map.key("affected").integer(*result.affected);
  if (result.last_insert_id) map.key("last_insert_id").integer(*result.last_insert_id);
  if (result.rows > 0) put_number(map, "rows", result.rows);
  if (result.truncated) map.key("truncated").boolean(true);
}

void put_results(SmallMapWriter& map, std::span<const ResultReport> results, std::string& out) {
  if (results.empty()) return;
  map.key("results").array(results.size());
  for (const ResultReport& result : results) put_result(result, out);
}

void put_level(const LevelReport& level, std::string& out) {
  SmallMapWriter map(out);
  put_number(map, "level", level.level);
  if (!level.name.empty()) map.key("name").display_text(level.name);
  map.key("state").text(text_of(level.state));
  if (level.force_rollback) map.key("force_rollback").boolean(true);
  put_number(map, "age_ms", level.age_ms);
}

void put_opened(SmallMapWriter& map, const OpenedReport& opened, std::string& out) {
  map.key("session");
  SmallMapWriter session(out);
  session.key("database").display_text(opened.database);
  session.key("backend").text(opened.backend);
  session.key("force_rollback").boolean(opened.force_rollback);
  session.key("read_only").boolean(opened.read_only);
  if (!opened.token.empty()) session.key("token").text(opened.token);
}

}  // namespace

std::string_view text_of(TransactionState state) noexcept {
  return word_of(transaction_states, state);
}

std::string_view text_of(NoticeKind kind) noexcept { return word_of(notice_kinds, kind); }

void encode(const Welcome& welcome, std::string& out) {
  MessagePackWriter(out).array(1);
  SmallMapWriter map(out);
  map.key("server").text(welcome.server);
  put_number(map, "connection", welcome.connection);
  if (!welcome.cancel_key.empty()) map.key("cancel_key").bytes(welcome.cancel_key);
  map.key("auth").text(welcome.auth);
  if (!welcome.auth_data.empty()) map.key("auth_data").text(welcome.auth_data);
  map.key("features").array(welcome.features.size());
  for (const std::string_view feature : welcome.features) MessagePackWriter(out).text(feature);
  map.key("limits");
  SmallMapWriter limits(out);
  for (const LimitRow& row : limit_rows) put_number(limits, row.key, welcome.limits.*row.member);
  map.key("databases").array(welcome.databases.size());
  for (const DatabaseReport& database : welcome.databases) {
    SmallMapWriter one(out);
    one.key("name").display_text(database.name);
    one.key("backend").text(database.backend);
    one.key("force_rollback").boolean(database.force_rollback);
  }
}

void encode(const Cols& cols, std::string& out) {
  MessagePackWriter writer(out);
  writer.array(2);
  writer.integer(cols.step);
  writer.array(cols.columns.size());
  for (const ColumnReport& column : cols.columns) {
    writer.array(column.type_oid == 0 ? 2 : 3);
    writer.display_text(column.name);
    writer.display_text(column.type);
    if (column.type_oid != 0) writer.integer(column.type_oid);
  }
}

void encode(const End& end, std::string& out) {
  MessagePackWriter(out).array(1);
  SmallMapWriter map(out);
  put_transaction(map, end.transaction);
  put_results(map, end.results, out);
  if (end.level) put_number(map, "level", *end.level);
  if (end.joined) map.key("joined").boolean(true);
  if (end.rolled_back) map.key("rolled_back").boolean(true);
  if (end.found) map.key("found").boolean(*end.found);
  if (end.opened) put_opened(map, *end.opened, out);
  if (end.levels) {
    map.key("levels").array(end.levels->size());
    for (const LevelReport& level : *end.levels) put_level(level, out);
  }
  if (!end.status.empty()) map.key("status").raw(end.status);
}

void encode(const Failure& failure, std::string& out) {
  INVARIANT(failure.error != nullptr);
  MessagePackWriter(out).array(1);
  SmallMapWriter map(out);
  put_error(map, *failure.error, out);
  put_transaction(map, failure.transaction);
  if (failure.step) put_number(map, "step", *failure.step);
  put_results(map, failure.results, out);
}

void encode(const Notice& notice, std::string& out) {
  MessagePackWriter writer(out);
  writer.array(2);
  writer.text(text_of(notice.kind));
  SmallMapWriter map(out);
  switch (notice.kind) {
    case NoticeKind::database:
      INVARIANT(notice.error != nullptr);
      map.key("severity").display_text(notice.severity);
      return put_error(map, *notice.error, out);
    case NoticeKind::goaway:
      map.key("reason").display_text(notice.reason);
      return put_number(map, "deadline_ms", notice.deadline_ms);
    case NoticeKind::transaction_lost:
    case NoticeKind::state_lost:
      INVARIANT(notice.error != nullptr);
      put_error(map, *notice.error, out);
      return put_transaction(map, notice.transaction);
  }
}

}  // namespace based::native
