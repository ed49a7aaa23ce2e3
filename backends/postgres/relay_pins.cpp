// The Relay's pins: state that cannot be moved keeps its session's link.
#include <algorithm>

#include "backends/postgres/relay.h"
#include "backends/sql/words.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

// Whatever is in a schema depends on it, a function as well as a table.
constexpr std::string_view pin_question =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = "
    "pg_catalog.pg_backend_pid()) OR EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid = "
    "'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid = "
    "pg_catalog.pg_my_temp_schema()) OR EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE "
    "is_holdable) OR EXISTS (SELECT FROM pg_catalog.pg_listening_channels())";

// What stays until DISCARD ALL, whatever the server would answer.
bool lasts(const Statement& statement) {
  std::string upper;
  for (const char c : statement.text) {
    upper += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  const auto has = [&upper](std::string_view word) { return upper.find(word) != upper.npos; };
  return !has("TEMP") && !has("ADVISORY") && !has("HOLD") && !has("LISTEN");
}

}  // namespace

// Before a statement whose state cannot be moved to another link. False: it was refused.
bool Relay::pin(const Script& script) {
  const auto is_command = [](const auto& s) { return s->kind == StatementKind::sandbox; };
  if (std::ranges::any_of(script.statements, is_command)) {
    refuse_here(no_sandbox_error(options_.database));
    return false;
  }
  const auto is_listen = [](const auto& s) { return s->kind == StatementKind::listen; };
  // It listens to nothing: an UNLISTEN, as drivers' pools say it, does nothing.
  const auto listens = [](const StatementRef& s) {
    return s->kind == StatementKind::listen && s->setting != "unlisten";
  };
  if (options_.group != 0 && std::ranges::any_of(script.statements, listens)) {
    refuse_here(Error::make(sqlstate::feature_not_supported,
                            "LISTEN in a session that is shared by a token"));
    return false;
  }
  const auto pinning =
      std::ranges::find_if(script.statements, [this](const StatementRef& statement) {
        return statement->kind == StatementKind::pinning || listens_here(*statement);
      });
  // In a sandbox its state is that one's, and shared sessions have it in common.
  const bool keeps = session_mode_ || rules_.rooted || options_.group != 0;
  if (pinning == script.statements.end() || keeps) return true;
  pin_lasts_ = pin_lasts_ || lasts(**pinning);
  pin_listens_ = pin_listens_ || std::ranges::any_of(script.statements, is_listen);
  if (pinned_) return true;
  if (context_.pins.full()) {
    refuse_here(too_many_pinned(context_.pool, (*pinning)->text, context_.leases.pin_reasons()));
    return false;
  }
  forget_sequences(script);
  keep_link((*pinning)->text.substr(0, 100), pin_lasts_);
  return true;
}

void Relay::keep_link(std::string_view reason, bool lasting) {
  pinned_ = true;
  pin_lasts_ = pin_lasts_ || lasting;
  ++context_.pins.count;
  context_.leases.pin(*link_, describe() + ": " + std::string(reason));
  context_.log.write(LogLevel::info,
                     "pool " + context_.pool + ": " + describe() +
                         " keeps its connection because of: " + std::string(reason));
}

// currval and lastval outside of a transaction: what another session's nextval left on this link
// must not be taken for this one's.
void Relay::forget_sequences(const Script& script) {
  const bool asks = std::ranges::any_of(script.statements, [](const StatementRef& statement) {
    const std::string text = sql::lower_ascii(statement->text);
    return text.find("currval") != text.npos || text.find("lastval") != text.npos;
  });
  if (!asks || link_->status() != 'I') return;
  run_swallowed("DISCARD SEQUENCES");
}

void Relay::unpin() {
  if (!pinned_) return;
  pinned_ = pin_lasts_ = pin_listens_ = false;
  --context_.pins.count;
  context_.leases.unpin(*link_);
}

// Others wait for its link. Who listens has nothing to say.
void Relay::arm_pin_idle() {
  if (context_.pins.idle <= Duration::zero() || pin_listens_) return;
  arm(rests_since_ + context_.pins.idle - context_.reactor.now());
}

bool Relay::end_if_pinned_for_long() {
  const Duration most = context_.pins.idle;
  if (!pinned_ || pin_listens_ || most <= Duration::zero()) return false;
  if (context_.reactor.now() < rests_since_ + most) return false;
  let_go();
  end(Error::make(Sqlstate("57P05"), "terminating connection due to idle-session timeout")
          .with_detail("The session kept a connection to the server for itself.")
          .with_hint("Raise idle_while_pinned."));
  return true;
}

// Asks the server whether anything is left that could not be moved.
void Relay::check_pin() {
  const auto found = std::make_shared<bool>(true);
  transition(State::preparing);
  arm(context_.settings_timeout);
  link_->run_chore(
      {.texts = {std::string(pin_question)},
       .on_row = [found](const std::vector<Cell>& row) { *found = row[0].bytes != "f"; },
       .then =
           [this, found](const std::optional<Error>& error) {
             transition(State::flowing);
             if (!error && !*found) unpin();
             if (refuse_cancelled()) return;
             if (held_.empty() && !pinned_) return release();
             if (held_.empty()) arm_pin_idle();
             pump();
           },
       .of_holder = true});
}

}  // namespace based::postgres
