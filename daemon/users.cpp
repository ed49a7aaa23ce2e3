#include "daemon/users.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "protocol/check.h"

namespace based {
namespace {

// Waits for the kernel's first randomness, which a machine that has just been started may lack.
// That is before any client: the constructor asks first. Afterwards it never blocks.
std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  INVARIANT(::getrandom(bytes.data(), count, 0) == static_cast<ssize_t>(count));
  return bytes;
}

Error refused(std::string text) {
  return Error::make(sqlstate::invalid_authorization, std::move(text));
}

}  // namespace

Users::Users(AuthMethod over_tcp, AuthMethod over_unix)
    : over_tcp_(over_tcp), over_unix_(over_unix), mock_secret_(random_bytes(32)) {}

void Users::add(std::string name, const ScramVerifier& verifier, UserRights rights) {
  users_[std::move(name)] = {verifier, std::move(rights)};
}

AuthMethod Users::method(std::string_view peer) const {
  return peer.starts_with("unix:") ? over_unix_ : over_tcp_;
}

Result<void> Users::check(AuthMethod method, std::string_view user,
                          std::string_view peer_user) const {
  if (!users_.empty() && !users_.contains(user)) {
    return refused("role \"" + std::string(user) + "\" does not exist");
  }
  if (method != AuthMethod::peer) return {};
  if (!peer_user.empty() && user == peer_user) return {};
  return refused("Peer authentication failed for user \"" + std::string(user) + "\"");
}

ScramVerifier Users::verifier(std::string_view user) const {
  const auto found = users_.find(user);
  return found != users_.end() ? found->second.verifier : mock_scram_verifier(user, mock_secret_);
}

bool Users::may_use(std::string_view user, std::string_view database) const {
  const auto found = users_.find(user);
  if (found == users_.end() || found->second.rights.databases.empty()) return true;
  return std::ranges::find(found->second.rights.databases, database) !=
         found->second.rights.databases.end();
}

PoolMode Users::pool_mode(std::string_view user) const {
  const auto found = users_.find(user);
  return found == users_.end() ? PoolMode::of_database : found->second.rights.pool_mode;
}

std::string Users::make_nonce() {
  constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string nonce = random_bytes(24);
  for (char& c : nonce) c = letters[static_cast<unsigned char>(c) % letters.size()];
  return nonce;
}

Error not_permitted(std::string_view user, std::string_view database) {
  return refused("user \"" + std::string(user) + "\" may not use database \"" +
                 std::string(database) + "\"");
}

Error wrong_password(std::string_view user) {
  return Error::make(sqlstate::invalid_password,
                     "password authentication failed for user \"" + std::string(user) + "\"");
}

}  // namespace based
