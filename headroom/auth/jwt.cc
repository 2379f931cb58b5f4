#include "headroom/auth/jwt.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "headroom/auth/crypto.h"
#include "headroom/base/text.h"

namespace headroom::auth {
namespace {

constexpr json::Limits kHeaderLimits{.bytes = Bytes::kib(2), .depth = 4};
constexpr std::size_t kClaimsDepth = 16;
constexpr std::size_t kMostNameBytes = 256;
// Dates beyond the year 9999 are no dates; below it a double holds seconds exactly.
constexpr double kLastDate = 253402300800.0;

std::unexpected<Error> refuse(std::string message) {
  return fail(Errc::unauthorized, std::move(message));
}

struct Parts {
  std::string_view header;
  std::string_view claims;
  std::string_view signature;
  std::string_view signed_text;  // header "." claims
};

Result<Parts> parts_of(std::string_view token) {
  const auto first = token.find('.');
  const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos)
    return refuse("not three parts");
  const Parts parts{.header = token.substr(0, first),
                    .claims = token.substr(first + 1, second - first - 1),
                    .signature = token.substr(second + 1),
                    .signed_text = token.substr(0, second)};
  if (parts.header.empty() || parts.claims.empty() || parts.signature.empty())
    return refuse("an empty part");
  return parts;
}

// JSON's own messages show the place, never the text; still they stay out of the answer.
Result<json::Document> object_in(std::string_view part, const json::Limits& limits,
                                 std::string_view what) {
  const auto bytes = from_base64url(part);
  if (!bytes) return refuse(fmt::format("{}: not strict base64url", what));
  auto document = json::parse(*bytes, limits);
  if (!document || document->root().kind() != json::Kind::object)
    return refuse(fmt::format("{}: not one strict JSON object", what));
  return document;
}

// RFC 8725 section 3.11: other kinds of token that the same keys may sign (logout, DPoP) are not this kind.
Result<> check_type(json::Value header) {
  const auto type = header.find("typ");
  if (!type) return {};
  const auto text = type->string();
  if (text &&
      (text::equal_ignoring_case(*text, "JWT") || text::equal_ignoring_case(*text, "at+jwt")))
    return {};
  return refuse("its typ is not JWT");
}

// A NumericDate (RFC 7519 section 2); nothing when the claim is missing.
Result<std::optional<double>> date_in(json::Value claims, std::string_view name) {
  const auto claim = claims.find(name);
  if (!claim) return std::nullopt;
  const auto date = claim->number();
  if (!date || !std::isfinite(*date) || std::abs(*date) > kLastDate)
    return refuse(fmt::format("its {} is not a date", name));
  return date;
}

bool printable(std::string_view name) {
  return !name.empty() && name.size() <= kMostNameBytes && std::ranges::none_of(name, [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

}  // namespace

std::optional<json::Value> claim_at(json::Value claims, std::string_view path) {
  if (const auto exact = claims.find(path)) return exact;
  const auto dot = path.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto outer = claims.find(path.substr(0, dot));
  return outer ? claim_at(*outer, path.substr(dot + 1)) : std::nullopt;
}

Result<std::shared_ptr<const JwtVerifier>> JwtVerifier::make(JwtOptions options,
                                                             std::vector<Key> keys) {
  for (const Key& key : keys) {
    const auto same = std::ranges::count_if(keys, [&](const Key& other) {
      return other.algorithm() == key.algorithm() && other.kid() == key.kid();
    });
    if (static_cast<std::size_t>(same) > kMostTries)
      return fail(Errc::invalid, fmt::format("more than {} {} keys with one kid or none",
                                             kMostTries, to_string(key.algorithm())));
  }
  return std::shared_ptr<const JwtVerifier>(new JwtVerifier(std::move(options), std::move(keys)));
}

std::string JwtVerifier::make_fingerprint() const {
  constexpr std::size_t kBytes = 16;
  std::string all = fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n", options_.issuer,
                                options_.leeway.count(), static_cast<int>(options_.expiry),
                                options_.name_claim, options_.role_claim, options_.audience.size());
  for (const std::string& each : options_.audience) all.append(each).append(1, '\n');
  for (const auto& [value, role] : options_.roles)
    all.append(value).append(1, '\n').append(to_string(role)).append(1, '\n');
  std::vector<Digest> digests;
  for (const Key& key : keys_) digests.push_back(key.digest());
  std::ranges::sort(digests);
  for (const Digest& each : digests) all.append(text_of(each));
  return base64url(text_of(sha256(all)).substr(0, kBytes));
}

Result<Claims> JwtVerifier::verify(std::string_view token, WallTime now) const {
  if (token.size() > options_.max_bytes)
    return refuse(fmt::format("longer than {} bytes", options_.max_bytes));
  const auto parts = parts_of(token);
  if (!parts) return std::unexpected(parts.error());
  auto header = object_in(parts->header, kHeaderLimits, "header");
  if (!header) return pass(header);
  auto candidates = keys_for(header->root());
  if (!candidates) return pass(candidates);
  const auto signature = from_base64url(parts->signature);
  if (!signature) return refuse("signature: not strict base64url");
  const bool holds = std::ranges::any_of(
      *candidates, [&](const Key* key) { return key->verifies(parts->signed_text, *signature); });
  if (!holds) return refuse("its signature does not hold");
  auto claims =
      object_in(parts->claims, {.bytes = {options_.max_bytes}, .depth = kClaimsDepth}, "claims");
  if (!claims) return pass(claims);
  if (auto good = check_claims(claims->root(), now); !good) return pass(good);
  const auto expires = date_in(claims->root(), "exp");
  Claims verified{.document = std::move(*claims)};
  if (expires && *expires)
    verified.expires = WallTime(std::chrono::seconds(std::llround(std::floor(**expires))));
  return verified;
}

// A kid chooses among the keys that have one; keys without a kid (a secret or PEM of the settings) serve tokens whose
// kid no key has claimed.
Result<std::vector<const Key*>> JwtVerifier::keys_for(json::Value header) const {
  if (auto typed = check_type(header); !typed) return pass(typed);
  if (header.find("crit")) return refuse("it has critical extensions");
  const auto algorithm = header.find("alg");
  if (!algorithm || !algorithm->string()) return refuse("no alg");
  const auto kid = header.find("kid");
  if (kid && !kid->string()) return refuse("its kid is not a string");
  const bool known = kid && std::ranges::any_of(
                                keys_, [&](const Key& key) { return key.kid() == *kid->string(); });
  std::vector<const Key*> found;
  for (const Key& key : keys_) {
    if (to_string(key.algorithm()) != *algorithm->string()) continue;
    if (kid && key.kid() != (known ? *kid->string() : "")) continue;
    if (found.size() < kMostTries) found.push_back(&key);
  }
  if (found.empty()) return refuse("no key has its kid and alg");
  return found;
}

Result<> JwtVerifier::check_claims(json::Value claims, WallTime now) const {
  if (auto dated = check_dates(claims, now); !dated) return dated;
  if (!options_.issuer.empty()) {
    const auto issuer = claims.find("iss");
    if (!issuer || issuer->string() != options_.issuer) return refuse("it is from another issuer");
  }
  return check_audience(claims);
}

Result<> JwtVerifier::check_dates(json::Value claims, WallTime now) const {
  const auto time = static_cast<double>(now.time_since_epoch().count());
  const auto leeway = static_cast<double>(options_.leeway.count());
  auto expires = date_in(claims, "exp");
  if (!expires) return pass(expires);
  if (!*expires && options_.expiry == Expiry::required) return refuse("it has no exp");
  if (*expires && time >= **expires + leeway) return refuse("it has expired");
  auto begins = date_in(claims, "nbf");
  if (!begins) return pass(begins);
  if (*begins && time + leeway < **begins) return refuse("it is not valid yet");
  auto issued = date_in(claims, "iat");
  if (!issued) return pass(issued);
  if (*issued && time + leeway < **issued) return refuse("it was issued in the future");
  return {};
}

Result<> JwtVerifier::check_audience(json::Value claims) const {
  const auto audience = claims.find("aud");
  if (!audience) {
    if (options_.audience.empty()) return {};
    return refuse("it names no audience");
  }
  const auto ours = [&](json::Value value) {
    const auto text = value.string();
    return text && std::ranges::find(options_.audience, *text) != options_.audience.end();
  };
  if (ours(*audience)) return {};
  if (audience->kind() == json::Kind::array)
    for (std::size_t i = 0; i < audience->size(); ++i)
      if (ours(audience->item(i))) return {};
  return refuse(options_.audience.empty() ? "it is for an audience, and none is configured"
                                          : "it is for another audience");
}

Result<Identity> JwtVerifier::identify(std::string_view token, WallTime now) const {
  auto claims = verify(token, now);
  if (!claims) return pass(claims);
  const auto claim = claim_at(claims->document.root(), options_.name_claim);
  const auto name = claim ? claim->string() : std::nullopt;
  if (!name || !printable(*name))
    return refuse(fmt::format("its {} is not a name", options_.name_claim));
  return Identity{.name = std::string(*name),
                  .role = role_in(claims->document.root()),
                  .via = Via::jwt,
                  .expires = claims->expires};
}

Role JwtVerifier::role_in(json::Value claims) const {
  const auto claim = claim_at(claims, options_.role_claim);
  if (!claim) return Role::none;
  const auto meaning = [&](json::Value value) {
    const auto text = value.string();
    const auto at = text ? options_.roles.find(*text) : options_.roles.end();
    return at == options_.roles.end() ? Role::none : at->second;
  };
  Role highest = meaning(*claim);
  if (claim->kind() == json::Kind::array)
    for (std::size_t i = 0; i < claim->size(); ++i)
      highest = std::max(highest, meaning(claim->item(i)));
  return highest;
}

}  // namespace headroom::auth
