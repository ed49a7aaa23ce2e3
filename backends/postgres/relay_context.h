// RelayContext: what the relays of one pool share. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "backends/log.h"
#include "backends/postgres/client_objects.h"
#include "backends/postgres/lease_source.h"
#include "backends/postgres/link_settings.h"
#include "backends/postgres/listener.h"
#include "backends/postgres/pins.h"
#include "backends/postgres/reported.h"
#include "backends/postgres/sandbox_channels.h"
#include "backends/postgres/statement_cache.h"
#include "backends/postgres/waited_for.h"
#include "backends/postgres/wire_stack.h"
#include "backends/reactor.h"
#include "backends/sandbox.h"
#include "backends/sql/session_calls.h"
#include "backends/sql/statement_table.h"

namespace based::postgres {

// Outlives them.
struct RelayContext {
  LeaseSource& leases;
  Pins& pins;
  Reactor& reactor;
  Log& log;
  sql::StatementTable& texts;
  std::string pool;                     // for logs and errors
  Duration lease_timeout{};             // the longest wait for a link
  Duration connect_timeout{};           // of a client's start, where the server must be asked
  Duration settings_timeout{};          // for settings to be accepted
  Duration idle_in_transaction{};       // zero: no limit
  std::size_t prepared_max = 0;         // named statements of one session
  bool verify_release = false;          // forget what no text has shown before each release
  Duration transaction_timeout{};       // zero: none
  bool session_mode = false;            // each keeps its link from its first statement to its end,
                                        // unless its own pool_mode says otherwise
  Settings base_settings;               // what every link is given when it is opened
  bool acts_as_user = false;            // one link is each client's user in turn
  Siblings siblings;                    // the sandboxes of the same database
  WireStackRules stack;                 // are transactions the server's own?
  bool shared = false;                  // of sessions that share their transactions
  Sandbox* sandbox = nullptr;           // what SANDBOX acts on; null: it is refused
  Listener* listener = nullptr;         // null: who listens keeps its link
  SandboxChannels* channels = nullptr;  // in a sandbox: in the place of the server's
  std::size_t notification_queue = 0;   // bytes that wait for one session
  SeenTexts* seen = nullptr;            // null: what has no name is never prepared unasked

  SandboxObjects objects;  // in a sandbox

  std::uint64_t notifications_dropped = 0;
  std::uint64_t unsure_keys = 0;  // given to statements whose settings were not known
  // What needs_own_link() has looked at last, and what came of it: mostly all links report the
  // same.
  ReportedRef judged;
  bool judged_to_need = false;
  ReportedRef known;  // what a link has reported last: for those who come while the server is away
  // Start-up settings that the server has accepted, by their fingerprint, with what it then
  // reported. Bounded.
  std::map<std::string, ReportedRef, std::less<>> accepted;
  std::uint64_t logins_known = 0;  // accepted is since then
  ProfileTable profiles;
  std::set<std::string, std::less<>> accepted_texts;  // of single settings. Bounded

  // Is what a turn begins with the savepoint that a WireStack calls the turn's?
  bool begins_turn() const { return stack.rooted && !leases.is_inside(); }
};

// A statement that a client has prepared. Shared with the links that know it.
struct PreparedText {
  std::string text;
  std::vector<std::uint32_t> types;
  ScriptRef script;       // null: ordinary (backends/sql/ordinary.h)
  bool from_sql = false;  // by PREPARE, which is the text
  // Transaction control that the stack answers: the server never sees it.
  bool control = false;
  bool reads = false;  // begins with SELECT
  bool spent = false;  // of a portal: it was executed
  // It came without a name, and is on the server under one of ours (relay_unasked.cpp).
  bool unasked = false;
  sql::SessionCalls calls;                       // in a sandbox
  std::string parsed_under;                      // the settings, where it has a name
  std::shared_ptr<const PreparedText> executes;  // by an EXECUTE, when it was parsed
  // The columns that its client was told, as relay_columns.cpp hashes them, and counts on; the same
  // of a portal of it, which the client may ask about each time. 0: none.
  mutable std::uint64_t columns = 0, portal_columns = 0;
};
using PreparedRef = std::shared_ptr<const PreparedText>;

struct NameHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view name) const noexcept {
    return std::hash<std::string_view>()(name);
  }
};
using NameMap = std::unordered_map<std::string, PreparedRef, NameHash, std::equal_to<>>;

}  // namespace based::postgres
