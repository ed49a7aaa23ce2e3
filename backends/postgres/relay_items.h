// What a Relay remembers of what it has sent, until it is answered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/postgres/relay_context.h"
#include "backends/postgres/session_call.h"
#include "backends/postgres/session_limits.h"
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
  check,
  described  // which columns a statement has
};
// Of a text that goes in parts: can the server parse the whole of it?
enum class Check : std::uint8_t {
  none,      // it is known
  in_front,  // asked in front of the first part
  whole,     // to be asked by itself
  asked,     // by itself
  passed     // it can
};
// How a row that Based has itself goes to the client: with its columns in a simple Query; by itself
// from a portal, which is not done with it where that is all that was asked for.
// later: told now, and done at the unit's end; told: that was told.
enum class Showing : std::uint8_t { with_columns, row, row_suspended, later, told };
// Statements of Based's own for one of the client's, or around its unit.
struct Control {
  WireStack::Plan plan;
  WireStack after;
  bool discards = false;
  Showing showing = Showing::row;
  bool due = false;   // what the plan's question was asked for
  bool lost = false;  // the question was not there to be asked
};
// What its client counts on of the columns of its statements.
struct ColumnsTold {
  PreparedRef bound;          // in the newest portal; null: not by a name
  std::string portal;         // that
  std::string on_link;        // what is bound, by its name there
  PreparedRef heard_of;       // what was just asked about: a Bind of it comes next
  bool described = false;     // the portal, since it was bound
  bool unknown = false;       // the link has not described what is bound
  bool asked = false;         // a statement's columns, and what follows waits for the answer
  bool next_awaited = false;  // a Bind is held until its client says what comes behind it
  bool any = false;           // it counts on some
  // What the client of the Bind that comes next counts on, and what the link has said. 0: nothing.
  std::uint64_t counted = 0, heard = 0;

  // Of the Bind that comes, once: does its client count on other columns than the link's have?
  bool take_difference() {
    const std::uint64_t wanted = std::exchange(counted, 0), said = std::exchange(heard, 0);
    const bool asked_of_it = std::exchange(heard_of, nullptr) != nullptr;
    return asked_of_it && wanted != 0 && said != 0 && wanted != said;
  }
};
// What a question has found to be due.
struct Restoring {
  WireStack::Plan plan;
  std::string text;
  Showing showing = Showing::row;
};
// What is run behind an error, and how often it was struck.
struct Recovery {
  std::vector<StatementRef> steps;
  unsigned tries = 0;
};
// `bind`: of the portal that is executed; null: it has no parameters.
std::vector<CallMade> calls_made(const sql::SessionCalls& calls, const WireMessage* bind);
// What portals will set and notify when they are executed, by their names.
class PortalCalls {
 public:
  bool full() const { return bytes_ >= portal_bytes_max; }
  void set(std::string_view portal, std::vector<CallMade> calls) {
    erase(portal);
    bytes_ += bytes_of(calls);
    calls_.emplace(portal, std::move(calls));
  }
  // Null: none.
  const std::vector<CallMade>* find(std::string_view portal) const {
    const auto found = calls_.find(portal);
    return found == calls_.end() ? nullptr : &found->second;
  }
  void erase(std::string_view portal) {
    const auto found = calls_.find(portal);
    if (found == calls_.end()) return;
    bytes_ -= bytes_of(found->second);
    calls_.erase(found);
  }
  void clear() {
    calls_.clear();
    bytes_ = 0;
  }

 private:
  static std::size_t bytes_of(const std::vector<CallMade>& calls) {
    std::size_t bytes = 0;
    for (const CallMade& call : calls) {
      for (const auto& argument : call.arguments) bytes += argument ? argument->size() : 0;
    }
    return bytes;
  }

  std::map<std::string, std::vector<CallMade>, std::less<>> calls_;
  std::size_t bytes_ = 0;
};
inline std::string rows_tag(std::uint32_t rows) { return "SELECT " + std::to_string(rows); }
// What few of them need.
struct ItemDetail {
  std::string name;             // parse, close: the client's name for it; or the portal's, as bind
  std::string on_server;        // parse: the name that it has there
  std::string bytes;            // reply: what was never asked of the server; bind: its error;
                                // execute of some rows: the tag of one that stops at them
  std::string text;             // query, control: for a sandbox's log
  std::vector<CallMade> calls;  // query, execute
};
struct Item {
  ItemKind kind = ItemKind::parse;
  bool done = false;
  bool kept = false;           // done as soon as the client is told (Relay::kept_back_)
  bool unnamed = false;        // it replaces the unnamed statement, unless it is skipped:
  bool was_there = false;      // then there is `before` again, and the link had that; or a portal
  bool in_failed = false;      // refusal: told in a failed transaction, too
  bool ends = false;           // refusal: it is the end of the transaction all the same
  bool of_ours = false;        // described: the client does not hear of it
  bool begins = false;         // a BEGIN of ours is in front of it, and not answered
  std::int32_t before_it = 0;  // query: characters of its text that were not sent with it
  std::uint32_t at = 0;        // query: statements that are done
  PreparedRef prepared;        // parse, close, execute
  PreparedRef before;
  ScriptRef script;  // query
  std::unique_ptr<Control> control;
  std::unique_ptr<ItemDetail> detail;  // null: all of it is empty

  ItemDetail& details() {
    if (!detail) detail = std::make_unique<ItemDetail>();
    return *detail;
  }
  std::string_view name() const { return detail ? detail->name : std::string_view(); }
  std::string_view on_server() const { return detail ? detail->on_server : std::string_view(); }
  std::string_view bytes() const { return detail ? detail->bytes : std::string_view(); }
  std::string_view text() const { return detail ? detail->text : std::string_view(); }
  // What it runs on the server; null: nothing that Based has to know.
  const ScriptRef& running() const {
    static const ScriptRef none;
    if (kind == ItemKind::query) return script;
    return kind == ItemKind::execute && prepared ? prepared->script : none;
  }
  // Of Based's own nothing but the question has a name, which a client's function may have dropped.
  bool lacks_question(Expect asked, std::string_view sqlstate) const {
    return kind == ItemKind::control && control->plan.restoring && asked == Expect::bind &&
           sqlstate == "26000";
  }
  bool ends_transaction() const { return ends || (control && control->plan.ends_transaction); }
  const std::vector<CallMade>& calls() const {
    static const std::vector<CallMade> none;
    return detail ? detail->calls : none;
  }
};
inline Item item_named(ItemKind kind, std::string_view name) {
  Item made{.kind = kind};
  made.details().name = name;
  return made;
}
inline Item item_of_bytes(ItemKind kind, std::string bytes) {
  Item made{.kind = kind};
  made.details().bytes = std::move(bytes);
  return made;
}
// Of the statement that is being answered in a sandbox.
std::string_view text_of(const Item& item);
// A part of a simple Query that is sent by itself.
struct QueryPart {
  StatementRef control;    // null: text
  bool executed = false;   // the control is an EXECUTE's
  bool in_script = false;  // it is one of several statements
  std::string text;
  std::int32_t before = 0;  // characters of the client's text before it
  ScriptRef script;         // of a text; null: ordinary
  bool reads = false;
  std::string notices;           // as bytes: of names in the whole text
  std::optional<Error> refusal;  // of the whole text, which then does not run
};
// One request that was sent and waits for its ReadyForQuery.
struct Sent {
  std::uint32_t first_item = 0;
  bool extended = false;  // the client has begun it in the extended protocol
  bool limited = false;   // it has executed a portal that may have rows left
};

// Will the link have other settings than the session behind what was sent?
bool is_reset_ahead(const std::vector<Item>& items);

}  // namespace based::postgres
