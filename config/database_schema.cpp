// The rows of [databases.NAME].
#include <array>

#include "config/schema_binding.h"

namespace based {
namespace {

using namespace schema;
using D = DatabaseSettings;
constexpr AppliesTo postgresql = AppliesTo::postgresql;
constexpr AppliesTo sqlite = AppliesTo::sqlite;

constexpr std::array rows{
    bind<&D::shown>({.key = "url",
                     .help = "Required. sqlite:///relative.db, sqlite:////absolute.db, "
                             "sqlite::memory: (lives as long as the daemon), or postgresql://... "
                             "with everything that libpq accepts. Relative to the daemon's working "
                             "folder. \"+driver\" after the scheme is ignored."}),
    bind<&D::force_rollback>(
        {.key = "force_rollback",
         .help = "Nothing that a client does remains: on PostgreSQL one transaction that is never "
                 "committed, on SQLite an overlay that is thrown away at the end."}),
    bind<&D::init_sql>(
        {.key = "init_sql",
         .help = "Statements that are run on each new connection to the server, or each opening "
                 "of the file, before any client's."}),
    bind<&D::timeout>(
        {.key = "timeout",
         .min = 1,
         .max = day,
         .help = "How long a statement waits for a connection of the pool, for the lane of a "
                 "SQLite file, or for its turn under force_rollback. Then it fails with an error "
                 "that says who was in the way. 30s is the patience of most HTTP clients."}),
    bind<&D::max_waiting>(
        {.key = "max_waiting",
         .min = 1,
         .max = 1'000'000,
         .help = "Statements that may wait at once; more are refused at once with 53300. As many "
                 "as max_clients, so that only a flood is refused."}),
    bind<&D::statement_timeout>(
        {.key = "statement_timeout",
         .min = 0,
         .max = 30 * day,
         .help = "A statement that runs longer is cancelled with 57014. A session may ask for "
                 "less. 0: none, as a migration may take hours."}),
    bind<&D::transaction_timeout>(
        {.key = "transaction_timeout",
         .min = 0,
         .max = 30 * day,
         .help = "A transaction that lasts longer is rolled back. 0: none."}),
    bind<&D::idle_in_transaction>(
        {.key = "idle_in_transaction",
         .min = 0,
         .max = 30 * day,
         .help = "A transaction whose client is silent this long is rolled back with 25P03, as it "
                 "keeps a connection or the lane from everybody else; so is a group of messages "
                 "that waits for its Sync. 0: never."}),
    bind<&D::statement_cache>(
        {.key = "statement_cache",
         .min = 0,
         .max = 100'000,
         .help = "Prepared statements kept for each connection to the server or each file. 0: "
                 "none."}),

    bind<&D::auto_prepare>(
        {.key = "auto_prepare",
         .applies = postgresql,
         .help = "What a client of PostgreSQL's protocol sends again and again without a name is "
                 "prepared by Based, outside of transactions, from its second time on. Its plan is "
                 "then kept as that of any prepared statement. Not in session mode, in sandboxes "
                 "and with nested_transactions."}),
    bind<&D::user>(
        {.key = "user",
         .applies = postgresql,
         .help = "Who connects to the server, if the URL does not say. Where neither does, "
                 "each client by its own name; in a sandbox, on its one connection, which "
                 "has to be a superuser's (of the account that Based runs under) for that."}),
    bind<&D::password>({.key = "password",
                        .applies = postgresql,
                        .secret = true,
                        .help = "That user's password. Better in a file of its own: "
                                "password_file or password_credential."}),
    bind<&D::password_file>(
        {.key = "password_file",
         .applies = postgresql,
         .help = "A file whose first line is the password; relative to the folder of this file."}),
    bind<&D::password_credential>(
        {.key = "password_credential",
         .applies = postgresql,
         .help = "The name of a systemd credential (LoadCredential=) that is the password: a file "
                 "in $CREDENTIALS_DIRECTORY."}),
    bind<&D::application_name>(
        {.key = "application_name",
         .applies = postgresql,
         .help = "How the daemon's connections are called in pg_stat_activity."}),
    bind<&D::min_size>(
        {.key = "min_size",
         .min = 0,
         .max = 10'000,
         .applies = postgresql,
         .help = "Connections that are kept open even if idle. 0: the first client waits for a "
                 "connection of a few milliseconds, and an unused database costs nothing."}),
    bind<&D::max_size>(
        {.key = "max_size",
         .min = 1,
         .max = 10'000,
         .applies = postgresql,
         .help = "Connections at most. 20 keeps a server of ten cores busy and leaves room in "
                 "PostgreSQL's default of 100 for others. The option --pool-size sets it."}),
    bind<&D::max_lifetime>(
        {.key = "max_lifetime",
         .min = 0,
         .max = 365 * day,
         .applies = postgresql,
         .help = "A connection older than this, less up to 5% at random so that they do not end "
                 "together, is replaced: memory of old server processes is given back, moved "
                 "addresses are noticed. 0: never."}),
    bind<&D::max_idle>(
        {.key = "max_idle",
         .min = 0,
         .max = 365 * day,
         .applies = postgresql,
         .help = "A connection beyond min_size that nobody used for this time is closed. 0: "
                 "never."}),
    bind<&D::reconnect_timeout>(
        {.key = "reconnect_timeout",
         .min = second,
         .max = day,
         .applies = postgresql,
         .help = "How long attempts to connect go on, ever more slowly, before the failure is "
                 "logged as an error; after it they go on at the slowest pace."}),
    bind<&D::check_interval>(
        {.key = "check_interval",
         .min = 0,
         .max = day,
         .applies = postgresql,
         .help = "A connection that was idle for longer is tried before a client gets it. 0: "
                 "never; a lost connection is noticed at once where the network says so."}),
    bind<&D::connect_timeout>(
        {.key = "connect_timeout",
         .min = second,
         .max = hour,
         .applies = postgresql,
         .help = "One attempt to connect takes this long at most. Name look-up, TLS and a slow "
                 "server all count; libpq counts in whole seconds."}),
    bind<&D::pool_mode>(
        {.key = "pool_mode",
         .choices = "transaction, session",
         .applies = postgresql,
         .help = "When a client of PostgreSQL's protocol gives its connection back. transaction: "
                 "after each transaction; its settings and prepared statements follow it. session: "
                 "at its end."}),
    bind<&D::max_pinned>(
        {.key = "max_pinned",
         .min = 0,
         .max = 10'000,
         .applies = postgresql,
         .help = "Sessions that may keep their connection between transactions because of state "
                 "that cannot be moved: temporary tables, session locks, LISTEN. One more fails "
                 "with 53300. 0: no limit but max_size. And as many connections beside the "
                 "pool's, one for each group of sessions that share their transactions by a "
                 "token; 0: 1024."}),
    bind<&D::idle_while_pinned>(
        {.key = "idle_while_pinned",
         .min = 0,
         .max = 30 * day,
         .applies = postgresql,
         .help = "Such a session that is silent this long outside of a transaction loses its "
                 "connection and that state, with 57P05; a client of PostgreSQL's protocol is "
                 "closed. Not one that listens. 0: never, as for who keeps a session lock to "
                 "be the only one."}),
    bind<&D::verify_release>(
        {.key = "verify_release",
         .applies = postgresql,
         .help = "Before a connection goes to the next client, whatever a function may have left "
                 "on it that no statement's text shows is dropped: settings, the role, temporary "
                 "objects, session locks, LISTEN. Costs less than 0.1ms each time."}),
    bind<&D::nested_transactions>(
        {.key = "nested_transactions",
         .help = "Through PostgreSQL's protocol, BEGIN inside of a transaction begins another one "
                 "inside of it. Otherwise it is PostgreSQL's warning."}),
    bind<&D::sandboxes>(
        {.key = "sandboxes",
         .applies = postgresql,
         .help = "Clients may name sandboxes of it, DATABASE#NAME, although DATABASE itself is not "
                 "under force_rollback: migrations go there, tests here. With force_rollback they "
                 "may in any case."}),
    bind<&D::turns>(
        {.key = "turns",
         .choices = "wait, join, error",
         .help = "While a session of a sandbox is in a transaction, others wait for their turn; or "
                 "join it whenever it rests, so that a test may hold a transaction open while it "
                 "calls the server under test: what has joined is gone if the transaction is "
                 "rolled back; or fail at once, with 55P03."}),
    bind<&D::rewrite>(
        {.key = "rewrite",
         .applies = postgresql,
         .help =
             "In a sandbox, what PostgreSQL takes outside of a transaction only is run in a form "
             "that a transaction can hold: CREATE INDEX CONCURRENTLY and its like without "
             "CONCURRENTLY, VACUUM ANALYZE as ANALYZE, VACUUM as a warning, COPY without "
             "FREEZE. false: it fails with 25001."}),
    bind<&D::sequences>(
        {.key = "sequences",
         .choices = "leak, restore",
         .applies = postgresql,
         .help = "What sandboxes have taken of sequences, which PostgreSQL does not roll back. "
                 "restore: those that have moved are put back by setval() at a reset, also to a "
                 "mark, and at the sandbox's end, but not while another transaction writes to "
                 "the database, nor below what is in the column that owns one; SIGKILL leaves "
                 "them. For one sandbox at a time on a database that nobody else writes to: "
                 "another's number that is in no row yet may be given twice."}),
    bind<&D::sandbox_vacuum>(
        {.key = "sandbox_vacuum",
         .min = 0,
         .max = 1'000'000,
         .applies = postgresql,
         .help = "After so many resets of a sandbox the tables that were written to are vacuumed, "
                 "on a connection beside it that nobody waits for: what is rolled back stays in "
                 "a table, dead, and slows it down. 0: never."}),
    bind<&D::prepared_statements>(
        {.key = "prepared_statements",
         .min = 1,
         .max = 1'000'000,
         .applies = postgresql,
         .help = "Named prepared statements that one client of PostgreSQL's protocol may have; "
                 "one more fails with 53400."}),
    bind<&D::listen>(
        {.key = "listen",
         .choices = "shared, pin",
         .applies = postgresql,
         .help = "LISTEN through PostgreSQL's protocol. shared: one connection beside max_size "
                 "listens for "
                 "all clients of a user; when it is lost, notifications may be missed and the "
                 "clients are told so by a warning. pin: a client that listens keeps its "
                 "connection, as it does in session mode and with nested_transactions."}),
    bind<&D::notification_queue>(
        {.key = "notification_queue",
         .min = 16 * kib,
         .max = gib,
         .applies = postgresql,
         .help = "Notifications that wait while their client is in a transaction or does not "
                 "read. When it is full the oldest are dropped, and the client is told by a "
                 "warning."}),

    bind<&D::read_only>({.key = "read_only",
                         .applies = sqlite,
                         .help = "The file is opened for reading; writes fail with 25006."}),
    bind<&D::journal_mode>(
        {.key = "journal_mode",
         .choices = "auto, keep, wal, delete, truncate, persist",
         .applies = sqlite,
         .help = "auto: wal for files that the daemon creates, keep for those it finds, as a file "
                 "switched to WAL surprises its other users. Never changed under "
                 "force_rollback."}),
    bind<&D::synchronous>(
        {.key = "synchronous",
         .choices = "off, normal, full, extra",
         .applies = sqlite,
         .help = "What a commit waits for. full: a committed transaction survives a power "
                 "failure."}),
    bind<&D::busy_timeout>(
        {.key = "busy_timeout",
         .min = 0,
         .max = hour,
         .applies = sqlite,
         .help = "How long a lock of another process on the file is waited for."}),
    bind<&D::idle_while_waited>(
        {.key = "idle_while_waited",
         .min = 100,
         .max = 30 * day,
         .help =
             "As idle_in_transaction, while somebody else waits for the one lane of a file, or "
             "for the turn in a sandbox of PostgreSQL, where a result that is not read is a rest, "
             "too."}),
    bind<&D::slow_reader>(
        {.key = "slow_reader",
         .min = 100,
         .max = day,
         .applies = sqlite,
         .help = "A result that its client does not take holds the lane this long while somebody "
                 "waits; then its statement fails with 57014."}),
    bind<&D::cache_size>({.key = "cache_size",
                          .min = 64 * kib,
                          .max = 1024 * gib,
                          .applies = sqlite,
                          .help = "Pages of the file kept in memory."}),
    bind<&D::max_value>(
        {.key = "max_value",
         .min = 64 * kib,
         .max = gib - 1,
         .applies = sqlite,
         .help = "The longest text, blob or row. SQLite itself allows a little less than 1GiB; "
                 "each is in memory several times while it travels."}),
    bind<&D::result_buffer>({.key = "result_buffer",
                             .min = 64 * kib,
                             .max = gib,
                             .applies = sqlite,
                             .help = "Rows of one result on their way from the lane to its client; "
                                     "then the lane pauses."}),
    bind<&D::checkpoint_pages>(
        {.key = "checkpoint_pages",
         .min = 100,
         .max = 10'000'000,
         .applies = sqlite,
         .help = "Pages in the WAL after which they are copied into the file, between two "
                 "clients. 10000 pages are 40MiB."}),
    bind<&D::max_page_count>(
        {.key = "max_page_count",
         .min = 0,
         .max = 4'294'967'294,
         .applies = sqlite,
         .help = "The largest size of the file, in pages; beyond it writes fail with 53100. 0: "
                 "SQLite's own limit."}),
    bind<&D::overlay_memory>(
        {.key = "overlay_memory",
         .min = 0,
         .max = 64 * gib,
         .applies = sqlite,
         .help = "What force_rollback keeps of a file's changes in memory; the rest goes to a "
                 "nameless file in temp_dir."}),
    bind<&D::max_overlay>(
        {.key = "max_overlay",
         .min = 0,
         .max = 1024 * gib,
         .applies = sqlite,
         .help = "What force_rollback keeps of a file's changes in all, journals and marks "
                 "included; beyond it writes fail with 53100. 0: as much as the disk has."}),
    bind<&D::temp_dir>({.key = "temp_dir",
                        .applies = sqlite,
                        .help = "Where overlays of force_rollback and big sorts go. Empty: "
                                "$TMPDIR, else /tmp."}),
};
static_assert(is_sound(rows));

}  // namespace

std::span<const SettingRow> database_rows() { return rows; }

}  // namespace based
