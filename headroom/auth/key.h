// headroom/auth/key.h - a key that verifies signatures: one key, one algorithm.
//
// Owns: the secret, or a share of OpenSSL's public key.
// Worker and threads: immutable; verifies() may be called by all workers at once. Nothing blocks. It costs
//   (OpenSSL 3.0) 2 us for HS256, 40 for RS256 of 2048 bits, 140 for ES256, 210 for EdDSA.
// Invariants: (1) the algorithm comes from the key and never from a token (RFC 8725 section 3.1), so a public
//   key cannot be used as an HMAC secret; (2) no weak key exists: HMAC secrets have 32 bytes or more
//   (RFC 7518 section 3.2), RSA 2048 to 8192 bits and an odd exponent of 3 or more, EC is P-256 with the point on
//   the curve; (3) private parts are never kept.
// Limits: see (2); kids of 256 bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "headroom/auth/crypto.h"
#include "headroom/base/error.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace headroom::auth {

enum class Algorithm : std::uint8_t { hs256, rs256, es256, eddsa };

// "HS256", "RS256", "ES256", "EdDSA" (RFC 7518 section 3.1, RFC 8037).
[[nodiscard]] std::string_view to_string(Algorithm algorithm);

class Key {
 public:
  // Each refuses with Errc::invalid what invariant (2) does not allow. Numbers and points are big-endian bytes.
  [[nodiscard]] static Result<Key> hmac(std::string_view secret, std::string kid = {});
  [[nodiscard]] static Result<Key> rsa(std::string_view modulus, std::string_view exponent,
                                       std::string kid = {});
  [[nodiscard]] static Result<Key> p256(std::string_view x, std::string_view y,
                                        std::string kid = {});
  [[nodiscard]] static Result<Key> ed25519(std::string_view point, std::string kid = {});
  // A PEM public key (SubjectPublicKeyInfo, PKCS #1) or certificate (its dates are not looked at). A private key is
  // refused by name: it does not belong here.
  [[nodiscard]] static Result<Key> from_pem(std::string_view pem, std::string kid = {});

  [[nodiscard]] Algorithm algorithm() const { return algorithm_; }
  [[nodiscard]] const std::string& kid() const { return kid_; }
  // Of algorithm, kid and what verifies: two keys with the same digest accept the same signatures.
  [[nodiscard]] Digest digest() const;
  // `signature` as JWS has it (RFC 7515): raw bytes; for ES256 r and s of 32 bytes each.
  [[nodiscard]] bool verifies(std::string_view input, std::string_view signature) const;

 private:
  Key(Algorithm algorithm, std::string kid) : algorithm_(algorithm), kid_(std::move(kid)) {}
  [[nodiscard]] static Result<Key> of_public(std::shared_ptr<evp_pkey_st> key, std::string kid);

  Algorithm algorithm_;
  std::string kid_;
  std::string secret_;                   // hs256
  std::shared_ptr<evp_pkey_st> public_;  // all others
};

}  // namespace headroom::auth
