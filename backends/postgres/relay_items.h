// What a Relay remembers of what it has sent, until it is answered.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/postgres/relay_context.h"
#include "backends/postgres/session_call.h"
#include "backends/postgres/wire_stack.h"
#include "backends/sql/session_calls.h"
#include "backends/statement.h"
#include "backends/wire.h"

namespace based::postgres {

// Something that a reply will decide; the expectation's index is its number.
enum class ItemKind : std::uint8_t {
  parse,
  placed,  // a Parse of ours in front of what needs it: the client does not hear of it
  close,
  execute,
  query,
  bind,
  refusal,
  control,
  reply,
  check
};
// Of a text that goes in parts: can the server parse the whole of it?
enum class Check : std::uint8_t {
  none,      // it is known
  in_front,  // asked in front of the first part
  whole,     // to be asked by itself
  asked,     // by itself
  passed     // it can
};
// Statements of Based's own for one of the client's, or around its unit.
struct Control {
  WireStack::Plan plan;
  WireStack after;
  bool discards = false;
  bool with_columns = false;  // a row goes with its columns: in a simple Query
  bool due = false;           // what the plan's question was asked for
};
// What a question has found to be due.
struct Restoring {
  WireStack::Plan plan;
  std::string text;
};
// `bind`: of the portal that is executed; null: it has no parameters.
std::vector<CallMade> calls_made(const sql::SessionCalls& calls, const WireMessage* bind);
struct Item {
  ItemKind kind = ItemKind::parse;
  bool done = false;
  bool kept = false;            // done as soon as the client is told (Relay::kept_back_)
  std::string name;             // parse, close: the client's name for it; bind: the portal's
  PreparedRef prepared;         // parse, close, execute
  std::string on_server;        // parse: the name that it has there
  ScriptRef script;             // query
  std::size_t at = 0;           // query: statements that are done
  bool unnamed = false;         // it replaces the unnamed statement, unless it is skipped:
  PreparedRef before;           // then there is this one again
  bool was_there = false;       // the link had that
  std::string bytes;            // reply: what was never asked of the server; bind: its error
  bool in_failed = false;       // refusal: told in a failed transaction, too
  std::uint32_t before_it = 0;  // query: characters of its text that were not sent with it
  std::unique_ptr<Control> control;
  std::string text;             // query, control: for a sandbox's log
  std::vector<CallMade> calls;  // query, execute
};
// A part of a simple Query that is sent by itself.
struct QueryPart {
  StatementRef control;    // null: text
  bool executed = false;   // the control is an EXECUTE's
  bool in_script = false;  // it is one of several statements
  std::string text;
  std::uint32_t before = 0;  // characters of the client's text before it
  ScriptRef script;          // of a text; null: ordinary
  bool reads = false;
};
// One request that was sent and waits for its ReadyForQuery.
struct Sent {
  std::uint32_t first_item = 0;
  bool extended = false;  // the client has begun it in the extended protocol
};

}  // namespace based::postgres
