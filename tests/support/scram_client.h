// ScramClient: the client's side of SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677).
#pragma once

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <string>
#include <string_view>

namespace based {

class ScramClient {
 public:
  explicit ScramClient(std::string password, std::string nonce = "rOprNGfwEbeRWgbNEkqO")
      : password_(std::move(password)), nonce_(std::move(nonce)) {}

  std::string first() const { return "n,,n=,r=" + nonce_; }

  // The answer to the server's first message.
  std::string final(std::string_view server_first) {
    const std::string combined = attribute(server_first, 'r');
    const std::string salt = decode(attribute(server_first, 's'));
    const int iterations = std::stoi(attribute(server_first, 'i'));
    std::string salted(32, '\0');
    PKCS5_PBKDF2_HMAC(password_.data(), static_cast<int>(password_.size()), raw(salt),
                      static_cast<int>(salt.size()), iterations, EVP_sha256(), 32,
                      reinterpret_cast<unsigned char*>(salted.data()));
    const std::string without_proof = "c=biws,r=" + combined;
    const std::string all =
        "n=,r=" + nonce_ + "," + std::string(server_first) + "," + without_proof;
    std::string proof = hmac(salted, "Client Key");
    const std::string signature = hmac(hash(proof), all);
    for (std::size_t i = 0; i < proof.size(); ++i) {
      proof[i] = static_cast<char>(proof[i] ^ signature[i]);
    }
    expected_final_ = "v=" + encode(hmac(hmac(salted, "Server Key"), all));
    return without_proof + ",p=" + encode(proof);
  }
  // What a server that knows the password says last.
  const std::string& expected_final() const { return expected_final_; }

 private:
  static const unsigned char* raw(std::string_view bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
  }
  static std::string attribute(std::string_view message, char name) {
    const std::size_t at = message[0] == name ? 0 : message.find(std::string(",") + name + "=") + 1;
    const std::string_view value = message.substr(at + 2);
    return std::string(value.substr(0, value.find(',')));
  }
  static std::string hmac(std::string_view key, std::string_view text) {
    unsigned char digest[32];
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), raw(text), text.size(), digest,
         nullptr);
    return {reinterpret_cast<char*>(digest), sizeof digest};
  }
  static std::string hash(std::string_view text) {
    unsigned char digest[32];
    SHA256(raw(text), text.size(), digest);
    return {reinterpret_cast<char*>(digest), sizeof digest};
  }
  static std::string encode(std::string_view bytes) {
    unsigned char text[128];
    const int length = EVP_EncodeBlock(text, raw(bytes), static_cast<int>(bytes.size()));
    return {reinterpret_cast<char*>(text), static_cast<std::size_t>(length)};
  }
  static std::string decode(std::string_view text) {
    std::string bytes(text.size(), '\0');
    const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), raw(text),
                                       static_cast<int>(text.size()));
    std::size_t padding = 0;
    while (padding < 2 && text[text.size() - 1 - padding] == '=') ++padding;
    bytes.resize(static_cast<std::size_t>(length) - padding);
    return bytes;
  }

  std::string password_;
  std::string nonce_;
  std::string expected_final_;
};

}  // namespace based
