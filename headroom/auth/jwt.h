// headroom/auth/jwt.h - verifies the app's JSON Web Tokens (RFC 7519, signed: RFC 7515) and reads a role from them.
//
//   token = base64url(header) "." base64url(claims) "." base64url(signature of the two before it)
//
// Owns: its keys and options.
// Worker and threads: immutable once made; shared by all workers (shared_ptr<const>), replaced when settings or
//   keys change. Nothing blocks; the cost is one signature check, of at most kMostTries keys.
// Invariants (RFC 8725): (1) the key decides the algorithm: a token whose alg differs is refused, `none` always;
//   (2) nothing in a token chooses a key but its kid: jku, jwk, x5u, x5c are not looked at, crit is refused;
//   (3) no claim is read before the signature holds; (4) header and claims are strict JSON without a
//   repeated name; (5) no part of a token enters an error message.
// Limits: max_bytes a token, 2 KiB a header, keys without a kid: kMostTries an algorithm.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/identity.h"
#include "headroom/auth/key.h"
#include "headroom/json/json.h"

namespace headroom::auth {

inline constexpr std::size_t kMostTries = 8;

enum class Expiry : std::uint8_t { required, optional };

struct JwtOptions {
  // The iss that tokens must have; empty: any.
  std::string issuer{};
  // One of these must be in a token's aud. Empty: tokens with an aud are refused, as they are for someone else
  // (RFC 7519 section 4.1.3).
  std::vector<std::string> audience{};
  // By how much clocks may differ.
  std::chrono::seconds leeway{60};
  Expiry expiry = Expiry::required;
  std::size_t max_bytes = 8192;
  // The claims that hold name and role. A claim of exactly this name, else a path by dots ("app_metadata.role").
  std::string name_claim = "sub";
  std::string role_claim = "role";
  // What a value of the role claim (a string, or an array of them) means here. All others mean nothing.
  std::map<std::string, Role, std::less<>> roles{};
};

// The claims of a token whose signature and dates hold.
struct Claims {
  json::Document document;
  std::optional<WallTime> expires{};
};

// The claim of exactly this name, else the one a path by dots leads to ("app_metadata.role").
[[nodiscard]] std::optional<json::Value> claim_at(json::Value claims, std::string_view path);

class JwtVerifier {
 public:
  // Errc::invalid when there are more than kMostTries keys of one algorithm and kid (or without one).
  [[nodiscard]] static Result<std::shared_ptr<const JwtVerifier>> make(JwtOptions options,
                                                                       std::vector<Key> keys);

  // Errc::unauthorized, with the reason, for all that is wrong with a token.
  [[nodiscard]] Result<Claims> verify(std::string_view token, WallTime now) const;
  // verify(), then name and role. A good token without a mapped role has Role::none (403, not 401).
  [[nodiscard]] Result<Identity> identify(std::string_view token, WallTime now) const;
  // 22 characters that another verifier has only with the same options and keys: what a session of a JWT is tied to.
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }

 private:
  JwtVerifier(JwtOptions options, std::vector<Key> keys)
      : options_(std::move(options)), keys_(std::move(keys)), fingerprint_(make_fingerprint()) {}
  [[nodiscard]] std::string make_fingerprint() const;
  [[nodiscard]] Result<std::vector<const Key*>> keys_for(json::Value header) const;
  [[nodiscard]] Result<> check_claims(json::Value claims, WallTime now) const;
  [[nodiscard]] Result<> check_dates(json::Value claims, WallTime now) const;
  [[nodiscard]] Result<> check_audience(json::Value claims) const;
  [[nodiscard]] Role role_in(json::Value claims) const;

  JwtOptions options_;
  std::vector<Key> keys_;
  std::string fingerprint_;
};

}  // namespace headroom::auth
