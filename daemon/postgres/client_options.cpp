// The start-up settings that are Based's own and reach no server.
#include <algorithm>
#include <string>
#include <utility>

#include "daemon/postgres/client.h"

namespace based::postgres {
namespace {

constexpr std::string_view sandbox_option = "based.sandbox";
constexpr std::string_view share_option = "based.share";
constexpr std::string_view join_option = "based.join";
constexpr const char* token_setting = "based.join_token";  // what the client may SHOW

}  // namespace

// based.sandbox = NAME is another way to name database#NAME, for who cannot change the database's
// name.
void PostgresClient::take_sandbox_option(Startup& startup) {
  const auto is_ours = [](const auto& setting) { return setting.first == sandbox_option; };
  for (const auto& setting : startup.settings) {
    if (is_ours(setting)) database_ += "#" + setting.second;
  }
  std::erase_if(startup.settings, is_ours);
}

// based.share = on: SHOW based.join_token tells the token, with which another client's start has
// based.join = TOKEN. Null: neither was said.
Result<void> PostgresClient::take_join_options(Startup& startup, Database& database) {
  std::string share, join;
  std::erase_if(startup.settings, [&](const auto& setting) {
    if (setting.first == share_option) share = setting.second;
    if (setting.first == join_option) join = setting.second;
    return setting.first == share_option || setting.first == join_option ||
           setting.first == token_setting;
  });
  if (share == "off") share.clear();
  if (share.empty() && join.empty()) return {};
  if (!share.empty() && (share != "on" || !join.empty())) {
    return Error::make(
        sqlstate::invalid_parameter_value,
        share != "on" ? "based.share is on or off" : "either based.share or based.join can be set");
  }
  JoinTokens& tokens = database.joins();
  Result<std::unique_ptr<JoinTicket>> ticket =
      share.empty() ? tokens.join(join, user_) : tokens.share(user_);
  if (!ticket) return ticket.error();
  ticket_ = *std::move(ticket);
  if (!share.empty()) startup.settings.emplace_back(token_setting, ticket_->token());
  return {};
}

}  // namespace based::postgres
