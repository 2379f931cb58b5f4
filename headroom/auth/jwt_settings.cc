#include "headroom/auth/jwt_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "headroom/auth/jwks.h"
#include "headroom/base/log.h"
#include "headroom/config/config.h"

namespace headroom::auth {
namespace {

Result<std::vector<Key>> keys_of(const JwtSettings& jwt, std::string_view section) {
  std::vector<Key> keys;
  if (!jwt.secret.empty()) {
    auto key = Key::hmac(jwt.secret);
    if (!key) return pass(key, "secret");
    keys.push_back(std::move(*key));
  }
  if (!jwt.public_key.empty()) {
    auto text = config::read_document(jwt.public_key);
    if (!text) return pass(text, "public_key");
    auto key = Key::from_pem(text->text);
    if (!key) return pass(key, "public_key");
    keys.push_back(std::move(*key));
  }
  if (!jwt.jwks.empty()) {
    auto text = config::read_document(jwt.jwks);
    if (!text) return pass(text, "jwks");
    auto set = parse_jwks(text->text, SecretKeys::accepted);
    if (!set) return pass(set, "jwks");
    for (const std::string& refused : set->refused)
      log::warn("auth", "{}.jwks: {}", section, refused);
    std::ranges::move(set->keys, std::back_inserter(keys));
  }
  return keys;
}

}  // namespace

Result<std::shared_ptr<const JwtVerifier>> make_verifier(const JwtSettings& settings,
                                                         JwtOptions options,
                                                         std::string_view section) {
  if (!settings.enabled()) return nullptr;
  auto keys = keys_of(settings, section);
  if (!keys) {
    keys.error().message.insert(0, fmt::format("{}.", section));
    return pass(keys);
  }
  options.issuer = settings.issuer;
  options.audience = settings.audience;
  options.leeway = std::chrono::duration_cast<std::chrono::seconds>(settings.leeway);
  options.name_claim = settings.name_claim;
  auto verifier = JwtVerifier::make(std::move(options), std::move(*keys));
  if (!verifier) return pass(verifier, section);
  return verifier;
}

}  // namespace headroom::auth
