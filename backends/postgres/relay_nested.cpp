// The Relay's nested transactions (nested_transactions = true).
//
// The outermost transaction is the server's own, and so are the messages of a client that has no
// other: they go to it as they are. A BEGIN inside of it is the Relay's (relay_stack.cpp), from
// that message on and until the unit is over that ends the last nested one. Whether a BEGIN is
// inside is known when what was sent before it is answered.
#include <algorithm>

#include "backends/postgres/relay.h"
#include "backends/transaction_stack.h"
#include "protocol/postgres/requests.h"

namespace based::postgres {
namespace {

bool begins(const ScriptRef& script) {
  return script && std::ranges::any_of(script->statements, [](const StatementRef& statement) {
           return statement->kind == StatementKind::begin;
         });
}

bool nests(const WireStack& from, const Script& script) {
  const std::vector<bool> controls = from.controls_in(script);
  return std::ranges::find(controls, true) != controls.end();
}

// What is not answered yet may change where a BEGIN comes.
bool decides(const Item& item) {
  const ScriptRef& script = item.prepared ? item.prepared->script : item.script;
  if (item.done || !script) return false;
  if (item.kind != ItemKind::execute && item.kind != ItemKind::query) return false;
  return std::ranges::any_of(script->statements, [](const StatementRef& statement) {
    return is_transaction_control(statement->kind) ||
           statement->kind == StatementKind::prepare_transaction;
  });
}

}  // namespace

// What this message runs, if a BEGIN is in it.
ScriptRef Relay::script_begun_by(const WireMessage& message) const {
  if (!message.first || is_skipped()) return nullptr;
  ScriptRef script;
  std::string_view text;
  ExecuteRequest execute;
  if (message.type == request::query) {
    if (decode_text(message.body, text)) script = seen_through(look_at(text));
  } else if (message.type == request::execute && decode_execute(message.body, execute)) {
    const auto found = portals_.find(execute.portal);
    if (found != portals_.end()) script = found->second->script;
  }
  return begins(script) ? script : nullptr;
}

// REQUIRES flowing.
bool Relay::awaits_nesting(const WireMessage& message) {
  if (!rules_.nested || stacked() || sent_.empty()) return false;
  const ScriptRef script = script_begun_by(message);
  if (!script) return false;
  if (!nests(reached_, *script) && std::ranges::none_of(items_, decides)) return false;
  return sent_.size() > 1 || !link_->queue().is_open() || awaits_replies();
}

void Relay::begin_nesting(const WireMessage& message) {
  if (!rules_.nested || stacked()) return;
  const ScriptRef script = script_begun_by(message);
  if (!script || !nests(reached_, *script)) return;
  nesting_ = true;
  stack_ = reached_;
}

// The server runs a BEGIN's portal once: it says so of the next time.
void Relay::forget_begun(const WireMessage& message) {
  if (!rules_.nested || rules_.rooted || !script_begun_by(message)) return;
  ExecuteRequest execute;
  if (decode_execute(message.body, execute)) erase_portal(execute.portal);
}

}  // namespace based::postgres
