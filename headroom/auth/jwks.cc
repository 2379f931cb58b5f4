#include "headroom/auth/jwks.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "headroom/auth/crypto.h"
#include "headroom/json/json.h"

namespace headroom::auth {
namespace {

constexpr json::Limits kLimits{.bytes = Bytes::kib(256), .depth = 8};
constexpr std::size_t kMostKeys = 64;

std::optional<std::string_view> member(json::Value key, std::string_view name) {
  const auto found = key.find(name);
  return found ? found->string() : std::nullopt;
}

Result<std::string> bytes_in(json::Value key, std::string_view name) {
  const auto text = member(key, name);
  if (!text) return fail(Errc::invalid, fmt::format("'{}' is missing", name));
  auto bytes = from_base64url(*text);
  if (!bytes) return pass(bytes, fmt::format("'{}'", name));
  return bytes;
}

// RFC 7517 sections 4.2 to 4.4: what the key may be used for, where the set says so.
Result<> check_purpose(json::Value key) {
  if (const auto use = key.find("use"); use && use->string() != "sig")
    return fail(Errc::invalid, "it is not for signatures");
  const auto operations = key.find("key_ops");
  if (!operations) return {};
  if (operations->kind() != json::Kind::array)
    return fail(Errc::invalid, "'key_ops' is not an array");
  for (std::size_t i = 0; i < operations->size(); ++i)
    if (operations->item(i).string() == "verify") return {};
  return fail(Errc::invalid, "its operations do not include verify");
}

Result<Key> rsa_in(json::Value key, std::string kid) {
  auto modulus = bytes_in(key, "n");
  if (!modulus) return pass(modulus);
  auto exponent = bytes_in(key, "e");
  if (!exponent) return pass(exponent);
  return Key::rsa(*modulus, *exponent, std::move(kid));
}

Result<Key> curve_in(json::Value key, std::string kid) {
  const auto curve = member(key, "crv");
  auto x = bytes_in(key, "x");
  if (!x) return pass(x);
  if (curve == "Ed25519" && member(key, "kty") == "OKP") return Key::ed25519(*x, std::move(kid));
  if (curve != "P-256" || member(key, "kty") != "EC")
    return fail(Errc::invalid, "its curve is not P-256 (EC) or Ed25519 (OKP)");
  auto y = bytes_in(key, "y");
  if (!y) return pass(y);
  return Key::p256(*x, *y, std::move(kid));
}

Result<Key> key_of_kind(json::Value key, std::string kid, SecretKeys secrets) {
  const auto kind = member(key, "kty");
  if (kind == "RSA") return rsa_in(key, std::move(kid));
  if (kind == "EC" || kind == "OKP") return curve_in(key, std::move(kid));
  if (kind != "oct") return fail(Errc::invalid, "its kty is not RSA, EC, OKP or oct");
  if (secrets == SecretKeys::refused)
    return fail(Errc::invalid, "a secret (oct) in a set that others can read");
  auto secret = bytes_in(key, "k");
  if (!secret) return pass(secret);
  return Key::hmac(*secret, std::move(kid));
}

Result<Key> key_in(json::Value key, SecretKeys secrets) {
  if (key.kind() != json::Kind::object) return fail(Errc::invalid, "not an object");
  if (auto fits = check_purpose(key); !fits) return pass(fits);
  const auto kid = key.find("kid");
  if (kid && !kid->string()) return fail(Errc::invalid, "its kid is not a string");
  auto made = key_of_kind(key, std::string(kid ? *kid->string() : ""), secrets);
  if (!made) return made;
  if (const auto algorithm = key.find("alg");
      algorithm && algorithm->string() != to_string(made->algorithm()))
    return fail(Errc::invalid, fmt::format("its alg is not {}", to_string(made->algorithm())));
  return made;
}

std::string reason(std::size_t index, json::Value key, const Error& error) {
  const auto kid = member(key, "kid");
  if (!kid) return fmt::format("key {}: {}", index + 1, error.message);
  return fmt::format("key {} (kid '{}'): {}", index + 1, kid->substr(0, 64), error.message);
}

}  // namespace

Result<KeySet> parse_jwks(std::string_view text, SecretKeys secrets) {
  auto document = json::parse(text, kLimits);
  if (!document) return fail(Errc::invalid, "JWK Set: " + document.error().message);
  const auto keys = document->root().find("keys");
  if (!keys || keys->kind() != json::Kind::array)
    return fail(Errc::invalid, "JWK Set: no array 'keys'");
  if (keys->size() > kMostKeys)
    return fail(Errc::invalid, fmt::format("JWK Set: more than {} keys", kMostKeys));
  KeySet set;
  for (std::size_t i = 0; i < keys->size(); ++i) {
    auto key = key_in(keys->item(i), secrets);
    if (key)
      set.keys.push_back(std::move(*key));
    else
      set.refused.push_back(reason(i, keys->item(i), key.error()));
  }
  if (!set.keys.empty()) return set;
  return fail(Errc::invalid,
              "JWK Set: no usable key" + (set.refused.empty() ? "" : "; " + set.refused.front()));
}

}  // namespace headroom::auth
