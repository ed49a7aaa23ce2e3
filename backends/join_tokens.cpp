#include "backends/join_tokens.h"

#include <sys/random.h>

#include <array>
#include <utility>

#include "protocol/check.h"
#include "protocol/scram.h"

namespace based {
namespace {

std::string random_token() {
  std::array<unsigned char, JoinTokens::token_bytes / 2> bytes{};
  INVARIANT(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  constexpr std::string_view digits = "0123456789abcdef";
  std::string token;
  for (const unsigned char byte : bytes) {
    token += digits[byte >> 4];
    token += digits[byte & 15];
  }
  return token;
}

}  // namespace

JoinTicket::~JoinTicket() {
  if (tokens_ != nullptr) tokens_->shared_.erase(group_);
}

Result<std::unique_ptr<JoinTicket>> JoinTokens::share(std::string_view user) {
  if (shared_.size() >= shared_max) {
    return Error::make(sqlstate::too_many_connections,
                       std::to_string(shared_max) + " sessions are shared, the limit")
        .as_retryable();
  }
  const Shared& shared =
      shared_[++last_group_] = {.token = random_token(), .user = std::string(user)};
  return std::make_unique<JoinTicket>(this, last_group_, shared.token);
}

Result<std::unique_ptr<JoinTicket>> JoinTokens::join(std::string_view token,
                                                     std::string_view user) const {
  std::uint64_t found = 0;
  for (const auto& [group, shared] : shared_) {
    if (are_equal_secrets(shared.token, token) && shared.user == user) found = group;
  }
  if (found == 0) {
    return Error::make(sqlstate::invalid_authorization, "no session is shared under this token")
        .with_hint(
            "It ends with the session that has shared it, and is good for the same "
            "database and user only.");
  }
  return std::make_unique<JoinTicket>(nullptr, found, std::string());
}

}  // namespace based
