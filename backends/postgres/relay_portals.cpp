// The Relay's transaction control that comes as the extended protocol has it: prepared, bound,
// described, executed and closed. The server knows nothing of such a statement, nor of its portal.
#include <utility>

#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_replies.h"
#include "backends/postgres/wire_stack_text.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

constexpr std::string_view closed("3\0\0\0\4", 5);

// How many values a Bind has, behind its names.
std::size_t parameters_of(std::string_view rest) {
  const auto number_at = [rest](std::size_t at) -> std::size_t {
    if (at + 2 > rest.size()) return 0;
    return std::size_t{static_cast<unsigned char>(rest[at])} << 8 |
           static_cast<unsigned char>(rest[at + 1]);
  };
  return number_at(2 + 2 * number_at(0));
}

}  // namespace

// What is prepared inside of another's transaction may be used outside: it is looked at then.
void Relay::note_control_text(PreparedText& text) const {
  if (!text.script || !rules_.rooted || rules_.inside) return;
  const std::vector<StatementRef>& statements = text.script->statements;
  text.control = statements.size() == 1 && stack_.is_control(*statements.front());
}

// Describe and Close of what the server does not know.
bool Relay::answer_for_control(const NamedRequest& named, bool closes) {
  if (!rules_.rooted) return false;
  if (named.what == 'P') {
    const auto found = portals_.find(named.name);
    if (found == portals_.end() || !found->second->control) return false;
    const PreparedRef text = found->second;
    if (closes) portals_.erase(found);
    reply_here(closes ? std::string(closed) : columns_of(*text->script->statements.front()));
    return true;
  }
  const PreparedRef* prepared = named.name.empty() ? &unnamed_ : find_prepared(named.name);
  if (closes || prepared == nullptr || !*prepared || !(*prepared)->control) return false;
  std::string bytes;
  BackendWriter(bytes).parameter_description((*prepared)->types);
  reply_here(bytes + columns_of(*(*prepared)->script->statements.front()));
  return true;
}

// A portal's name, by what the server does not know of.
bool Relay::is_taken(const BindNames& names, bool controls) const {
  if (names.portal.empty() || !rules_.rooted) return false;
  if (controls && open_portals_.contains(names.portal)) return true;
  const auto found = portals_.find(names.portal);
  return found != portals_.end() && found->second->control;
}

// What the server says first of a Bind whose portal is taken by what it does not know of.
void Relay::try_bind(const WireMessage& message, const BindNames& names,
                     std::string_view statement) {
  std::string bytes;
  BackendWriter(bytes).error("ERROR", taken_error(names.portal));
  bind_renamed(message, names, "_based_taken", statement, Fate::swallow,
               add_item(item_of_bytes(ItemKind::bind, std::move(bytes))));
}

// Transaction control that the server does not know has the parameters that its Parse has declared.
void Relay::bind_control(const BindNames& names, const PreparedRef& text) {
  const std::size_t count = parameters_of(names.rest);
  if (count == text->types.size()) {
    if (refuse_failed_control(*text)) return;
    if (is_taken(names, true)) return refuse_here(taken_error(names.portal), true);
    portals_[std::string(names.portal)] = text;
    return reply_here(std::string("2\0\0\0\4", 5));
  }
  refuse_here(
      Error::make(sqlstate::protocol_violation, "bind message supplies " + std::to_string(count) +
                                                    " parameters, but prepared statement \"" +
                                                    std::string(names.statement) + "\" requires " +
                                                    std::to_string(text->types.size())),
      true);
}

// Nothing of Based's own is in the portal without a name when a client asks for that.
void Relay::close_own_portal() {
  if (!std::exchange(own_portal_, false)) return;
  FrontendWriter(link_->out()).close_portal("");
  expect_swallowed(Expect::close);
}

// Transaction control, or an EXECUTE of what the protocol has prepared.
bool Relay::is_control(const PreparedText& text) const {
  if (text.control) return true;
  if (!stacked() || !text.script || text.script->statements.size() != 1) return false;
  return stack_.is_control(*text.script->statements.front());
}

// In a failed transaction the server does not prepare it either.
bool Relay::refuse_failed_control(const PreparedText& text) {
  return !runs_in_failed(*text.script->statements.front()) && refuse_in_failed_transaction();
}

// Once, as the server does; the end of a transaction takes the portal with it.
void Relay::execute_control(const ExecuteRequest& execute, const PreparedRef& text) {
  const StatementRef& statement = text->script->statements.front();
  if (text->spent) return execute_again(statement, execute.portal);
  const bool executed = word_at(text->text, 0) == "execute";
  if (executed && refuse_in_failed_transaction()) return;
  if (executed) stack_.note_text(text->text);
  if (statement->kind != StatementKind::sandbox) {
    auto spent = std::make_shared<PreparedText>(*text);
    spent->spent = spent->control = true;
    portals_[std::string(execute.portal)] = std::move(spent);
  }
  // Whether there is more than the row, the server finds out by looking for it.
  const bool suspends = own_row_of(*statement) && execute.rows_max == 1;
  const Showing showing = suspends ? Showing::row_suspended : Showing::row;
  executed ? take_executed(statement, showing) : take_control(statement, showing, false);
}

// What has no rows cannot be run again; of one that has, nothing is left.
void Relay::execute_again(const StatementRef& statement, std::string_view portal) {
  const std::optional<OwnRow> row = own_row_of(*statement);
  if (!row) {
    return refuse_here(Error::make(sqlstate::object_not_in_prerequisite_state,
                                   "portal \"" + std::string(portal) + "\" cannot be run"),
                       runs_in_failed(*statement));
  }
  if (refuse_in_failed_transaction()) return;
  const bool counts = row->tag != "SHOW";
  const std::uint32_t number = inject_steps({.tag = counts ? "SELECT 0" : "SHOW"});
  if (context_.sandbox != nullptr) item(number).details().text = statement->text;
}

}  // namespace based::postgres
