// The rows of [server].
#include <array>

#include "config/schema_binding.h"

namespace based {
namespace {

using namespace schema;
using S = ServerSettings;

constexpr std::array rows{
    bind<&S::listen>(
        {.key = "listen",
         .help = "Where clients connect: host:port, :port (127.0.0.1), [::1]:port or unix:/path. "
                 "Port 0 takes a free port and says which. 6432 is where a pooler is looked for."}),
    bind<&S::unix_socket_mode>(
        {.key = "unix_socket_mode",
         .help = "Mode of a unix socket's file, in octal. Who may open it may use every database, "
                 "so only the daemon's own user may by default."}),
    bind<&S::unix_socket_dir>(
        {.key = "unix_socket_dir",
         .help = "A folder in which each TCP port of listen has a unix socket, too, under the name "
                 "that PostgreSQL's programs look for: .s.PGSQL.6432 for psql -h FOLDER -p 6432. "
                 "It serves what listen serves, with unix_auth and unix_socket_mode."}),
    bind<&S::auth>(
        {.key = "auth",
         .choices = "auto, trust, scram",
         .help = "How clients show who they are. auto: with a password of [users] "
                 "(SCRAM-SHA-256). trust: they are believed; only for loopback addresses and unix "
                 "sockets, and the file has to say it where it has no [users]."}),
    bind<&S::unix_auth>(
        {.key = "unix_auth",
         .choices = "auto, trust, peer, scram",
         .help = "The same for unix sockets. peer: the user of the client's process, as the "
                 "kernel tells it, is the name that it may give. auto: as auth."}),
    bind<&S::trust_network>(
        {.key = "trust_network",
         .help = "Allows addresses that other machines can reach although there are no [users]: "
                 "whoever reaches the port may use every database."}),
    bind<&S::environment>(
        {.key = "environment",
         .help = "Names of environment variables that ${NAME} stands for in this file's texts. "
                 "Others are an error and not silently empty; $${ is a plain ${."}),
    bind<&S::max_clients>(
        {.key = "max_clients",
         .min = 1,
         .max = 1'000'000,
         .help = "Clients connected at once; more are told so (53300) and closed. A resting client "
                 "is a small record: this guards against one that opens connections in a loop. "
                 "Each needs a descriptor (LimitNOFILE), and so do those that are being told: an "
                 "eighth more, and 16."}),
    bind<&S::max_catch_all>(
        {.key = "max_catch_all",
         .min = 1,
         .max = 10'000,
         .help = "Databases that [databases.\"*\"] may have made at once. For one more, one that "
                 "no client uses is forgotten; where all are used it is refused with 53300."}),
    bind<&S::catch_all_idle>(
        {.key = "catch_all_idle",
         .min = 0,
         .max = 365 * day,
         .help = "A database that [databases.\"*\"] has made is forgotten, with its connections, "
                 "when no client has used it for this time. 0: only for max_catch_all. Never under "
                 "force_rollback."}),
    bind<&S::max_sandboxes>(
        {.key = "max_sandboxes",
         .min = 1,
         .max = 10'000,
         .help = "Sandboxes that clients may have named at once: DATABASE#NAME as database name, "
                 "where DATABASE has force_rollback or sandboxes. Each needs one connection of "
                 "the server. One more is refused with 53300."}),
    bind<&S::sandbox_idle>(
        {.key = "sandbox_idle",
         .min = 0,
         .max = 365 * day,
         .help = "A named sandbox that no client has used for this time is closed, and what was "
                 "done in it is gone. 0: never."}),
    bind<&S::sandbox_by>(
        {.key = "sandbox_by",
         .choices = "name, peer-pid",
         .help = "Which sandbox a client has that names none. name: the one that all of these "
                 "share. peer-pid: over a unix socket one for each process, closed after the "
                 "process has ended; a process that the daemon cannot see shares as before."}),
    bind<&S::handshake_timeout>(
        {.key = "handshake_timeout",
         .min = 100,
         .max = hour,
         .help = "A client that has not finished its greeting in this time is closed, so that "
                 "idle strangers hold no place."}),
    bind<&S::idle_timeout>(
        {.key = "idle_timeout",
         .min = 0,
         .max = 365 * day,
         .help = "A client that asks nothing for this time and has no transaction open is closed. "
                 "0: never, as pools of applications keep connections for hours."}),
    bind<&S::ping_interval>(
        {.key = "ping_interval",
         .min = 0,
         .max = day,
         .help = "A silent client is asked whether it lives, this often; one that does not answer "
                 "until the next time is closed and its transaction rolled back. 0: never."}),
    bind<&S::write_timeout>(
        {.key = "write_timeout",
         .min = second,
         .max = day,
         .help = "A client that has replies waiting and takes none of them for this time is "
                 "closed. Longer than any pause of a working network, shorter than a "
                 "forgotten debugger."}),
    bind<&S::max_frame>(
        {.key = "max_frame",
         .min = 64 * kib,
         .max = gib,
         .help = "The longest message that a client may send: a statement with its parameters. "
                 "It is held in memory while it arrives, once for each client."}),
    bind<&S::max_query>(
        {.key = "max_query",
         .min = 64 * kib,
         .max = gib - 1,
         .help = "The same through PostgreSQL's protocol; a client that sends more is ended with "
                 "54000. Parameters (Bind) and COPY's data come in parts and do not count."}),
    bind<&S::max_sessions>(
        {.key = "max_sessions",
         .min = 1,
         .max = 65'535,
         .help = "Sessions of one client connection. One for each thread or task of a program is "
                 "plenty."}),
    bind<&S::max_inflight>(
        {.key = "max_inflight",
         .min = 1,
         .max = 65'535,
         .help = "Requests that one client may have sent without an answer yet; further ones are "
                 "refused with 53300."}),
    bind<&S::max_depth>(
        {.key = "max_depth",
         .min = 1,
         .max = 1'000,
         .help = "Levels of one transaction stack. PostgreSQL slows down beyond 64 savepoints."}),
    bind<&S::output_buffer>(
        {.key = "output_buffer",
         .min = 64 * kib,
         .max = gib,
         .help = "Bytes of results that may wait for one slow client before its statement is "
                 "paused."}),
    bind<&S::shutdown_timeout>(
        {.key = "shutdown_timeout",
         .min = 0,
         .max = hour,
         .help = "After SIGTERM, open transactions may finish for this time; then they are rolled "
                 "back. Well below the 90s after which systemd kills."}),
    bind<&S::log_level>({.key = "log_level",
                         .choices = "debug, info, warning, error",
                         .help = "The least level that is logged to standard error."}),
    bind<&S::force_rollback>(
        {.key = "force_rollback",
         .help = "As if every database said force_rollback: nothing that any client does "
                 "remains. The same as the option --force-rollback."}),
};
static_assert(is_sound(rows));

}  // namespace

std::span<const SettingRow> server_rows() { return rows; }

}  // namespace based
