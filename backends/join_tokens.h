// JoinTokens: by which tokens sessions join the transactions of another session of their database.
//
// Who shares gets a token; who shows it, as the same user, is one of the same group from then on.
// The token dies with the session that has shared it. Who has joined before goes on. Loop thread
// only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace based {

class JoinTokens;

// A session's membership of a group. The tokens outlive it.
class JoinTicket final {
 public:
  JoinTicket(JoinTokens* tokens, std::uint64_t group, std::string token)
      : tokens_(tokens), group_(group), token_(std::move(token)) {}
  ~JoinTicket();
  JoinTicket(const JoinTicket&) = delete;
  JoinTicket& operator=(const JoinTicket&) = delete;

  std::uint64_t group() const { return group_; }       // never 0
  const std::string& token() const { return token_; }  // empty: it has joined

 private:
  JoinTokens* tokens_;  // null: it has joined
  std::uint64_t group_;
  std::string token_;
};

class JoinTokens final {
 public:
  // Of so many sessions that share at once.
  static constexpr std::size_t shared_max = 1024;
  static constexpr std::size_t token_bytes = 32;  // 128 random bits, in hexadecimal digits

  JoinTokens() = default;
  JoinTokens(const JoinTokens&) = delete;
  JoinTokens& operator=(const JoinTokens&) = delete;

  // A new group. 53300: there are too many.
  Result<std::unique_ptr<JoinTicket>> share(std::string_view user);
  // 28000: nobody shares under this token, or another user does, which cannot be told apart.
  Result<std::unique_ptr<JoinTicket>> join(std::string_view token, std::string_view user) const;

 private:
  friend JoinTicket;
  struct Shared {
    std::string token;
    std::string user;
  };

  std::map<std::uint64_t, Shared> shared_;  // by group
  std::uint64_t last_group_ = 0;
};

}  // namespace based
