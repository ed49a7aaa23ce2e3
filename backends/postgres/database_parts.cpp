#include "backends/postgres/database_parts.h"

namespace based::postgres {

LinkLimits link_limits(const PostgresOptions& options) {
  return {.start_timeout = options.connect_timeout,
          .cleanup_timeout = options.cleanup_timeout,
          .statements_cached_max = options.statements_cached_max,
          .message_bytes_max = options.message_bytes_max};
}

RelayContext relay_context(const PostgresOptions& options, LeaseSource& leases, Pins& pins,
                           sql::StatementTable& texts, const Settings& base, Reactor& reactor,
                           Log& log) {
  return {.leases = leases,
          .pins = pins,
          .reactor = reactor,
          .log = log,
          .texts = texts,
          .pool = options.name,
          .lease_timeout = options.force_rollback ? options.turn_timeout : options.timeout,
          .connect_timeout = options.connect_timeout,
          .settings_timeout = options.cleanup_timeout,
          .idle_in_transaction = options.idle_in_transaction,
          .prepared_max = options.prepared_statements_max,
          .verify_release = options.verify_release,
          .transaction_timeout = options.transaction_timeout,
          .session_mode = options.session_mode && !options.force_rollback,
          .base_settings = base,
          .siblings = options.siblings,
          .stack = {.rooted = options.force_rollback, .nested = options.nested_transactions},
          .notification_queue = options.notification_queue};
}

}  // namespace based::postgres
