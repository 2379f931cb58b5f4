// headroom/auth/crypto.h - the few primitives of authentication: digests, HMAC, random bytes, strict base64.
//
// Owns: nothing. The cryptography is OpenSSL's.
// Worker and threads: any; nothing blocks (random bytes are OpenSSL's generator, seeded by the kernel).
// Invariants: (1) decoding is strict: each value has exactly one accepted text, so a signed text cannot
//   be rewritten; (2) a failed call leaves nothing in OpenSSL's error queue, which TLS on the same
//   thread would take for its own.
// Limits: none of its own.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "headroom/base/bytes.h"
#include "headroom/base/error.h"

namespace headroom::auth {

using Digest = std::array<std::byte, 32>;

[[nodiscard]] Digest sha256(std::string_view bytes);
[[nodiscard]] Digest hmac_sha256(std::string_view key, std::string_view message);

// Takes the same time wherever the first difference is; not secret about the sizes.
[[nodiscard]] bool constant_time_equal(std::string_view a, std::string_view b);

// For keys and tokens; ends the process if the system has no randomness.
[[nodiscard]] std::string random_bytes(std::size_t size_bytes);

// RFC 4648 section 4, with padding.
[[nodiscard]] std::string base64(std::string_view bytes);
// RFC 4648 section 5, without padding, as JOSE uses it (RFC 7515 section 2).
[[nodiscard]] std::string base64url(std::string_view bytes);
// Errc::invalid for a foreign character, white space, wrong or missing padding, or unused bits that are not zero.
[[nodiscard]] Result<std::string> from_base64(std::string_view text);
[[nodiscard]] Result<std::string> from_base64url(std::string_view text);

}  // namespace headroom::auth
