// SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677), with verifiers in PostgreSQL's own format:
//
//   SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>      salt and keys in base64
//
// as pg_authid.rolpassword has them. Pure but for OpenSSL's digests; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace based {

inline constexpr std::string_view scram_mechanism = "SCRAM-SHA-256";
inline constexpr std::uint32_t scram_iterations_default = 4096;  // PostgreSQL's
inline constexpr std::uint32_t scram_iterations_max = 10'000'000;

struct ScramVerifier {
  std::uint32_t iterations = 0;
  std::string salt;
  std::string stored_key;  // 32 bytes
  std::string server_key;  // 32 bytes
};

// nullopt: it is not a verifier.
std::optional<ScramVerifier> parse_scram_verifier(std::string_view text);
std::string format_scram_verifier(const ScramVerifier& verifier);
// Takes a moment for each ten thousand iterations. 22023 for an empty password and for one that is
// not ASCII: SASLprep (RFC 4013) is the identity for those only. REQUIRES 1 <= iterations <=
// scram_iterations_max.
Result<ScramVerifier> make_scram_verifier(std::string_view password, std::string_view salt,
                                          std::uint32_t iterations);
// What an unknown user is asked against: the same for the same name, as a real one would be. Nobody
// can pass it.
ScramVerifier mock_scram_verifier(std::string_view user, std::string_view secret);

// Takes as long wherever they differ; not so where their lengths do.
bool are_equal_secrets(std::string_view one, std::string_view other);

// One exchange. Its two steps are given the client's messages and give the server's.
class ScramExchange {
 public:
  // `nonce` is random, printable and without a comma; at least 18 characters.
  ScramExchange(const ScramVerifier& verifier, std::string nonce);

  // client-first-message -> server-first-message. 08P01 for a message that is none, 0A000 for
  // channel binding, which is not offered.
  Result<std::string> first(std::string_view message);
  // client-final-message -> server-final-message. 28P01 where the proof is wrong. REQUIRES that
  // first() succeeded.
  Result<std::string> final(std::string_view message);

 private:
  ScramVerifier verifier_;
  std::string nonce_;   // the client's and ours
  std::string header_;  // the client's GS2 header
  std::string client_first_bare_;
  std::string server_first_;
};

}  // namespace based
