#include "daemon/translation.h"

namespace based {
namespace {

// The enums are the same words in the same order, on both sides of the border.
static_assert(static_cast<int>(LogLevelSetting::error) == static_cast<int>(LogLevel::error));
static_assert(static_cast<int>(JournalModeSetting::wal) ==
              static_cast<int>(SqliteJournalMode::wal));
static_assert(static_cast<int>(JournalModeSetting::persist) ==
              static_cast<int>(SqliteJournalMode::persist));
static_assert(static_cast<int>(TurnsSetting::error) == static_cast<int>(TurnMode::error));
static_assert(static_cast<int>(UserPoolModeSetting::session) ==
              static_cast<int>(PoolMode::session));
static_assert(static_cast<int>(SynchronousSetting::extra) ==
              static_cast<int>(SqliteSynchronous::extra));

// What "never" is where a duration is added to a time.
constexpr std::chrono::milliseconds never_ms = std::chrono::hours(24 * 365);

std::uint64_t in_ms(std::chrono::milliseconds duration) {
  return static_cast<std::uint64_t>(duration.count());
}

}  // namespace

ServerOptions server_options(const ServerSettings& settings) {
  ServerOptions options;
  for (const ListenAddress& address : settings.listen) {
    options.listen.push_back(
        {address.host, address.port, address.path, settings.unix_socket_mode.bits});
  }
  options.unix_socket_dir = settings.unix_socket_dir;
  options.unix_socket_mode = settings.unix_socket_mode.bits;
  options.clients.clients_max = settings.max_clients;
  options.clients.write_stall_max = settings.write_timeout;
  options.first_byte_max = settings.handshake_timeout;
  options.names_peers = settings.unix_auth == UnixAuthSetting::peer;
  options.shutdown_timeout = settings.shutdown_timeout;
  return options;
}

LogLevel log_level(LogLevelSetting level) { return static_cast<LogLevel>(level); }

native::NativeLimits native_limits(const ServerSettings& settings, const DatabaseSettings& first) {
  native::NativeLimits limits;
  limits.frame_bytes = static_cast<std::uint32_t>(settings.max_frame.count);
  limits.sessions = settings.max_sessions;
  limits.requests = settings.max_inflight;
  // One frame of the largest size is never refused, and some may wait behind it.
  limits.request_bytes = 2 * static_cast<std::size_t>(settings.max_frame.count);
  limits.depth = settings.max_depth;
  limits.output_bytes = settings.output_buffer.count;
  limits.handshake = settings.handshake_timeout;
  limits.ping = settings.ping_interval;
  limits.idle = settings.idle_timeout;
  limits.statement_timeout_ms = in_ms(first.statement_timeout);
  limits.queue_timeout_ms = in_ms(first.timeout);
  limits.idle_in_transaction_ms = in_ms(first.idle_in_transaction);
  return limits;
}

Users users(const Settings& settings) {
  const auto over_tcp =
      settings.server.auth == AuthSetting::scram ? AuthMethod::scram : AuthMethod::trust;
  AuthMethod over_unix = over_tcp;
  if (settings.server.unix_auth == UnixAuthSetting::trust) over_unix = AuthMethod::trust;
  if (settings.server.unix_auth == UnixAuthSetting::peer) over_unix = AuthMethod::peer;
  if (settings.server.unix_auth == UnixAuthSetting::scram) over_unix = AuthMethod::scram;
  Users users(over_tcp, over_unix);
  for (const UserSettings& user : settings.users) {
    users.add(user.name, parse_scram_verifier(user.verifier).value(),
              {.databases = user.databases, .pool_mode = static_cast<PoolMode>(user.pool_mode)});
  }
  return users;
}

postgres::PostgresLimits postgres_limits(const ServerSettings& settings) {
  postgres::PostgresLimits limits;
  limits.messages.whole_bytes = settings.max_query.count;
  limits.handshake = settings.handshake_timeout;
  limits.idle = settings.idle_timeout;
  return limits;
}

SandboxLimits sandbox_limits(const ServerSettings& settings) {
  return {.count_max = settings.max_sandboxes,
          .idle_max = settings.sandbox_idle,
          .by_process = settings.sandbox_by == SandboxBySetting::peer_pid};
}

SqliteOptions sqlite_options(const DatabaseSettings& settings) {
  SqliteOptions options;
  options.name = settings.name;
  options.path = settings.path;
  options.display = settings.shown;
  options.journal_mode = static_cast<SqliteJournalMode>(settings.journal_mode);
  options.synchronous = static_cast<SqliteSynchronous>(settings.synchronous);
  options.read_only = settings.read_only;
  // A file that cannot be written has nothing to roll back.
  options.force_rollback = settings.force_rollback && !settings.read_only;
  if (options.force_rollback) options.turns = static_cast<TurnMode>(settings.turns);
  options.init_sql = settings.init_sql;
  options.temp_dir = settings.temp_dir;
  options.statements_cached_max = settings.statement_cache;
  options.cache_bytes = settings.cache_size.count;
  options.waiting_max = settings.max_waiting;
  options.result_buffer_bytes = settings.result_buffer.count;
  options.value_bytes_max = settings.max_value.count;
  options.checkpoint_pages = settings.checkpoint_pages;
  options.max_page_count = settings.max_page_count;
  options.overlay_memory_bytes = settings.overlay_memory.count;
  options.overlay_bytes_max = settings.max_overlay.count;
  options.idle_in_transaction = settings.idle_while_waited;
  options.idle_in_transaction_cap = settings.idle_in_transaction.count() == 0
                                        ? Duration{never_ms}
                                        : Duration{settings.idle_in_transaction};
  options.transaction_max = settings.transaction_timeout;
  options.turn_timeout = settings.timeout;
  options.slow_reader = settings.slow_reader;
  options.busy_timeout = settings.busy_timeout;
  return options;
}

PostgresOptions postgres_options(const DatabaseSettings& settings) {
  PostgresOptions options;
  options.name = settings.name;
  options.conninfo = settings.conninfo;
  options.password = settings.password;
  options.application_name = settings.application_name;
  options.init_sql = settings.init_sql;
  options.min_size = settings.min_size;
  options.max_size = settings.max_size;
  options.timeout = settings.timeout;
  options.max_waiting = settings.max_waiting;
  options.max_lifetime = settings.max_lifetime;
  options.max_idle = settings.max_idle;
  options.reconnect_timeout = settings.reconnect_timeout;
  options.connect_timeout = settings.connect_timeout;
  options.check_interval = settings.check_interval;
  options.idle_in_transaction = settings.idle_in_transaction;
  options.transaction_timeout = settings.transaction_timeout;
  options.statements_cached_max = settings.statement_cache;
  options.auto_prepare = settings.auto_prepare;
  options.session_mode = settings.pool_mode == PoolModeSetting::session;
  options.max_pinned = settings.max_pinned;
  options.idle_while_waited = settings.idle_while_waited;
  options.idle_while_pinned = settings.idle_while_pinned;
  options.verify_release = settings.verify_release;
  options.nested_transactions = settings.nested_transactions;
  options.prepared_statements_max = settings.prepared_statements;
  options.listen = settings.listen == ListenModeSetting::pin ? ListenMode::pin : ListenMode::shared;
  options.notification_queue = static_cast<std::size_t>(settings.notification_queue.count);
  options.force_rollback = settings.force_rollback;
  options.turns = static_cast<TurnMode>(settings.turns);
  options.rewrite = settings.rewrite;
  options.vacuum_every = settings.sandbox_vacuum;
  options.restores_sequences = settings.sequences == SequencesSetting::restore;
  options.turn_timeout = settings.timeout;
  return options;
}

}  // namespace based
