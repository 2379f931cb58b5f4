// headroom/auth/jwks.h - reads a JWK Set (RFC 7517) into keys.
//
// Owns: nothing.
// Worker and threads: any; nothing blocks (the caller fetches the text). Up to a few ms for 64 keys.
// Invariants: (1) a key is taken only for the one algorithm its kind means here, and only if the set does not
//   say otherwise (alg, use, key_ops); (2) private members are not looked at; (3) one unusable key does not
//   cost the others.
// Limits: 256 KiB, 64 keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/key.h"

namespace headroom::auth {

// Whether the set may hold HMAC secrets (kty oct): not in one that was fetched from anywhere.
enum class SecretKeys : std::uint8_t { refused, accepted };

struct KeySet {
  std::vector<Key> keys;
  std::vector<std::string>
      refused;  // "key 3 (kid 'old'): an RSA key of 1024 bits; ...": for the log
};

// Errc::invalid when the text is not a JWK Set or holds no usable key; the message then has the first reason.
[[nodiscard]] Result<KeySet> parse_jwks(std::string_view text,
                                        SecretKeys secrets = SecretKeys::refused);

}  // namespace headroom::auth
