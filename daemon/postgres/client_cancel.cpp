// Cancel requests: who asks by one, and whom it is for.
#include <memory>
#include <utility>

#include "daemon/postgres/client.h"
#include "daemon/postgres/front_end.h"
#include "protocol/scram.h"

namespace based::postgres {

// As the server's, its end says that the cancel has gone out: what it was to strike is struck,
// whatever this client does next.
void PostgresClient::ask_for_cancel(std::string_view body) {
  transition(State::cancelling);
  canceller_ = std::make_shared<PostgresClient*>(this);
  const auto close = [canceller = canceller_](const void*) {
    PostgresClient* client = *canceller;
    if (client == nullptr || client->state_ != State::cancelling) return;
    client->transition(State::ended);
    client->transport_.close("a cancel request");
  };
  std::shared_ptr<const void> until_sent(canceller_.get(), close);
  CancelKey key;
  if (decode_cancel(body, key)) {
    front_end_.cancel(key.process_id, key.secret, std::move(until_sent));
  }
}

void PostgresClient::cancel(std::string_view secret, std::shared_ptr<const void> until_sent) {
  if (state_ != State::serving || !are_equal_secrets(secret, secret_)) return;
  session_->cancel("canceling statement due to user request", std::move(until_sent));
}

}  // namespace based::postgres
