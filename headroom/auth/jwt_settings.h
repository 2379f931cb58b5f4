// headroom/auth/jwt_settings.h - the settings by which a room verifies the app's JWTs: `[admin.jwt]` and `[limit.jwt]` share them.
//
// Owns: nothing; values. Worker and threads: make_verifier() reads files: not on a worker.
// Invariants: (1) the secret enters no error message. Limits: those of Key, parse_jwks and JwtVerifier.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/jwt.h"
#include "headroom/base/clock.h"
#include "headroom/config/section.h"

namespace headroom::auth {

struct JwtSettings {
  std::string secret;      // HS256
  std::string public_key;  // file, PEM
  std::string jwks;        // file, a JWK Set
  std::string issuer;
  std::vector<std::string> audience;
  std::string name_claim;
  Duration leeway{};
  [[nodiscard]] bool enabled() const {
    return !secret.empty() || !public_key.empty() || !jwks.empty();
  }
  bool operator==(const JwtSettings&) const = default;
};

// Adds the rows of JwtSettings to the section of what derives from it.
template <class Derived>
void add_jwt_settings(config::Section<Derived>& s) {
  using config::Reload;
  using Text = std::string Derived::*;
  s.secret("secret", Text(&JwtSettings::secret), "", Reload::live,
           "The HS256 secret, 32 bytes or more.",
           config::satisfying("of at least 32 bytes", [](const std::string& text) {
             return text.empty() || text.size() >= 32;
           }));
  s.setting("public_key", Text(&JwtSettings::public_key), "", Reload::live,
            "A PEM file with a public key or certificate (RS256, ES256, EdDSA).");
  s.setting("jwks", Text(&JwtSettings::jwks), "", Reload::live, "A file with a JWK Set.");
  s.setting("issuer", Text(&JwtSettings::issuer), "", Reload::live,
            "The `iss` tokens must have; empty: any.");
  s.setting("audience", static_cast<std::vector<std::string> Derived::*>(&JwtSettings::audience),
            "", Reload::live,
            "One of these must be in `aud`; empty: tokens with an `aud` are refused.");
  s.setting("name_claim", Text(&JwtSettings::name_claim), "sub", Reload::live,
            "The claim that names the user.");
  s.setting("leeway", static_cast<Duration Derived::*>(&JwtSettings::leeway), "60s", Reload::live,
            "By how much clocks may differ.", config::between(0s, 600s));
}

// `options` with what the settings say. Null when there is no key. Errc::invalid, naming the setting below `section`; what a JWK Set has
// that cannot be used is logged.
[[nodiscard]] Result<std::shared_ptr<const JwtVerifier>> make_verifier(const JwtSettings& settings,
                                                                       JwtOptions options,
                                                                       std::string_view section);

}  // namespace headroom::auth
