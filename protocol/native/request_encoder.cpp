// The client's half of requests.h.
#include "protocol/native/payload_reader.h"
#include "protocol/native/requests.h"

namespace based::native {
namespace {

void put_level_options(SmallMapWriter& map, const LevelOptions& options) {
  if (options.isolation != LevelOptions::Isolation::unset) {
    map.key("isolation").text(text_of(options.isolation));
  }
  if (options.read_only) map.key("read_only").boolean(*options.read_only);
  if (options.deferrable) map.key("deferrable").boolean(*options.deferrable);
  if (options.locking != LevelOptions::Locking::unset) {
    map.key("locking").text(text_of(options.locking));
  }
  if (options.if_open != LevelOptions::IfOpen::nest) {
    map.key("if_open").text(text_of(options.if_open));
  }
  if (options.force_rollback) map.key("force_rollback").boolean(true);
  if (!options.name.empty()) map.key("name").text(options.name);
}

void put_number(SmallMapWriter& map, std::string_view key, std::optional<std::uint64_t> value) {
  if (value) map.key(key).integer(static_cast<std::int64_t>(*value));
}

void put_run_options(const RunOptions& options, bool stop, std::string& out) {
  SmallMapWriter map(out);
  put_number(map, "credit", options.credit);
  if (options.max_rows > 0) put_number(map, "max_rows", options.max_rows);
  put_number(map, "timeout_ms", options.timeout_ms);
  if (options.atomic) map.key("atomic").boolean(true);
  if (!stop) map.key("stop").boolean(false);
}

void put_parameters(const ParametersView& parameters, MessagePackWriter& writer) {
  if (parameters.encoded().empty()) return writer.null();
  writer.raw(parameters.encoded());
}

}  // namespace

void encode(const Hello& hello, std::string& out) {
  MessagePackWriter(out).array(1);
  SmallMapWriter map(out);
  if (!hello.client.empty()) map.key("client").text(hello.client);
  if (!hello.user.empty()) map.key("user").text(hello.user);
  if (!hello.features.empty()) {
    MessagePackWriter& writer = map.key("features");
    writer.array(hello.features.size());
    for (const std::string_view feature : hello.features) writer.text(feature);
  }
  if (hello.frame_bytes_max > 0) map.key("frame_bytes_max").integer(hello.frame_bytes_max);
}

void encode(const Auth& auth, std::string& out) {
  MessagePackWriter writer(out);
  writer.array(auth.mechanism.empty() ? 1 : 2);
  writer.text(auth.data);
  if (!auth.mechanism.empty()) writer.text(auth.mechanism);
}

void encode(const Open& open, std::string& out) {
  MessagePackWriter(out).array(1);
  SmallMapWriter map(out);
  if (!open.database.empty()) map.key("database").text(open.database);
  if (!open.sandbox.empty()) map.key("sandbox").text(open.sandbox);
  if (!open.label.empty()) map.key("label").text(open.label);
  if (open.share) map.key("share").boolean(true);
  if (!open.join.empty()) map.key("join").text(open.join);
  if (open.read_only) map.key("read_only").boolean(true);
  if (open.transaction) {
    map.key("transaction");
    SmallMapWriter transaction(out);
    put_level_options(transaction, *open.transaction);
  }
  put_number(map, "statement_timeout_ms", open.statement_timeout_ms);
  put_number(map, "queue_timeout_ms", open.queue_timeout_ms);
  put_number(map, "idle_in_transaction_ms", open.idle_in_transaction_ms);
}

void encode(const Close& close, std::string& out) {
  MessagePackWriter(out).array(close.commit ? 1 : 0);
  if (close.commit) SmallMapWriter(out).key("commit").boolean(true);
}

void encode(const Exec& exec, std::string& out) {
  MessagePackWriter writer(out);
  writer.array(3);
  writer.text(exec.sql);
  put_parameters(exec.parameters, writer);
  put_run_options(exec.options, true, out);
}

void encode(const Batch& batch, std::string& out) {
  MessagePackWriter writer(out);
  writer.array(2);
  writer.array(batch.count);
  writer.raw(batch.items);
  put_run_options(batch.options, batch.stop, out);
}

void encode(const Tx& tx, std::string& out) {
  MessagePackWriter writer(out);
  writer.array(2);
  writer.text(text_of(tx.op));
  SmallMapWriter map(out);
  put_level_options(map, tx.options);
  if (tx.depth) map.key("depth").integer(*tx.depth);
  put_number(map, "level", tx.level);
}

void encode(const Fetch& fetch, std::string& out) {
  MessagePackWriter writer(out);
  writer.array(2);
  writer.integer(fetch.request);
  writer.integer(static_cast<std::int64_t>(fetch.rows));
}

void encode(const Cancel& cancel, std::string& out) {
  MessagePackWriter writer(out);
  writer.array(cancel.connection ? 2 : 1);
  writer.integer(cancel.request);
  if (!cancel.connection) return;
  SmallMapWriter map(out);
  put_number(map, "connection", cancel.connection);
  map.key("key").bytes(cancel.key);
}

void encode(const Ping& ping, std::string& out) {
  MessagePackWriter writer(out);
  writer.array(ping.echo.empty() ? 0 : 1);
  writer.raw(ping.echo);
}

void encode(const StatusRequest&, std::string& out) { MessagePackWriter(out).array(0); }

}  // namespace based::native
