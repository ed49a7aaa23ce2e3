#include "protocol/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <charconv>
#include <utility>

namespace based {
namespace {

constexpr std::size_t key_bytes = 32;
constexpr std::size_t salt_bytes_max = 1024;
constexpr std::size_t message_bytes_max = 4096;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string sha256(std::string_view text) {
  std::string digest(key_bytes, '\0');
  SHA256(bytes_of(text), text.size(), reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string hmac(std::string_view key, std::string_view text) {
  std::string digest(key_bytes, '\0');
  unsigned length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(text), text.size(),
       reinterpret_cast<unsigned char*>(digest.data()), &length);
  return digest;
}

std::string encode_base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes_of(bytes),
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  std::string bytes(text.size() / 4 * 3 + 1, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), bytes_of(text),
                                     static_cast<int>(text.size()));
  if (length < 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  bytes.resize(static_cast<std::size_t>(length) - padding);
  // Only the one right spelling is taken.
  if (encode_base64(bytes) != text) return std::nullopt;
  return bytes;
}

std::string exclusive_or(std::string_view a, std::string_view b) {
  std::string result(a);
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<char>(a[i] ^ b[i]);
  return result;
}

Error malformed() { return Error::make(Sqlstate("08P01"), "malformed SCRAM message"); }

// Takes "x=value" up to the next comma from the front.
bool take_attribute(std::string_view& text, char name, std::string_view& value) {
  if (text.size() < 2 || text[0] != name || text[1] != '=') return false;
  const std::size_t comma = text.find(',');
  value = text.substr(2, comma == std::string_view::npos ? comma : comma - 2);
  text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  return true;
}

bool is_printable(std::string_view nonce) {
  for (const char c : nonce) {
    if (c < 0x21 || c > 0x7e || c == ',') return false;
  }
  return !nonce.empty();
}

}  // namespace

bool are_equal_secrets(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::optional<ScramVerifier> parse_scram_verifier(std::string_view text) {
  constexpr std::string_view prefix = "SCRAM-SHA-256$";
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  const std::size_t colon = text.find(':');
  const std::size_t dollar = text.find('$');
  if (colon == std::string_view::npos || dollar == std::string_view::npos || dollar < colon) {
    return std::nullopt;
  }
  const std::size_t second = text.find(':', dollar);
  if (second == std::string_view::npos) return std::nullopt;
  ScramVerifier verifier;
  const auto [end, error] = std::from_chars(text.data(), text.data() + colon, verifier.iterations);
  const bool counted = error == std::errc() && end == text.data() + colon;
  if (!counted || verifier.iterations == 0 || verifier.iterations > scram_iterations_max) {
    return std::nullopt;
  }
  auto salt = decode_base64(text.substr(colon + 1, dollar - colon - 1));
  auto stored = decode_base64(text.substr(dollar + 1, second - dollar - 1));
  auto server = decode_base64(text.substr(second + 1));
  if (!salt || salt->empty() || salt->size() > salt_bytes_max) return std::nullopt;
  if (!stored || stored->size() != key_bytes || !server || server->size() != key_bytes) {
    return std::nullopt;
  }
  verifier.salt = *std::move(salt);
  verifier.stored_key = *std::move(stored);
  verifier.server_key = *std::move(server);
  return verifier;
}

std::string format_scram_verifier(const ScramVerifier& verifier) {
  return "SCRAM-SHA-256$" + std::to_string(verifier.iterations) + ":" +
         encode_base64(verifier.salt) + "$" + encode_base64(verifier.stored_key) + ":" +
         encode_base64(verifier.server_key);
}

Result<ScramVerifier> make_scram_verifier(std::string_view password, std::string_view salt,
                                          std::uint32_t iterations) {
  for (const char c : password) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) {
      return Error::make(sqlstate::invalid_parameter_value,
                         "a password must be of printable ASCII characters");
    }
  }
  if (password.empty()) {
    return Error::make(sqlstate::invalid_parameter_value, "the password is empty");
  }
  std::string salted(key_bytes, '\0');
  PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), bytes_of(salt),
                    static_cast<int>(salt.size()), static_cast<int>(iterations), EVP_sha256(),
                    static_cast<int>(key_bytes), reinterpret_cast<unsigned char*>(salted.data()));
  return ScramVerifier{.iterations = iterations,
                       .salt = std::string(salt),
                       .stored_key = sha256(hmac(salted, "Client Key")),
                       .server_key = hmac(salted, "Server Key")};
}

ScramVerifier mock_scram_verifier(std::string_view user, std::string_view secret) {
  const std::string seed = hmac(secret, user);
  return {.iterations = scram_iterations_default,
          .salt = seed.substr(0, 16),
          .stored_key = hmac(secret, seed + "stored"),
          .server_key = hmac(secret, seed + "server")};
}

ScramExchange::ScramExchange(const ScramVerifier& verifier, std::string nonce)
    : verifier_(verifier), nonce_(std::move(nonce)) {}

Result<std::string> ScramExchange::first(std::string_view message) {
  if (message.size() > message_bytes_max) return malformed();
  const std::string_view whole = message;
  if (message.starts_with("p=")) {
    return Error::make(sqlstate::feature_not_supported,
                       "SCRAM with channel binding is not offered here");
  }
  if (!message.starts_with("n,") && !message.starts_with("y,")) return malformed();
  message.remove_prefix(2);
  // An authorization identity would be another user's: there is no such thing here.
  if (!message.starts_with(',')) return malformed();
  message.remove_prefix(1);
  header_ = whole.substr(0, 3);
  client_first_bare_ = message;
  std::string_view user, nonce;
  if (!take_attribute(message, 'n', user) || !take_attribute(message, 'r', nonce)) {
    return malformed();
  }
  if (!is_printable(nonce) || !message.empty()) return malformed();
  nonce_ = std::string(nonce) + nonce_;
  server_first_ = "r=" + nonce_ + ",s=" + encode_base64(verifier_.salt) +
                  ",i=" + std::to_string(verifier_.iterations);
  return server_first_;
}

Result<std::string> ScramExchange::final(std::string_view message) {
  if (message.size() > message_bytes_max) return malformed();
  const std::string_view whole = message;
  std::string_view binding, nonce, proof_text;
  if (!take_attribute(message, 'c', binding) || !take_attribute(message, 'r', nonce) ||
      !take_attribute(message, 'p', proof_text) || !message.empty()) {
    return malformed();
  }
  if (binding != encode_base64(header_) || nonce != nonce_) return malformed();
  const std::optional<std::string> proof = decode_base64(proof_text);
  if (!proof || proof->size() != key_bytes) return malformed();
  const std::string_view without_proof = whole.substr(0, whole.size() - proof_text.size() - 3);
  const std::string signed_text =
      client_first_bare_ + "," + server_first_ + "," + std::string(without_proof);
  const std::string client_key = exclusive_or(*proof, hmac(verifier_.stored_key, signed_text));
  const std::string stored = sha256(client_key);
  if (!are_equal_secrets(stored, verifier_.stored_key)) {
    return Error::make(sqlstate::invalid_password, "password authentication failed");
  }
  return "v=" + encode_base64(hmac(verifier_.server_key, signed_text));
}

}  // namespace based
