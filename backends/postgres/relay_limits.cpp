// The Relay's time limits that a client of a sandbox has set for itself: the server never hears of
// them, as they would strike Based's own statements and end the root. Based keeps them.
#include "backends/postgres/relay.h"
#include "backends/postgres/sandbox_settings.h"

namespace based::postgres {

// As SET takes it; empty: the default. What the server has for its sessions counts where it is kept
// here.
std::string_view Relay::own_limit(std::string_view setting) const {
  const std::string_view own = journal_.withheld(setting);
  const bool kept = setting == "statement_timeout" || setting == "transaction_timeout";
  if (!own.empty() || !kept || !context_.stack.rooted) return own;
  const std::string* servers = context_.leases.server_limit(setting);
  return servers == nullptr ? std::string_view() : *servers;
}

Duration Relay::limit_of(std::string_view setting) const {
  if (!context_.stack.rooted) return {};
  const std::string_view own = own_limit(setting);
  if (own.empty()) return {};
  return read_timeout(own).value_or(std::chrono::milliseconds(0));
}

// A setting of newer servers only.
std::optional<Error> Relay::refuse_unknown(const Statement& statement) const {
  constexpr std::string_view newer = "transaction_timeout";
  const std::optional<OwnRow> row = own_row_of(statement);
  const bool named = statement.name == newer || (row && row->setting == newer);
  const bool refused = named && context_.stack.rooted && !rules_.inside && stack_.status() != 'E' &&
                       context_.leases.server_limit(newer) == nullptr;
  if (!refused) return std::nullopt;
  return Error::make(Sqlstate("42704"),
                     "unrecognized configuration parameter \"" + std::string(newer) + "\"");
}

// A statement of the client's may be next.
void Relay::begin_limits() {
  const Duration transaction = limit_of("transaction_timeout");
  if (transaction_due_ == TimePoint() && transaction > Duration::zero()) {
    transaction_due_ = context_.reactor.now() + transaction;
  }
  watch_statement();
}

void Relay::watch_statement() {
  between_statements_ = false;
  const Duration most = limit_of("statement_timeout");
  if (most <= Duration::zero()) {
    if (statement_due_) statement_due_->disarm();
    return;
  }
  if (!statement_due_) {
    statement_due_ = context_.reactor.make_timer([this] { on_statement_due(); });
  }
  statement_due_->arm(context_.reactor.now() + most);
}

// A statement is done. Time goes on with what was sent behind it, or will be.
void Relay::note_statement_end() {
  if (!statement_due_ && limit_of("statement_timeout") <= Duration::zero()) return;
  if (link_->queue().awaits_reply()) return watch_statement();
  between_statements_ = true;
  if (statement_due_) statement_due_->disarm();
}

// What is Based's own has no limit; nor has the end of a transaction.
void Relay::on_statement_due() {
  if (state_ != State::flowing) return;
  if (!link_->queue().awaits_reply()) {  // as the server does where it waits for the client
    between_statements_ = true;
    return;
  }
  const Expectation* next = link_->queue().head() == this ? link_->queue().next() : nullptr;
  const bool asks = next != nullptr && next->fate == Fate::forward;
  const ItemKind kind = asks && next->index != 0 ? item(next->index).kind : ItemKind::execute;
  const bool own =
      !asks || kind == ItemKind::control || kind == ItemKind::refusal || kind == ItemKind::check;
  if (own) return watch_statement();  // the client's is to come
  cancel(statement_timeout_reason);
}

}  // namespace based::postgres
