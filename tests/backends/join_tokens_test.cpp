#include "backends/join_tokens.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace based {
namespace {

TEST_CASE("a token is good for its user, and until its owner goes") {
  JoinTokens tokens;
  auto owner = tokens.share("ann");
  REQUIRE(owner.ok());
  const std::string token = (*owner)->token();
  CHECK(token.size() == JoinTokens::token_bytes);
  {
    const auto member = tokens.join(token, "ann");
    REQUIRE(member.ok());
    CHECK((*member)->group() == (*owner)->group());
    CHECK((*member)->token().empty());
  }
  CHECK(tokens.join(token, "ann").ok());  // a member's end changes nothing
  for (const std::string& wrong :
       {token.substr(1), token + "0", std::string(), "0" + token.substr(1) + "x"}) {
    CHECK(tokens.join(wrong, "ann").error().sqlstate == sqlstate::invalid_authorization);
  }
  CHECK(tokens.join(token, "bob").error().sqlstate == sqlstate::invalid_authorization);
  (*owner).reset();
  CHECK(tokens.join(token, "ann").error().sqlstate == sqlstate::invalid_authorization);
}

TEST_CASE("tokens and groups are each one's own, and limited in number") {
  JoinTokens tokens;
  std::vector<std::unique_ptr<JoinTicket>> owners;
  for (std::size_t i = 0; i < JoinTokens::shared_max; ++i) {
    owners.push_back(*tokens.share("ann"));
  }
  CHECK(owners.front()->token() != owners.back()->token());
  CHECK(owners.front()->group() != owners.back()->group());
  CHECK(tokens.share("ann").error().sqlstate == sqlstate::too_many_connections);
  owners.pop_back();
  CHECK(tokens.share("ann").ok());
}

}  // namespace
}  // namespace based
