// Settings: everything that can be configured, as plain values with their defaults.
//
// daemon/ translates them into the option structs of the layers below. The keys of the file, their
// ranges and their help are the rows of config/schema.h, bound to these members; the defaults are
// here and nowhere else. A duration of zero means "no limit" where the schema allows zero.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/address.h"
#include "config/units.h"

namespace based {

enum class LogLevelSetting : std::uint8_t { debug, info, warning, error };

enum class DatabaseKind : std::uint8_t { postgresql, sqlite };

enum class JournalModeSetting : std::uint8_t {
  automatic,  // "auto": wal for files that we create, keep for files that we find
  keep,
  wal,
  rollback,  // "delete"
  truncate,
  persist,
};

enum class SynchronousSetting : std::uint8_t { off, normal, full, extra };

// When a client of PostgreSQL's protocol gives its connection back.
enum class PoolModeSetting : std::uint8_t { transaction, session };

// How a client shows who it is: over TCP, and over a unix socket. automatic: by password where
// there are users; without users nobody is asked, which the file must say.
enum class AuthSetting : std::uint8_t { automatic, trust, scram };
enum class UnixAuthSetting : std::uint8_t { automatic, trust, peer, scram };

// The same for the clients of one user: as the database says, or in spite of it.
enum class UserPoolModeSetting : std::uint8_t { database, transaction, session };

struct UserSettings {
  std::string name;
  std::string verifier;                // protocol/scram.h; checked
  std::vector<std::string> databases;  // that the user may use; empty: every one
  UserPoolModeSetting pool_mode = UserPoolModeSetting::database;
  std::string place;
};

// Which sandbox a client on a unix socket has that names none: the database's, or its process's.
enum class SandboxBySetting : std::uint8_t { name, peer_pid };

// What a sandbox has taken of a sequence: gone, or put back where nothing speaks against it.
enum class SequencesSetting : std::uint8_t { leak, restore };
enum class TurnsSetting { wait, join, error };
enum class ListenModeSetting : std::uint8_t { shared, pin };

// The mode of a unix socket's file, written in octal ("0700").
struct FileMode {
  std::uint32_t bits = 0700;
  friend constexpr bool operator==(const FileMode&, const FileMode&) = default;
};

struct ServerSettings {
  // Clients
  std::vector<ListenAddress> listen{{"127.0.0.1", 6432, ""}};
  FileMode unix_socket_mode{0700};
  std::string unix_socket_dir;  // where .s.PGSQL.PORT is made for each port of `listen`
  AuthSetting auth = AuthSetting::automatic;
  UnixAuthSetting unix_auth = UnixAuthSetting::automatic;
  bool trust_network = false;
  std::vector<std::string> environment;  // variables that ${NAME} may stand for
  std::uint32_t max_clients = 10'000;
  std::uint32_t max_catch_all = 100;  // databases that the catch-all has made at once
  std::chrono::milliseconds catch_all_idle = std::chrono::hours(1);
  std::uint32_t max_sandboxes = 64;
  std::chrono::milliseconds sandbox_idle = std::chrono::minutes(10);
  SandboxBySetting sandbox_by = SandboxBySetting::name;
  std::chrono::milliseconds handshake_timeout = std::chrono::seconds(10);
  std::chrono::milliseconds idle_timeout{0};  // of a client without sessions at work
  std::chrono::milliseconds ping_interval = std::chrono::seconds(60);
  std::chrono::milliseconds write_timeout = std::chrono::seconds(60);
  // One client
  Bytes max_frame = 16_MiB;
  Bytes max_query = 64_MiB;  // the same through PostgreSQL's protocol
  std::uint32_t max_sessions = 64;
  std::uint32_t max_inflight = 256;
  std::uint32_t max_depth = 64;
  Bytes output_buffer = 1_MiB;
  // The daemon
  std::chrono::milliseconds shutdown_timeout = std::chrono::seconds(30);
  LogLevelSetting log_level = LogLevelSetting::info;
  bool force_rollback = false;  // as if every database said so
};

// The name of the database that is every one that no other has: [databases."*"].
inline constexpr std::string_view catch_all_name = "*";

struct DatabaseSettings {
  std::string name;
  DatabaseKind kind = DatabaseKind::sqlite;
  std::string place;      // where it was configured: "based.toml:12:2", "command line"
  std::string shown;      // the URL with its passwords masked: all that a log or a client may see
  std::string path;       // sqlite: of the file; empty: in memory
  std::string conninfo;   // postgresql: for libpq, without "+driver"; may hold a password
  bool embedded = false;  // nobody configured it: the daemon makes the folder of its file

  bool force_rollback = false;
  std::vector<std::string> init_sql;
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  std::uint32_t max_waiting = 10'000;
  std::chrono::milliseconds statement_timeout{0};
  std::chrono::milliseconds transaction_timeout{0};
  std::chrono::milliseconds idle_in_transaction = std::chrono::seconds(60);
  std::uint32_t statement_cache = 256;

  // postgresql
  bool auto_prepare = true;
  std::string user;
  std::string password;  // from wherever it came: the file, password_file, a credential
  std::string password_file;
  std::string password_credential;
  std::string application_name = "based";
  std::uint32_t min_size = 0;
  std::uint32_t max_size = 20;
  std::chrono::milliseconds max_lifetime = std::chrono::hours(1);
  std::chrono::milliseconds max_idle = std::chrono::minutes(10);
  std::chrono::milliseconds reconnect_timeout = std::chrono::minutes(5);
  std::chrono::milliseconds check_interval = std::chrono::seconds(30);
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(10);
  PoolModeSetting pool_mode = PoolModeSetting::transaction;
  std::uint32_t max_pinned = 0;
  std::chrono::milliseconds idle_while_pinned = std::chrono::hours(1);
  bool verify_release = false;
  bool nested_transactions = false;
  bool sandboxes = false;
  bool rewrite = true;
  TurnsSetting turns = TurnsSetting::wait;
  std::uint32_t prepared_statements = 10'000;
  std::uint32_t sandbox_vacuum = 200;
  SequencesSetting sequences = SequencesSetting::leak;
  ListenModeSetting listen = ListenModeSetting::shared;
  Bytes notification_queue = 1_MiB;

  // sqlite
  bool read_only = false;
  JournalModeSetting journal_mode = JournalModeSetting::automatic;
  SynchronousSetting synchronous = SynchronousSetting::full;
  std::chrono::milliseconds busy_timeout = std::chrono::seconds(5);
  std::chrono::milliseconds idle_while_waited = std::chrono::seconds(5);
  std::chrono::milliseconds slow_reader = std::chrono::seconds(5);
  Bytes cache_size = 16_MiB;
  Bytes max_value = 256_MiB;
  Bytes result_buffer = 1_MiB;
  std::uint32_t checkpoint_pages = 10'000;
  std::uint64_t max_page_count = 0;  // 0: SQLite's own limit
  Bytes overlay_memory = 64_MiB;
  Bytes max_overlay = 16'384_MiB;  // 0: as much as the disk has
  std::string temp_dir;            // empty: $TMPDIR, else /tmp
};

struct Settings {
  ServerSettings server;
  std::vector<UserSettings> users;
  bool from_file = false;                   // a file was given
  std::vector<std::string> warnings;        // what works and is not wise, one line each
  std::vector<DatabaseSettings> databases;  // never empty; the first is a client's default
};

}  // namespace based
